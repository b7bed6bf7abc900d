"""The service manager's side of a node: it receives notifications, and passes listening sockets."""

import socket
from pathlib import Path

from twisted.internet.protocol import DatagramProtocol

from tests.support.crawler import reactor
from tests.support.server import ServerProcess

# LISTEN_PID must be the pid of the node, so the process that becomes the node sets it.
_AS_ITSELF = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"]


class NotifySocket(DatagramProtocol):
    """A NOTIFY_SOCKET. ``messages`` are all datagrams received, in order, each as its fields."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    @classmethod
    def at(cls, address: str) -> "NotifySocket":
        """Listen at *address*, given as in NOTIFY_SOCKET."""
        protocol = cls()
        reactor.listenUNIXDatagram("\0" + address[1:] if address.startswith("@") else address, protocol)
        return protocol

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Keep the message."""
        self.messages.append(dict(line.split("=", 1) for line in datagram.decode().splitlines()))

    def fields(self) -> list[str]:
        """The names of all fields received, in order."""
        return [name for message in self.messages for name in message]

    def values(self, field: str) -> list[str]:
        """All values of *field*, in order."""
        return [message[field] for message in self.messages if field in message]

    def close(self) -> object:
        """Stop listening."""
        assert self.transport is not None
        return self.transport.stopListening()  # type: ignore[attr-defined]


def listening(path: Path, mode: int = 0o600) -> socket.socket:
    """A UNIX socket that listens at *path*, as that of a socket unit. The caller closes it."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(mode)
    made.listen(64)
    return made


def pass_on(server: ServerProcess, **sockets: socket.socket) -> None:
    """Have *server* inherit *sockets*, by name, at each start."""
    server.wrapper = _AS_ITSELF
    server.inherited = list(sockets.values())
    server.environ |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
