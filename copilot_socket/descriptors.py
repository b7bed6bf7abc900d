"""How many descriptors a node may open (RLIMIT_NOFILE), and how many connections of each kind there is room for."""

import contextlib
import resource

import attrs

from copilot_socket.config import Config, ConfigFaults, Fault
from copilot_socket.http.channel import MAX_CONNECTIONS
from copilot_socket.store.database import DEDICATED
from copilot_socket.wire.limits import MAX_REFUSED

RESERVE = 24
"""Descriptors for the process itself (13 when it is idle), its files and its requests to GitLab."""
A_DATABASE_CONNECTION = 2
"""Descriptors of one: its own and the reactor's duplicate."""
HTTP_AT_LEAST, REFUSED_AT_LEAST = 16, 4
"""Connections that are kept free for HTTP, and for refusals, before crawlers get fewer than they may have."""
LEAST = 8
"""Connections of all kinds without which a node is of no use."""
_HOW = "(ulimit -n, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
_MOST = 2**20
"""No process needs more, and some that are started look at each one that there might be."""


@attrs.frozen
class Shares:
    """The most connections at once: of crawlers, of crawlers that are being refused, and of HTTP clients."""

    crawlers: int
    refused: int = MAX_REFUSED
    http: int = MAX_CONNECTIONS


def needed(config: Config) -> int:
    """Descriptors with which nothing has to be lessened."""
    return _own(config) + config.max_connections + MAX_REFUSED + MAX_CONNECTIONS


def shares(config: Config, limit: int) -> Shares:
    """What *limit* descriptors leave room for. Raises ``ConfigFaults`` if that is next to nothing."""
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
    """What to tell the administrator where crawlers get fewer connections than the configuration says."""
    if granted.crawlers >= config.max_connections:
        return None
    return (
        f"RLIMIT_NOFILE is {limit}, too low for SOCKET_MAX_CONNECTIONS={config.max_connections}: at most "
        f"{granted.crawlers} crawler connections are served, and {granted.http} of HTTP. Raise it to "
        f"{needed(config)} {_HOW}, or lower SOCKET_MAX_CONNECTIONS"
    )


def raise_limit() -> int:
    """Make the soft limit as high as the hard one allows; the limit that is in force then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < highest:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            soft = highest
    return _MOST if soft == resource.RLIM_INFINITY else soft


def _own(config: Config) -> int:
    return RESERVE + A_DATABASE_CONNECTION * (config.database_pool + DEDICATED)
