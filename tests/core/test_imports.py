"""The import rules of the package."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket

ROOT = Path(copilot_socket.__file__).parent
ALLOWED = {
    "core": {"core"},
    "wire": {"wire", "core", "event_bus", "locks", "directories"},
    "store": {"store", "core", "event_bus", "locks", "private_files", "directories"},
    "handlers": {"handlers", "core", "store", "wire", "event_bus"},
    "client": {"client", "core"},
    "config": {"config", "core"},
}
"""Part → the parts that it may import. Parts not named here (tap, node, cli, http, …) may import all."""
LONGEST = 350
"""Lines of a module."""
PURE = ("twisted", "psycopg2", "txpostgres", "time", "socket", "os")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def _modules() -> dict[str, Path]:
    """Modules by name, without packages, whose imports only re-export."""
    parts = {path: path.relative_to(ROOT.parent).with_suffix("").parts for path in ROOT.rglob("*.py")}
    return {".".join(names): path for path, names in parts.items() if names[-1] != "__init__"}


def _imported(path: Path) -> Iterator[str]:
    """Every name that *path* imports, anywhere in it, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ImportTests(SynchronousTestCase):
    """The direction of imports."""

    def test_the_rule(self) -> None:
        """No part imports a part above it."""
        for part, allowed in ALLOWED.items():
            files = list((ROOT / part).rglob("*.py"))
            self.assertTrue(files, part)
            for path in files:
                for name in _imports(path):
                    if name.startswith("copilot_socket."):
                        self.assertIn(name.split(".")[1], allowed, f"{path} imports {name}")

    def test_the_driver(self) -> None:
        """Only the store, commands that run without a node, and readers of DSNs import the driver."""
        for path in ROOT.rglob("*.py"):
            if path.relative_to(ROOT).parts[0] not in ("store", "cli", "config"):
                for name in _imports(path):
                    self.assertNotIn(name.split(".")[0], ("psycopg2", "txpostgres"), f"{path} imports {name}")

    def test_the_core_is_pure(self) -> None:
        """No reactor, no clock, no I/O in core."""
        for path in (ROOT / "core").rglob("*.py"):
            for name in _imports(path):
                self.assertNotIn(name.split(".")[0], PURE, f"{path} imports {name}")

    def test_the_core_of_the_client_is_pure(self) -> None:
        """What the shells of the client share does no I/O, and knows neither reactor nor event loop nor time."""
        shells = ("asyncio", "asyncio_connecting", "sigterm", "sync", "twisted", "twisted_connecting", "hello")
        for path in (ROOT / "client").rglob("*.py"):
            if path.stem not in (*shells, "__init__"):
                for name in _imports(path):
                    self.assertNotIn(name.split(".")[0], (*PURE, "asyncio", "threading", "ssl"), f"{path}: {name}")
                    self.assertNotIn(name.removeprefix("copilot_socket.client."), shells[:-1], str(path))

    def test_no_circle(self) -> None:
        """No import cycles."""
        modules = _modules()
        needed = {name: modules.keys() & set(_imported(path)) for name, path in modules.items()}
        self.assertEqual(len(list(TopologicalSorter(needed).static_order())), len(modules))

    def test_length(self) -> None:
        """No module is longer than LONGEST."""
        for name, path in _modules().items():
            self.assertLessEqual(len(path.read_text("utf-8").splitlines()), LONGEST, name)
