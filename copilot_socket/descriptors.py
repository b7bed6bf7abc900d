"""Divides the descriptors that a node may open (RLIMIT_NOFILE) among its kinds of connections."""

import contextlib
import resource

import attrs

from copilot_socket.config import Config, ConfigFaults, Fault
from copilot_socket.http.channel import MAX_CONNECTIONS
from copilot_socket.store.database import DEDICATED
from copilot_socket.store.webhooks import MOST
from copilot_socket.wire.limits import MAX_REFUSED

RESERVE = 24 + MOST
"""Descriptors for the process itself (13 when it is idle), its files, its requests to GitLab, and to webhooks."""
A_DATABASE_CONNECTION = 2
"""Descriptors per database connection: its own and the reactor's duplicate."""
HTTP_AT_LEAST, REFUSED_AT_LEAST = 16, 4
"""Connections reserved for HTTP and for refusals before crawlers get fewer than SOCKET_MAX_CONNECTIONS."""
LEAST = 8
"""The least number of connections of all kinds with which a node starts."""
_HOW = "(ulimit -n, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
_MOST = 2**20
"""Upper bound for an unlimited RLIMIT_NOFILE: some child processes iterate over every possible descriptor."""


@attrs.frozen
class Shares:
    """The most simultaneous connections: of crawlers, of crawlers that are being refused, and of HTTP clients."""

    crawlers: int
    refused: int = MAX_REFUSED
    http: int = MAX_CONNECTIONS


def needed(config: Config) -> int:
    """Descriptors that suffice for all connections of *config*."""
    return _own(config) + config.max_connections + MAX_REFUSED + MAX_CONNECTIONS


def shares(config: Config, limit: int) -> Shares:
    """The shares of *limit* descriptors. Raises ``ConfigFaults`` if fewer than :data:`LEAST` connections remain."""
    wanted, room = config.max_connections, limit - _own(config)
    if room < LEAST:
        text = (
            f"RLIMIT_NOFILE is {limit}: a node with DATABASE_CONNECTION_POOL={config.database_pool} needs at least "
            f"{_own(config) + LEAST} descriptors, and {needed(config)} for SOCKET_MAX_CONNECTIONS={wanted}: raise it "
            f"{_HOW}, or lower these"
        )
        raise ConfigFaults([Fault("SOCKET_MAX_CONNECTIONS", str(wanted), "", text=text)], config)
    spare = room - wanted
    if spare >= HTTP_AT_LEAST + REFUSED_AT_LEAST:
        http = min(MAX_CONNECTIONS, max(HTTP_AT_LEAST, spare * 2 // 3))
        return Shares(wanted, min(MAX_REFUSED, spare - http), http)
    http, refused = min(HTTP_AT_LEAST, room // 4), min(REFUSED_AT_LEAST, room // 8)
    return Shares(min(wanted, room - http - refused), refused, http)


def shortage(config: Config, limit: int, granted: Shares) -> str | None:
    """The warning to log if crawlers get fewer connections than configured, else None."""
    if granted.crawlers >= config.max_connections:
        return None
    return (
        f"RLIMIT_NOFILE is {limit}, too low for SOCKET_MAX_CONNECTIONS={config.max_connections}: at most "
        f"{granted.crawlers} crawler connections are served, and {granted.http} of HTTP. Raise it to "
        f"{needed(config)} {_HOW}, or lower SOCKET_MAX_CONNECTIONS"
    )


def raise_limit() -> int:
    """Raise the soft limit to the hard limit, and return the limit then in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < highest:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            soft = highest
    return _MOST if soft == resource.RLIM_INFINITY else soft


def _own(config: Config) -> int:
    return RESERVE + len(config.listen) + A_DATABASE_CONNECTION * (config.database_pool + DEDICATED)
