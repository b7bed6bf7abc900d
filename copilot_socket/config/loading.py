"""Builds a Config from mappings. Pure: reads no environment, file or clock."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from copilot_socket.config.model import MASK, Config, ConfigFaults, Fault, Setting, Source, holds_password, masked_url
from copilot_socket.config.parsers import NotAllowed
from copilot_socket.config.table import BY_NAME, ENVIRONMENT, VARIABLES
from copilot_socket.config.variable import Variable
from copilot_socket.core.endpoints import UNIXEndpoint

OPTION = "option"
PREFIXES = ("SOCKET_", "COPILOT_")
"""Prefixes of this program's variables."""
_SEEN = "a URL without a password, as a command line is there for all to see: set DATABASE_URL or DATABASE_URL_FILE"
_ROOT_STATE_DIR = "/var/lib/copilot-study"


@attrs.frozen
class _Given:
    """A value as found, with its variable and the place where it is set."""

    name: str
    text: str
    origin: str
    source: Source = "default"


@attrs.frozen
class Layer:
    """Values by name, and their origin. ``foreign_names``: other programs' variables are set there, too."""

    origin: str
    values: Mapping[str, str]
    foreign_names: bool = False
    source: Source = "file"


@attrs.frozen
class _Layers:
    """The layers, highest precedence first. Empty and blank values count as unset."""

    layers: Sequence[Layer]

    def find(self, name: str) -> _Given | None:
        for layer in self.layers:
            text = layer.values.get(name, "").strip()
            if text:
                return _Given(name, text, layer.origin, layer.source)
        return None

    def find_either(self, name: str, synonym: str) -> tuple[_Given | None, _Given | None]:
        """The value in the first layer that has one, and one that contradicts it in the same layer."""
        for layer in self.layers:
            here = _Layers([layer])
            one, other = here.find(name), here.find(synonym)
            if one and other and one.text != other.text:
                return one, other
            if one or other:
                return one or other, None
        return None, None


