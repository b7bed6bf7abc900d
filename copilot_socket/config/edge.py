"""The only part of the configuration that reads the process's environment and files."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from copilot_socket.config.dotenv import read_dotenv
from copilot_socket.config.loading import Layer, environment_name, load_layers
from copilot_socket.config.model import Config
from copilot_socket.config.secret_files import DIRECTORY, SecretFiles

_NO_OVERRIDES: Mapping[str, str] = {}


def from_environment(overrides: Mapping[str, str] = _NO_OVERRIDES, *, directory: Path | None = None) -> Config:
    """The configuration of this process: os.environ, `.env.<COPILOT_ENV>` in `directory` (the working
    directory), the files that these name, systemd's credentials, and `overrides` (options of the command line, by
    variable name). Raises ConfigFaults.
    """
    environ = dict(os.environ)
    with contextlib.suppress(RuntimeError):  # a user without an entry in the user database
        environ.setdefault("HOME", str(Path("~").expanduser()))
    environment = environment_name(environ, overrides)
    name = f".env.{environment}"
    dotenv, faults = read_dotenv((directory or _working_directory()) / name)
    given = environ.get(DIRECTORY, "").strip()
    files = SecretFiles(Path(given) if given else None)
    layers = (
        Layer("option", overrides),
        Layer("environment", environ, foreign_names=True),
        Layer("a file that the environment names", files.named_in(environ, "environment")),
        Layer(f"a file in {DIRECTORY}", files.given_by_systemd()),
        Layer(name, dotenv),
        Layer(f"a file that {name} names", files.named_in(dotenv, name)),
    )
    return load_layers(layers, environment, environ, uid=os.geteuid(), faults=(*faults, *files.faults))


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # somebody removed it
        return Path("/nonexistent")
