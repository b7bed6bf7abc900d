"""The only part of the configuration that reads the process's environment and files."""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import attrs

from copilot_socket.config.dotenv import read_dotenv
from copilot_socket.config.loading import Layer, environment_name, first, load_layers
from copilot_socket.config.model import Config, ConfigFaults, Fault
from copilot_socket.config.secret_files import DIRECTORY, SecretFiles
from copilot_socket.config.table import SECRETS

_NO_OVERRIDES: Mapping[str, str] = {}


@attrs.frozen
class _Found:
    """The places where variables may be set, highest precedence first, and the faults of files among them."""

    environment: str
    environ: Mapping[str, str]
    layers: tuple[Layer, ...]
    faults: tuple[Fault, ...]


def from_environment(overrides: Mapping[str, str] = _NO_OVERRIDES, *, directory: Path | None = None) -> Config:
    """The configuration of this process. Raises ConfigFaults.

    It comes from `overrides` (command-line options, by variable), os.environ, `.env.<COPILOT_ENV>` in `directory`
    (None: the working directory), the secret files that these name, and systemd's credentials.
    """
    found = _find(overrides, SECRETS, directory)
    return load_layers(found.layers, found.environment, found.environ, uid=os.geteuid(), faults=found.faults)


def further_variables(
    names: Collection[str], secrets: Collection[str], overrides: Mapping[str, str]
) -> dict[str, str]:
    """Variables that only one command uses: those of *names* that are set, from the same places as the configuration.

    Those among *secrets* may be in files. Raises ConfigFaults.
    """
    found = _find(overrides, secrets, None)
    if found.faults:
        raise ConfigFaults(found.faults)
    return {name: text for name in names if (text := first(found.layers, name))}


def _find(overrides: Mapping[str, str], secrets: Collection[str], directory: Path | None) -> _Found:
    environ = dict(os.environ)
    with contextlib.suppress(RuntimeError):  # a user without an entry in the user database
        environ.setdefault("HOME", str(Path("~").expanduser()))
    environment = environment_name(environ, overrides)
    name = f".env.{environment}"
    dotenv, faults = read_dotenv((directory or _working_directory()) / name)
    given = environ.get(DIRECTORY, "").strip()
    files = SecretFiles(Path(given) if given else None, secrets)
    layers = (
        Layer("option", overrides, source="option"),
        Layer("environment", environ, foreign_names=True, source="environment"),
        Layer("a file that the environment names", files.named_in(environ, "environment")),
        Layer(f"a file in {DIRECTORY}", files.given_by_systemd(), source="credential"),
        Layer(name, dotenv),
        Layer(f"a file that {name} names", files.named_in(dotenv, name)),
    )
    return _Found(environment, environ, layers, (*faults, *files.faults))


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path("/nonexistent")
