"""The only part of the configuration that reads the process's environment and files."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from copilot_socket.config.dotenv import read_dotenv
from copilot_socket.config.loading import Layer, environment_name, load_layers
from copilot_socket.config.model import Config, ConfigFaults
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
    files = SecretFiles(_credentials(environ))
    layers = (
        Layer("option", overrides),
        Layer("environment", environ, foreign_names=True),
        Layer("a file that the environment names", files.named_in(environ, "environment")),
        Layer(f"a file in {DIRECTORY}", files.given_by_systemd()),
        Layer(name, dotenv),
        Layer(f"a file that {name} names", files.named_in(dotenv, name)),
    )
    return load_layers(layers, environment, environ, uid=os.geteuid(), faults=(*faults, *files.faults))


def secrets_from_environment(names: Sequence[str]) -> dict[str, str]:
    """Those of the secrets *names* that are set: variables, or files as any secret's. Raises ConfigFaults.

    For secrets of a single command, which are no part of the configuration.
    """
    environ = dict(os.environ)
    files = SecretFiles(_credentials(environ), names)
    layers = (files.given_by_systemd(), files.named_in(environ, "environment"), environ)  # the strongest last
    if files.faults:
        raise ConfigFaults(files.faults)
    return {name: layer[name].strip() for layer in layers for name in names if layer.get(name, "").strip()}


def _credentials(environ: Mapping[str, str]) -> Path | None:
    given = environ.get(DIRECTORY, "").strip()
    return Path(given) if given else None


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # somebody removed it
        return Path("/nonexistent")
