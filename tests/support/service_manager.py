"""What a service manager does for a node: hears it, and passes listening sockets on."""

import socket
from pathlib import Path

from twisted.internet.protocol import DatagramProtocol

from tests.support.crawler import reactor
from tests.support.server import ServerProcess

# The pid in LISTEN_PID must be the node's own, which only the process that becomes the node can know.
_AS_ITSELF = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"]


class NotifySocket(DatagramProtocol):
    """A NOTIFY_SOCKET. ``messages`` are all that came, in order, each as its fields."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    @classmethod
    def at(cls, address: str) -> "NotifySocket":
        """Listen at *address*, given as in NOTIFY_SOCKET."""
        protocol = cls()
        reactor.listenUNIXDatagram("\0" + address[1:] if address.startswith("@") else address, protocol)
        return protocol

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Keep it."""
        self.messages.append(dict(line.split("=", 1) for line in datagram.decode().splitlines()))

    def fields(self) -> list[str]:
        """The names of all fields that came, in order."""
        return [name for message in self.messages for name in message]

    def values(self, field: str) -> list[str]:
        """All values of *field*, in order."""
        return [message[field] for message in self.messages if field in message]

    def close(self) -> object:
        """Hear no more."""
        assert self.transport is not None
        return self.transport.stopListening()  # type: ignore[attr-defined]


def listening(path: Path, mode: int = 0o600) -> socket.socket:
    """A UNIX socket that listens at *path*, as a socket unit has it. Close it yourself."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(mode)
    made.listen(64)
    return made


def pass_on(server: ServerProcess, **sockets: socket.socket) -> None:
    """Have *server* inherit *sockets*, by name, at each of its starts."""
    server.wrapper = _AS_ITSELF
    server.inherited = list(sockets.values())
    server.environ |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
