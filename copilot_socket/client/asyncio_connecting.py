"""How asyncio connects to the address of a server."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

from copilot_socket.client.addresses import TCP, TLS, Address


class Listener(Protocol):
    """Receives the events of connections, of which there is one at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""

    def received(self, data: bytes) -> None:
        """The server has sent *data*."""

    def connection_lost(self, why: BaseException | None) -> None:
        """The connection has ended."""


class Wire(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._listener.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._listener.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._listener.connection_lost(exc)


async def open_connection(address: Address, wire: Callable[[], Wire]) -> None:
    """Connect to *address*. Raises ``OSError`` and ``ValueError``, also for faulty files of certificates."""
    loop = asyncio.get_running_loop()
    if isinstance(address, TLS):
        # In a thread: files are read.
        context = await asyncio.to_thread(_context, address)
        await loop.create_connection(wire, address.host, address.port, ssl=context, server_hostname=address.host)
    elif isinstance(address, TCP):
        await loop.create_connection(wire, address.host, address.port)
    else:
        await loop.create_unix_connection(wire, str(address))


def _context(address: TLS) -> ssl.SSLContext:
    """Verifies the server by the CA alone, and has the crawler's certificate, if there is one."""
    context = ssl.create_default_context(cafile=address.ca)
    if address.certificate is not None:
        context.load_cert_chain(address.certificate, address.key)
    return context
