"""The addresses of a database: the hosts that a DSN names, resolved without blocking the reactor.

libpq resolves names itself, and blocks meanwhile. It tries several addresses on a new socket each, without time-outs
when it is used asynchronously (libpq manual, "Specifying Multiple Hosts"). So names are resolved in a thread, and
each address is tried by a connection of its own.
"""

import os
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from itertools import zip_longest

from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

Address = Mapping[str, str]
"""Parameters of libpq for one address, which override those of the DSN."""


class Addresses:
    """The addresses of *dsn*. Concurrent look-ups of a name share one thread."""

    def __init__(self, dsn: str) -> None:
        self._hosts = hosts(dsn)
        self._lookups: dict[str, list[Deferred[list[str]]]] = {}

    async def find(self) -> list[Address]:
        """All addresses, in the order in which to try them. Raises ``OSError`` if no name can be resolved."""
        found: list[Address] = []
        problem: OSError | None = None
        for host in self._hosts:
            name = host.get("host", "")
            if "hostaddr" in host or not needs_lookup(name):
                found.append(host)
                continue
            try:
                found += [{**host, "hostaddr": address} for address in await self._look_up(name)]
            except OSError as error:
                problem = error
        if not found and problem is not None:
            raise problem
        return found

    def _look_up(self, name: str) -> "Deferred[list[str]]":
        def cancelled(d: "Deferred[list[str]]") -> None:
            waiting.remove(d)

        d: Deferred[list[str]] = Deferred(cancelled)
        begun = name in self._lookups
        waiting = self._lookups.setdefault(name, [])
        waiting.append(d)
        if not begun:
            deferToThread(_addresses_of, name).addBoth(self._found, name)
        return d

    def _found(self, result: "list[str] | Failure", name: str) -> None:
        for d in self._lookups.pop(name):
            d.callback(result)  # with a Failure this is an errback


def _addresses_of(name: str) -> list[str]:
    """Resolve *name*; blocks. Raises ``OSError``."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(f'could not translate host name "{name}" to address: {error.strerror}') from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def hosts(dsn: str) -> list[Address]:
    """The hosts that *dsn*, or else the environment of libpq, names, each with its port."""
    parts = parse_dsn(dsn)
    given = {
        name: str(parts.get(name) or os.environ.get(variable, "")).split(",")
        for name, variable in (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"), ("port", "PGPORT"))
    }
    if len(given["port"]) == 1:  # one port is used with all hosts
        given["port"] *= max(len(given["host"]), len(given["hostaddr"]))
    rows = zip_longest(*given.values(), fillvalue="")
    return [{name: value for name, value in zip(given, row, strict=True) if value} for row in rows]


def needs_lookup(host: str) -> bool:
    """Whether *host* is a host name, not an address, the directory of a UNIX socket, or empty."""
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
