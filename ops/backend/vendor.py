#!/usr/bin/env python3
"""The libraries of the dashboard: from npm's registry, as package-lock.json names them, into dashboard/vendor/.

    ops/backend/vendor.py

Building a wheel and an editable installation run this (ops/backend/backend.py); by hand it is needed only after the
lock has changed under an editable installation. npm compares what it fetches with the hashes of the lock. Nothing is
fetched if vendor/ was made from the same lock.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from npm import NpmFailed, npm

DASHBOARD = Path(__file__).resolve().parents[2] / "copilot_socket" / "dashboard"
VENDOR = DASHBOARD / "vendor"
LIBRARIES = ("htm", "preact", "uplot")
_STAMP = VENDOR / "stamp"
"""Holds the hash of what vendor/ was made from."""
_MODULES = {
    "htm.js": "htm/dist/htm.mjs",
    "hooks.js": "preact/hooks/dist/hooks.mjs",
    "preact.js": "preact/dist/preact.mjs",
    # Half the size of uPlot.esm.js, which is not minified; the script gets its export below.
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
}
_COPIES = {"uplot.css": "uplot/dist/uPlot.min.css"} | {f"{name}.LICENSE.txt": f"{name}/LICENSE" for name in LIBRARIES}
_FILES = frozenset({*_MODULES, *_COPIES})


def present() -> bool:
    """Whether vendor/ holds what the lock names."""
    return _STAMP.is_file() and _STAMP.read_text() == _source() and all((VENDOR / name).is_file() for name in _FILES)


def bring() -> None:
    """Make vendor/, unless it is :func:`present`. Raises :class:`NpmFailed`."""
    if present():
        return
    with tempfile.TemporaryDirectory(prefix="copilot-vendor-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(DASHBOARD / name, scratch)
        npm("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", directory=Path(scratch))
        made = Path(scratch) / "vendor"
        made.mkdir()
        packages = Path(scratch) / "node_modules"
        for name, path in _MODULES.items():
            (made / name).write_text(_module((packages / path).read_text("utf-8")), "utf-8")
        for name, path in _COPIES.items():
            shutil.copyfile(packages / path, made / name)
        (made / _STAMP.name).write_text(_source())
        shutil.rmtree(VENDOR, ignore_errors=True)
        shutil.copytree(made, VENDOR)


def _module(text: str) -> str:
    """*text* as a module that browsers load: without bare imports and references to files that are not there."""
    text = re.sub(r"(?m)^//# sourceMappingURL=.*\n?", "", text)
    text = text.replace('from"preact"', 'from"./preact.js"')
    if "var uPlot=" in text:
        text = f"{text.rstrip()}\nexport default uPlot;\n"
    if re.search(r'(?:from|import)\s*"(?!\./)', text) or "export" not in text:
        raise NpmFailed("A library of the dashboard is not made as before: bring ops/backend/vendor.py up to date")
    return text


def _source() -> str:
    lock, recipe = (DASHBOARD / "package-lock.json").read_bytes(), Path(__file__).read_bytes()
    return hashlib.sha256(lock + recipe).hexdigest()


if __name__ == "__main__":
    try:
        bring()
    except NpmFailed as error:
        raise SystemExit(f"ops/backend/vendor.py: {error}") from None
