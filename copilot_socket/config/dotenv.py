"""The file `.env.<COPILOT_ENV>`: read only where nobody else can have written it, and every line of it."""

import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from dotenv.parser import parse_stream

from copilot_socket.config.model import Fault

_ORIGIN = "working directory"


def read_dotenv(path: Path) -> tuple[dict[str, str], Sequence[Fault]]:
    """The file's variables, and what is wrong with it; neither where there is no file."""
    try:
        with open(path, "rb", opener=_at_once) as file:
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


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever may write to a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def distrusted(status: os.stat_result, what: str) -> str | None:
    """Why a file or directory of *status* is not to be trusted. Its settings say where secrets are sent."""
    if status.st_uid not in (0, os.geteuid()):
        return f"{what} belongs to user {status.st_uid}"
    # In a sticky directory nobody can take away or replace what is another's.
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return f"everyone may write to {what}"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        return f"group {status.st_gid} may write to {what}"
    return None


def _parse(path: Path, text: str) -> tuple[dict[str, str], Sequence[Fault]]:
    """Without interpolation: a password may hold a dollar sign."""
    values: dict[str, str] = {}
    faults = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # Not with the line itself, which may hold a secret.
            faults.append(_fault(path, f"{path.name}, line {binding.original.line}: expected NAME=value"))
        elif binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values, faults


def _fault(path: Path, text: str) -> Fault:
    return Fault(path.name, "", "", _ORIGIN, text=text, remedy=f"correct or remove {path}")
