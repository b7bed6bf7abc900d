"""The import rule of the package, kept."""

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket

ROOT = Path(copilot_socket.__file__).parent
ALLOWED = {
    "core": {"core"},
    "wire": {"wire", "core", "event_bus", "locks"},
    "store": {"store", "core", "event_bus", "locks"},
    "handlers": {"handlers", "core", "store", "wire", "event_bus"},
    "client": {"client", "core"},
    "config": {"config"},
}
"""Part → the parts of ours that it may import. Those not named here (tap, node, cli, http, …) may import all."""
PURE = ("twisted", "psycopg2", "txpostgres", "time", "socket", "os")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


class ImportTests(SynchronousTestCase):
    """Imports go one way."""

    def test_the_rule(self) -> None:
        """No part imports what stands above it."""
        for part, allowed in ALLOWED.items():
            files = list((ROOT / part).rglob("*.py"))
            self.assertTrue(files, part)
            for path in files:
                for name in _imports(path):
                    if name.startswith("copilot_socket."):
                        self.assertIn(name.split(".")[1], allowed, f"{path} imports {name}")

    def test_the_driver(self) -> None:
        """Who speaks to PostgreSQL by its driver: the store, commands that run without a node, readers of DSNs."""
        for path in ROOT.rglob("*.py"):
            if path.relative_to(ROOT).parts[0] not in ("store", "cli", "config"):
                for name in _imports(path):
                    self.assertNotIn(name.split(".")[0], ("psycopg2", "txpostgres"), f"{path} imports {name}")

    def test_the_core_is_pure(self) -> None:
        """No reactor, no clock, no I/O in core."""
        for path in (ROOT / "core").rglob("*.py"):
            for name in _imports(path):
                self.assertNotIn(name.split(".")[0], PURE, f"{path} imports {name}")