class _Loader:
    """One pass over the table, which collects values and faults."""

    def __init__(self, layers: _Layers, environment: str, home: Mapping[str, str], uid: int) -> None:
        self._layers = layers
        self._environment = environment
        self._home = home
        self._uid = uid
        self._texts: dict[str, str] = {}
        self.given: dict[str, _Given] = {}
        self.values: dict[str, Any] = {}
        self.settings: list[Setting] = []
        self.faults: list[Fault] = []
        self.warnings: list[str] = []

    def take(self, variable: Variable) -> None:
        given = self._find(variable)
        default = self._default(variable)
        if given is not None:
            given = self._accept(variable, given)
        if given is None and default:
            given = self._accept(variable, _Given(variable.name, default, "default"))
        if given is None:
            self.values[variable.field] = () if variable.field in _LISTS else None
        self._texts[variable.name] = given.text if given else ""
        self.settings.append(_shown(variable, given, default))

    def _find(self, variable: Variable) -> _Given | None:
        if variable.synonym is not None:
            given, contradiction = self._layers.find_either(variable.name, variable.synonym)
            if contradiction is not None:
                allowed = f"the same as {variable.name}, or only one of the two"
                self._fault(variable, contradiction, allowed)
            return given
        given = self._layers.find(variable.name)
        if given is None and variable.or_else is not None:
            given = self._layers.find(variable.or_else)
        return given

    def _accept(self, variable: Variable, given: _Given) -> _Given | None:
        """Parse *given*; None if it is not allowed, which is recorded as a fault."""
        text = self._expanded(variable, given.text)
        try:
            value = variable.parser.parse(text)
        except ValueError as error:
            self._fault(variable, given, str(error) if isinstance(error, NotAllowed) else variable.parser.allowed)
            return None
        if given.origin == OPTION and variable.field == "database_url" and holds_password(text):
            self._fault(variable, given, _SEEN)
            return None
        self.values[variable.field] = value
        self.given[variable.name] = given
        return given

    def _expanded(self, variable: Variable, text: str) -> str:
        home = self._home.get("HOME", "")
        if variable.field == "state_dir" and text.startswith("~/") and home:
            return home + text[1:]  # as in a .env file, where no shell expands it
        return text

    def _default(self, variable: Variable) -> str:
        text = variable.default_in(self._environment)
        if not text.startswith("<"):
            return text
        if variable.name == "SOCKET_HEARTBEAT_TIMEOUT":
            return str(3 * int(self._texts["SOCKET_HEARTBEAT_INTERVAL"]))
        return self._default_state_dir()

    def _default_state_dir(self) -> str:
        if self._uid == 0:
            return _ROOT_STATE_DIR
        base, home = self._home.get("XDG_STATE_HOME", ""), self._home.get("HOME", "").rstrip("/")
        if base.startswith("/"):  # the XDG specification has relative paths ignored
            return f"{base}/copilot-socket"
        if home.startswith("/"):
            return f"{home}/.local/state/copilot-socket"
        return _ROOT_STATE_DIR

    def _fault(self, variable: Variable, given: _Given, allowed: str) -> None:
        value = MASK if variable.secret else _USER.sub(f"//{MASK}@", given.text)
        self.faults.append(Fault(given.name, value, allowed, given.origin))

    def check_together(self) -> None:
        """Check the relations between variables, except for those already faulty."""
        values = self.values
        if values["heartbeat_timeout"] <= values["heartbeat_interval"]:
            self._clash("SOCKET_HEARTBEAT_TIMEOUT", "more than", "SOCKET_HEARTBEAT_INTERVAL")
        if values["transaction_timeout"] < values["query_timeout"]:
            self._clash("SOCKET_TRANSACTION_TIMEOUT", "no less than", "SOCKET_QUERY_TIMEOUT")
        if values["plain_jobs"] > values["max_concurrent_jobs"]:
            self._clash("SOCKET_PLAIN_JOBS", "no more than", "SOCKET_MAX_CONCURRENT_JOBS")
        if values["max_jobs_limit"] < values["max_concurrent_jobs"]:
            self._clash("SOCKET_MAX_JOBS_LIMIT", "no less than", "SOCKET_MAX_CONCURRENT_JOBS")
        if values["error_log_file"] and values["error_log_file"] == values["log_file"]:
            self._clash("SOCKET_ERROR_LOG_FILE", "another file than that of", "SOCKET_LOG_FILE")
        if values["gitlab_client_secret"] and not values["gitlab_client_id"]:
            self._clash("GITLAB_CLIENT_ID", "the id that belongs to", "GITLAB_CLIENT_SECRET")
        if values["gitlab_client_id"] and not values["gitlab_url"]:
            self._clash("GITLAB_URL", "the URL of the GitLab of", "GITLAB_CLIENT_ID")
        if self._environment == "production" and values["database_url"] and not values["secret_keys"]:
            keys = BY_NAME["COPILOT_SECRET_KEY"].parser.allowed
            self._clash("COPILOT_SECRET_KEY", f"{keys}; required in production with", "DATABASE_URL")

        self._check_listen()

    def _check_listen(self) -> None:
        """Over the network only crawlers are served that show who they are."""
        name, faulty = "COPILOT_LISTEN", {fault.variable.removesuffix("_FILE") for fault in self.faults}
        for endpoint in self.values["listen"]:
            if isinstance(endpoint, UNIXEndpoint):
                if endpoint.path == self.values["socket_path"]:
                    self._fault(
                        BY_NAME[name], self.given[name], f"another path than SOCKET_PATH for {endpoint.text!r}"
                    )
            elif not endpoint.admits and not self.values["crawler_tokens"] and "COPILOT_CRAWLER_TOKEN" not in faulty:
                needed = "COPILOT_CRAWLER_TOKEN, or as ssl with clientCA or clientFingerprints"
                allowed = f"{endpoint.text!r} only with {needed}"
                self._fault(BY_NAME[name], self.given[name], allowed)

    def look_for_unknown_names(self) -> None:
        """Report misspelt variables: as a fault, or as a warning where it may belong to another program."""
        for layer in self._layers.layers:
            for name in sorted(layer.values.keys() - _KNOWN):
                ours = name.startswith(PREFIXES)
                near = difflib.get_close_matches(name.upper(), _KNOWN, 1, cutoff=0.8 if ours else 0.9)
                nearest = near[0] if near else None
                if not ours and (nearest is None or self._layers.find(nearest)):
                    continue
                text = f"{name} ({layer.origin}) is not a variable of copilot-socket"
                text += f": is {nearest} meant?" if nearest else ""
                if layer.foreign_names or not ours:
                    self.warnings.append(text)
                else:
                    self.faults.append(Fault(name, "", "", layer.origin, text=text, remedy=f"remove {name}"))

    def _clash(self, name: str, relation: str, other: str) -> None:
        """Record the fault that `name` violates its `relation` to `other`."""
        relation = f"{relation} {other}"
        if not BY_NAME[other].secret and self._texts[other]:
            relation += f" ({self._texts[other]})"
        if {name, other} & {fault.variable for fault in self.faults}:
            return
        given = self.given.get(name) or _Given(name, self._texts[name], "default")
        if given.text:
            self._fault(BY_NAME[name], given, relation)
        else:
            self.faults.append(Fault(name, "", relation, given.origin))


