"""The only part of the configuration that reads the process's environment and a file."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from copilot_socket.config.loading import environment_name, load
from copilot_socket.config.model import Config, ConfigFaults, Fault

_NO_OVERRIDES: Mapping[str, str] = {}


def from_environment(overrides: Mapping[str, str] = _NO_OVERRIDES, *, directory: Path | None = None) -> Config:
    """The configuration of this process: os.environ, `.env.<COPILOT_ENV>` in `directory` (the working
    directory), and `overrides` (options of the command line, by variable name). Raises ConfigFaults.
    """
    environ = dict(os.environ)
    environ.setdefault("HOME", str(Path("~").expanduser()))  # from the user database
    name = f".env.{environment_name(environ, overrides)}"
    try:
        dotenv = _read_dotenv((directory or Path.cwd()) / name)
    except (OSError, ValueError) as error:
        raise _with_file_fault(name, error, environ, overrides) from error
    return load(environ, dotenv, overrides, uid=os.geteuid())


def _read_dotenv(path: Path) -> dict[str, str]:
    """The file's variables; none when there is no file. Raises OSError, or ValueError when it isn't UTF-8."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    # No interpolation: a password may hold a dollar sign.
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {key: value for key, value in values.items() if value is not None}


def _with_file_fault(
    name: str, error: Exception, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> ConfigFaults:
    """The unreadable file together with whatever else is wrong."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8"
    fault = Fault(name, reason, "a readable file in UTF-8, or none", "working directory")
    try:
        usable = load(environ, {}, overrides, uid=os.geteuid())
    except ConfigFaults as others:
        return ConfigFaults((fault, *others.faults), others.usable)
    return ConfigFaults((fault,), usable)
