"""Programs of npm's registry, for tests: found, or installed into a directory that goes when the tests end."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

OPTIONS = ("--no-audit", "--no-fund", "--fetch-retries=0")


@cache
def npm_program(name: str, package: str) -> str | None:
    """The path of *name*, on this machine or else out of *package*; None where that can't be had."""
    found = shutil.which(name)
    if found is not None:
        return found
    directory = _scratch()
    done = _npm("install", *OPTIONS, "--prefix", str(directory), package)
    return str(directory / "node_modules" / ".bin" / name) if done else None


@cache
def npm_ci(lists: Path) -> Path | None:
    """The directory of the packages that package-lock.json of the directory *lists* names; None without npm."""
    directory = _scratch()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lists / name, directory)
    return directory / "node_modules" if _npm("ci", *OPTIONS, "--prefix", str(directory)) else None


def _scratch() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="copilot-npm-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _npm(*arguments: str) -> bool:
    """Whether npm can be had, and does that."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    try:
        subprocess.run([npm, *arguments], check=True, capture_output=True, timeout=60)
    except subprocess.SubprocessError:
        return False
    return True