_KNOWN = sorted(
    name
    for variable in VARIABLES
    for name in (
        variable.name,
        variable.or_else,
        variable.synonym,
        f"{variable.name}_FILE" if variable.secret else None,
    )
    if name is not None
)
_USER = re.compile("//[^/]*:[^/]*@")
"""The user and password in a URL."""
_LISTS = frozenset({"allowed_origins", "crawler_tokens", "crawler_uids", "secret_keys", "debug", "listen"})


def _shown(variable: Variable, given: _Given | None, default: str) -> Setting:
    if given is None:
        return Setting(variable.name, "", "default", "default", default)
    shown = given.text
    if variable.field == "database_url":
        shown = masked_url(shown)
    elif variable.secret:
        shown = MASK
    origin = given.origin if given.name == variable.name else f"{given.origin}, as {given.name}"
    return Setting(variable.name, shown, origin, given.source, default)


def first(layers: Sequence[Layer], name: str) -> str:
    """The value of the variable *name* in the first layer that has one; empty if none has."""
    given = _Layers(layers).find(name)
    return given.text if given else ""


def environment_name(environ: Mapping[str, str], overrides: Mapping[str, str]) -> str:
    """The selected environment; `development` if it is unset or unknown."""
    layers = _Layers([Layer(OPTION, overrides), Layer("environment", environ)])
    given = layers.find(ENVIRONMENT.name) or layers.find(ENVIRONMENT.or_else or "")
    if given is None:
        return ENVIRONMENT.default
    try:
        return str(ENVIRONMENT.parser.parse(given.text))
    except ValueError:
        return ENVIRONMENT.default


def load(
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    overrides: Mapping[str, str],
    *,
    uid: int,
) -> Config:
    """The configuration; `overrides` (options) take precedence over `environ`, that over `dotenv`, then the defaults.

    All three map variables to values. `uid` is the node's user. Raises ConfigFaults, with every fault.
    """
    environment = environment_name(environ, overrides)
    layers = (
        Layer(OPTION, overrides, source="option"),
        Layer("environment", environ, foreign_names=True, source="environment"),
        Layer(f".env.{environment}", dotenv),
    )
    return load_layers(layers, environment, environ, uid=uid)


def load_layers(
    layers: Sequence[Layer],
    environment: str,
    home: Mapping[str, str],
    *,
    uid: int,
    faults: Sequence[Fault] = (),
) -> Config:
    """The configuration for *environment* from *layers*, highest precedence first. Raises ConfigFaults.

    *home* has HOME and XDG_STATE_HOME. *faults* are raised together with the new ones.
    """
    # COPILOT_ENV selects the .env file, so it has no effect there.
    chosen = [
        layer
        if layer.foreign_names or layer.origin == OPTION
        else attrs.evolve(layer, values=_without_environment_name(layer.values))
        for layer in layers
    ]
    loader = _Loader(_Layers(chosen), environment, home, uid)
    for variable in VARIABLES:
        loader.take(variable)
    loader.values["environment"] = environment
    loader.check_together()
    loader.look_for_unknown_names()
    warnings = tuple(loader.warnings)
    config = Config(**loader.values, settings=tuple(loader.settings), warnings=warnings)
    if faults or loader.faults:
        raise ConfigFaults([*faults, *loader.faults], config)
    return config


def _without_environment_name(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in ("COPILOT_ENV", "NODE_ENV")}
