"""Sockets inherited from the service manager (sd_listen_fds(3)), which keep accepting while the node restarts."""

import os
import socket
import sys
from collections.abc import MutableMapping
from typing import Any

import attrs
from twisted.python.systemd import ListenFDs

from copilot_socket.wire.listening import SocketError

FIRST_DESCRIPTOR = 3
CRAWLERS, HTTP = "crawlers", "http"
"""Names that the socket unit may give its descriptors (FileDescriptorName=)."""
_NAMELESS = "unknown"  # as in sd_listen_fds_with_names(3)


@attrs.frozen
class Inherited:
    """Listening sockets that the node serves instead of creating its own; None: not inherited."""

    crawlers: socket.socket | None = None
    http: socket.socket | None = None


def inherited(environ: MutableMapping[str, str]) -> Inherited:
    """Take over the sockets that *environ* announces, and remove the variables, so that they are taken only once.

    :mod:`twisted.internet.endpoints` takes them over on import, which may have happened already: without a plugin
    cache twistd imports all plugins. Then they are taken from there. Twisted's ``systemd:`` endpoint is no good for
    UNIX sockets: it changes their mode, and when it closes, shuts them down and unlinks them.
    A socket named ``http`` is the HTTP port, a UNIX socket is for crawlers. Raises :class:`SocketError` for any
    other, on which clients would wait for ever.
    """
    found: dict[str, socket.socket] = {}
    for descriptor, name in _announced(environ):
        listening = _socket(descriptor, name)
        role = HTTP if name == HTTP else CRAWLERS
        _check(listening, role, f"inherited descriptor {descriptor} ({name})")
        if role in found:
            raise SocketError(
                f"inherited descriptor {descriptor} ({name}) is one too many: "
                f"a node serves one UNIX socket for crawlers, and one TCP socket named {HTTP}"
            )
        found[role] = listening
    return Inherited(found.get(CRAWLERS), found.get(HTTP))


def _announced(environ: MutableMapping[str, str]) -> list[tuple[int, str]]:
    """Descriptors and their names. LISTEN_PID must be this process: variables are inherited from a parent, too."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return _taken_by_twisted(environ)
    del environ["LISTEN_PID"]
    text = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "")
    try:
        count = int(text)
    except ValueError as error:
        raise SocketError(f"LISTEN_FDS is {text!r}: allowed is the number of inherited descriptors") from error
    given = names.split(":") if names else [_NAMELESS] * count
    if len(given) != count:
        raise SocketError(f"LISTEN_FDNAMES is {names!r}: allowed is one name for each of the {count} of LISTEN_FDS")
    return [(FIRST_DESCRIPTOR + index, name) for index, name in enumerate(given)]


def _taken_by_twisted(environ: MutableMapping[str, str]) -> list[tuple[int, str]]:
    """The descriptors that :mod:`twisted.internet.endpoints` has taken over if it was imported, and their names."""
    parser: Any = getattr(sys.modules.get("twisted.internet.endpoints"), "_SystemdParser", None)
    taken: ListenFDs | None = getattr(parser, "_sddaemon", None)
    if taken is None or not (descriptors := taken.inheritedDescriptors()):
        return []
    parser._sddaemon = ListenFDs([])
    names = environ.pop("LISTEN_FDNAMES", "").split(":")  # Twisted removes the others only
    return list(zip(descriptors, names, strict=True))


def _socket(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        listening = socket.socket(fileno=descriptor)
    except OSError as error:
        raise SocketError(f"inherited descriptor {descriptor} ({name}) is no socket: {error.strerror}") from error
    listening.setblocking(False)
    return listening


def _check(listening: socket.socket, role: str, who: str) -> None:
    family = listening.family
    if listening.type != socket.SOCK_STREAM or not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SocketError(f"{who} is not a listening stream socket: use ListenStream= with Accept=no")
    if role == CRAWLERS and family != socket.AF_UNIX:
        raise SocketError(
            f"{who} is no UNIX socket: crawlers connect to a UNIX socket; the HTTP port needs "
            f"FileDescriptorName={HTTP}"
        )
    if role == HTTP and family not in (socket.AF_INET, socket.AF_INET6):
        raise SocketError(f"{who} is no TCP socket: the HTTP port is one")
