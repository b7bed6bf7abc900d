"""The transport of a crawler's connection: Twisted's, with two shortcuts for small messages."""

from typing import Any

from twisted.internet import tcp, unix


class CrawlerTransport(unix.Server):
    """Sends at once what the socket takes, and never looks for file descriptors in what it receives.

    Twisted's own waits for the reactor to say that the socket is writable, which takes three system calls more and
    another turn.
    """

    doRead = tcp.Connection.doRead  # type: ignore[assignment]
    writeSomeData = tcp.Connection.writeSomeData

    def write(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.ITransport`."""
        if self.connected and not self.dataBuffer and not self._tempDataBuffer:
            sent: Any = self.writeSomeData(data)
            if sent == len(data):
                return
            if not isinstance(sent, Exception):
                data = data[sent:]
        # What is left waits for the reactor; where the other end has gone, the reactor finds out and closes.
        super().write(data)
