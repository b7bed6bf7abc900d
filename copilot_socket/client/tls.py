"""Connecting to a server over TLS, with a certificate of the crawler."""

from pathlib import Path
from typing import Any

import attrs
from twisted.internet import ssl
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer


@implementer(IStreamClientEndpoint)
@attrs.frozen
class TLSClient:
    """The TLS endpoint of the server at *host* and *port*, whose certificate a CA in the file *ca* must have issued.

    *certificate* and *key* are files of the crawler; None where it has a token instead. All are PEM, and read at each
    connection, so that a renewed one needs no restart.
    """

    reactor: Any
    host: str
    port: int
    ca: Path | str
    certificate: Path | str | None = None
    key: Path | str | None = None
    """None: in the same file as the certificate."""

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """See :class:`twisted.internet.interfaces.IStreamClientEndpoint`. Faulty files fail the attempt."""
        try:
            options = self._options()
        except Exception as error:
            return fail(error)
        endpoint = wrapClientTLS(options, HostnameEndpoint(self.reactor, self.host.encode(), self.port))
        connected: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connected

    def _options(self) -> Any:
        authorities = [ssl.Certificate.loadPEM(each) for each in _blocks(Path(self.ca).read_bytes())]
        own, chain = None, []
        if self.certificate is not None:
            pem = Path(self.certificate).read_bytes() + Path(self.key or self.certificate).read_bytes()
            own = ssl.PrivateCertificate.loadPEM(pem)
            chain = [ssl.Certificate.loadPEM(each).original for each in _blocks(pem)[1:]]
        more = {"extraCertChain": chain} if chain else None
        return ssl.optionsForClientTLS(
            self.host, ssl.trustRootFromCertificates(authorities), own, extraCertificateOptions=more
        )


def _blocks(pem: bytes) -> list[bytes]:
    """The certificates in *pem*."""
    end = b"-----END CERTIFICATE-----"
    return [block + end + b"\n" for block in pem.split(end)[:-1]]
