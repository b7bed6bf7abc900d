"""Programs of npm's registry, for tests: found, or installed into a directory that goes when the tests end."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from unittest import SkipTest


@cache
def npm_program(name: str, package: str) -> str:
    """The path of *name*, on this machine or else out of *package*. Raises ``SkipTest`` where there is no npm."""
    found = shutil.which(name)
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise SkipTest(f"neither {name} nor npm is installed here")
    directory = Path(tempfile.mkdtemp(prefix=f"copilot-{name}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(directory), package]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return str(directory / "node_modules" / ".bin" / name)
