"""How Twisted connects to the address of a server, for instance over TLS with a certificate of the crawler."""

from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import attrs
from twisted.internet import ssl
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from copilot_socket.client.addresses import TCP, TLS, Address


class Listener(Interface):
    """Receives the events of connections, of which there is one at a time."""

    def connection_made(self, wire: "Wire") -> None:
        """*wire* is open."""

    def received(self, data: bytes) -> None:
        """The server has sent *data*."""

    def connection_lost(self, reason: Failure) -> None:
        """The connection has ended, for *reason*."""


class Wire(Protocol):
    """One connection to the server."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener

    def connectionMade(self) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)  # a report would wait until the one before it has arrived
        self._listener.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self._listener.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self._listener.connection_lost(reason)


class WireFactory(Factory):
    """Creates the connections of one crawler."""

    noisy = False

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener

    def buildProtocol(self, addr: object) -> Wire:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return Wire(self._listener)


def endpoint_of(reactor: Any, address: Address) -> IStreamClientEndpoint:
    """How to connect to *address*."""
    if isinstance(address, TLS):
        return TLSClient(reactor, address)
    if isinstance(address, TCP):
        return HostnameEndpoint(reactor, address.host.encode(), address.port)
    return UNIXClientEndpoint(reactor, str(address))


@implementer(IStreamClientEndpoint)
@attrs.frozen
class TLSClient:
    """The TLS endpoint of the server at *address*."""

    reactor: Any
    address: TLS

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """See :class:`twisted.internet.interfaces.IStreamClientEndpoint`. Faulty files fail the attempt."""
        try:
            options = self._options()
        except Exception as error:
            return fail(error)
        tcp = HostnameEndpoint(self.reactor, self.address.host.encode(), self.address.port)
        connected: Deferred[IProtocol] = wrapClientTLS(options, tcp).connect(protocolFactory)
        return connected

    def _options(self) -> Any:
        address = self.address
        authorities = [ssl.Certificate.loadPEM(each) for each in _blocks(Path(address.ca).read_bytes())]
        own, chain = None, []
        if address.certificate is not None:
            pem = Path(address.certificate).read_bytes() + Path(address.key or address.certificate).read_bytes()
            own = ssl.PrivateCertificate.loadPEM(pem)
            chain = [ssl.Certificate.loadPEM(each).original for each in _blocks(pem)[1:]]
        more = {"extraCertChain": chain} if chain else None
        return ssl.optionsForClientTLS(
            address.host, ssl.trustRootFromCertificates(authorities), own, extraCertificateOptions=more
        )


def _blocks(pem: bytes) -> list[bytes]:
    """The certificates in *pem*."""
    end = b"-----END CERTIFICATE-----"
    return [block + end + b"\n" for block in pem.split(end)[:-1]]
