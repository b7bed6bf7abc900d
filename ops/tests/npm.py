"""Programs of npm's registry, for tests: found, or installed into a directory that goes when the tests end."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path


@cache
def npm_program(name: str, package: str) -> str | None:
    """The path of *name*, on this machine or else out of *package*; None where that can't be had."""
    found, npm = shutil.which(name), shutil.which("npm")
    if found is not None or npm is None:
        return found
    directory = Path(tempfile.mkdtemp(prefix=f"copilot-{name}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--prefix", str(directory), package]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except subprocess.SubprocessError:
        return None
    return str(directory / "node_modules" / ".bin" / name)
