"""The frozen configuration, and the faults that are reported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import attrs

from copilot_socket.config.dsn import UnreadableURL, dsn_parts
from copilot_socket.core.endpoints import Endpoint

MASK = "***"
Source = Literal["option", "environment", "file", "credential", "default"]
"""Where a value may come from."""


@attrs.frozen
class Setting:
    """The value in force of one variable, as text with secrets masked, its origin, and what it would be by default.

    `source` is the kind of the origin. Texts are empty where there is no value.
    """

    name: str
    value: str
    origin: str
    source: Source
    default: str


@attrs.frozen
class Fault:
    """What is wrong with one variable. `value` is masked if secret; `allowed` describes the valid values."""

    variable: str
    value: str
    allowed: str
    origin: str = "environment"
    text: str | None = attrs.field(default=None, kw_only=True)
    """The whole message, for a fault that is not about a value."""
    remedy: str = attrs.field(kw_only=True)
    """How to fix it."""

    @remedy.default
    def _remedy(self) -> str:
        return f"set or unset {self.variable}"

    def __str__(self) -> str:
        if self.text is not None:
            return self.text
        given = f"{self.variable} is {self.value!r} ({self.origin})" if self.value else f"{self.variable} is not set"
        return f"{given}: allowed is {self.allowed}"


class ConfigFaults(Exception):
    """All faults of the configuration.

    `usable` is the configuration with defaults in place of faulty values: for reports, never to run with.
    """

    def __init__(self, faults: Sequence[Fault], usable: "Config | None" = None) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)
        self.usable = usable

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


@attrs.frozen(kw_only=True)
class Config:
    """The whole configuration. Times are in seconds (float), sizes in bytes."""

    environment: str  # development, production or test
    socket_path: str
    socket_mode: int
    log_level: str  # debug, info, warn or error
    log_format: str  # text or json
    log_file: Path | None  # None: standard output
    error_log_file: Path | None  # None: no separate file for errors
    max_connections: int
    heartbeat_interval: float
    heartbeat_timeout: float
    connection_timeout: float
    reconnect_grace: float
    lease: float
    shutdown_timeout: float
    max_concurrent_jobs: int
    plain_jobs: int
    max_jobs_limit: int
    max_message_size: int
    message_rate: int
    job_timeout: float
    retry_attempts: int
    retry_delay: float
    database_url: str | None = attrs.field(repr=False)  # None: the embedded PostgreSQL
    database_pool: int
    query_timeout: float
    transaction_timeout: float
    cleanup_interval: float
    max_job_age: float
    max_error_log_age: float
    audit_age: float
    enable_metrics: bool
    metrics_interval: float
    allowed_origins: tuple[str, ...]
    http_host: str
    http_port: int  # 0: any free port
    http_token: str | None = attrs.field(repr=False)  # None: the one that the first start makes
    http_rate: int
    crawler_tokens: tuple[str, ...] = attrs.field(repr=False)
    crawler_uids: tuple[int, ...]
    secret_keys: tuple[str, ...] = attrs.field(repr=False)  # Fernet keys, newest first
    state_dir: Path
    debug: tuple[str, ...]  # socket:* and names of parts: socket:wire
    listen: tuple[Endpoint, ...]  # besides socket_path
    gitlab_url: str | None  # its origin: scheme, host and port
    gitlab_client_id: str | None
    gitlab_client_secret: str | None = attrs.field(repr=False)
    settings: tuple[Setting, ...] = attrs.field(repr=False, eq=False, default=())
    warnings: tuple[str, ...] = attrs.field(repr=False, eq=False, default=())

    def describe(self) -> list[Setting]:
        """Every variable with the value in force (secrets masked) and its origin, in the table's order."""
        return list(self.settings)


def holds_password(url: str) -> bool:
    """Whether a database URL contains a password. Raises UnreadableURL."""
    return bool({"password", "sslpassword"} & dsn_parts(url).keys())


def masked_url(url: str) -> str:
    """A database URL for people to read: user, host, port and database, never a password or option."""
    try:
        parts = dsn_parts(url)
    except UnreadableURL:
        return MASK
    user = quote(str(parts.get("user", "")), safe="")
    if "password" in parts:
        user += f":{MASK}"
    hosts = str(parts.get("host", parts.get("hostaddr", "")))
    ports = str(parts.get("port", ""))
    address = quote(hosts, safe=",:[]") + (f":{ports}" if ports else "")
    return f"postgresql://{user}{'@' if user else ''}{address}/{quote(str(parts.get('dbname', '')), safe='')}"
