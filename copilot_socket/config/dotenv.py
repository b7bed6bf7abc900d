"""The file `.env.<COPILOT_ENV>`: read only if no other user can write it; every invalid line is a fault."""

import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from copilot_socket.config.model import Fault

_ORIGIN = "working directory"


def read_dotenv(path: Path) -> tuple[dict[str, str], Sequence[Fault]]:
    """The file's variables and its faults; both empty if there is no file."""
    try:
        with open(path, "rb", opener=_without_blocking) as file:
            why = distrusted(path.parent.stat(), "its directory") or distrusted(os.fstat(file.fileno()), "it")
            if why is not None:
                return {}, [_fault(path, f"{path.name} in {path.parent} is not read: {why}")]
            text = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except UnicodeDecodeError:
        return {}, [_fault(path, f"{path.name} in {path.parent} is not in UTF-8")]
    except OSError as error:
        return {}, [_fault(path, f"{path.name} in {path.parent} can't be read: {error.strerror}")]
    return _parse(path, text)


def _without_blocking(path: str, flags: int) -> int:
    """Open without waiting for the writer if it is a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def distrusted(status: os.stat_result, what: str) -> str | None:
    """Why a file or directory with *status* is not trusted, else None. Its settings decide where secrets are sent."""
    if status.st_uid not in (0, os.geteuid()):
        return f"{what} belongs to user {status.st_uid}"
    # In a sticky directory users cannot remove or replace files of others.
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return f"everyone may write to {what}"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        return f"group {status.st_gid} may write to {what}"
    return None


def _parse(path: Path, text: str) -> tuple[dict[str, str], Sequence[Fault]]:
    """Parse without interpolation: a password may contain a dollar sign."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - not where there is no file

    values: dict[str, str] = {}
    faults = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # Without the line itself, which may contain a secret.
            faults.append(_fault(path, f"{path.name}, line {binding.original.line}: expected NAME=value"))
        elif binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values, faults


def _fault(path: Path, text: str) -> Fault:
    return Fault(path.name, "", "", _ORIGIN, text=text, remedy=f"correct or remove {path}")
