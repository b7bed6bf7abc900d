"""TLS for crawlers' connections: Twisted's, with certificates that are read again when their files change."""

from collections.abc import Callable
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from copilot_socket.core.endpoints import CertificateFiles
from copilot_socket.wire.certificates import CertificateFault, Credentials, read, reason_of, subject_of

JUDGED_AT_ONCE = 20
"""Connections whose certificates are verified again in one turn of the reactor: some milliseconds."""
NO_LONGER = "its certificate is no longer accepted"


class Closable(Protocol):
    """A connection of a crawler."""

    def close(self, reason: str) -> None:
        """Close the connection, for *reason*."""


class TLSTransport(TLSMemoryBIOProtocol):
    """The transport of a connection over TLS. The end of the input waits until what came before it is handled.

    Over other transports that is so because they are not read during a pause. Here the end may have been read
    together with messages. Small writes are not collected: the turn batcher has done that.
    """

    factory: "TLSFactory"
    transport: Any
    _paused = _ended = False
    refusal: str | None = None
    """Why the certificate of the other end was refused."""

    @property
    def subject(self) -> str | None:
        """The subject of the client's certificate, which is verified; None if none was asked for."""
        certificate = self._tlsConnection.get_peer_certificate(as_cryptography=True)
        return None if certificate is None else subject_of(certificate)

    @property
    def outdated(self) -> bool:
        """Whether files were replaced since the handshake began, and do not accept the client's certificate."""
        current = self.factory.credentials
        return self._tlsConnection.get_context() is not current.context and not self.accepted_by(current)

    def accepted_by(self, credentials: Credentials) -> bool:
        """Whether *credentials* accept the client's certificate; also while it has shown none."""
        connection = self._tlsConnection
        given = None if connection is None else connection.get_peer_certificate(as_cryptography=True)
        if given is None:
            return True
        return credentials.accepts(given, connection.get_peer_cert_chain(as_cryptography=True) or [])

    def pauseProducing(self) -> None:
        """See :class:`twisted.internet.interfaces.IPushProducer`."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """See :class:`twisted.internet.interfaces.IPushProducer`."""
        self._paused = False
        if self._ended:
            self._end()
        else:
            self.transport.resumeProducing()

    def loseConnection(self) -> None:
        """Send a close alert, and close behind it: the other end may never answer it."""
        super().loseConnection()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        if not self._handshakeDone and not self.disconnecting:  # else it was closed here
            why = self.refusal or reason_of((self._reason or reason).value)
            self.factory.handshake_failed(self.getPeer().host, why)
        super().connectionLost(reason)

    # -- called by the base class at the other end's close alert

    def _shutdownTLS(self) -> None:
        if self.disconnecting or self._ended:
            super()._shutdownTLS()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None or self.disconnecting:
            super()._tlsShutdownFinished(reason)
            return
        self._lostTLSConnection = self._ended = True  # the base class reads no further
        clock = self.factory.clock
        # Two turns: in the first one, messages that were read with the end are handled.
        clock.callLater(0, clock.callLater, 0, self._end)

    def _end(self) -> None:
        if not self._paused and self.connected:
            self._shutdownTLS()
            super()._tlsShutdownFinished(None)


@implementer(IOpenSSLServerConnectionCreator)
class Renewing:
    """Credentials from *files*, of which those are in force that were last read without a fault."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._stamp = self._seen = self._taken()
        self.current = read(files)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See :class:`twisted.internet.interfaces.IOpenSSLServerConnectionCreator`."""
        connection = SSL.Connection(self.current.context, None)
        connection.set_app_data(tlsProtocol)  # as newer versions of Twisted do themselves
        return connection

    def look(self) -> Credentials | None:
        """The credentials, if new ones were read; called every few seconds.

        Files are read when they were the same at two looks, as they are replaced one after the other, and again
        until that succeeds: what is at fault may not be the files. Raises :class:`CertificateFault`.
        """
        stamp = self._taken()
        settled, self._seen = stamp == self._seen, stamp
        if not settled or stamp == self._stamp:
            return None
        self.current = read(self._files)
        self._stamp = stamp
        return self.current

    def _taken(self) -> tuple[object, ...]:
        """What changes when one of the files is replaced or written to."""
        found: list[object] = []
        for path in self._files.all:
            try:
                status = path.stat()
            except OSError as error:
                found.append(error.errno)
            else:
                found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        return tuple(found)


class TLSFactory(TLSMemoryBIOFactory):
    """Serves the connections of *crawlers* over TLS."""

    log = Logger()
    protocol = TLSTransport

    def __init__(
        self,
        name: str,
        files: CertificateFiles,
        crawlers: Factory,
        clock: IReactorTime,
        on_failure: Callable[[str, str], None] = lambda _address, _why: None,
    ) -> None:
        """Raises :class:`CertificateFault`. *on_failure* is called with address and reason of a failed handshake."""
        self.certificates = Renewing(files)
        super().__init__(self.certificates, False, crawlers, clock)
        self.clock = clock
        self._name = name
        self._fault = ""
        """What was last logged of new files."""
        self._on_failure = on_failure
        self._concerned: tuple[Credentials, str] | None = None
        """What was logged last about which credentials."""

    @property
    def credentials(self) -> Credentials:
        """Those in force."""
        return self.certificates.current

    def look(self) -> None:
        """Take over certificates whose files were replaced, and close connections that are not accepted any more."""
        try:
            renewed = self.certificates.look()
        except CertificateFault as fault:
            if str(fault) != self._fault:
                self._fault = str(fault)
                text = "New certificates of {name} are at fault, and the old ones stay in force: {fault}"
                self.log.error(text, name=self._name, fault=fault)
            return
        self._fault = ""
        concern = self.credentials.concern
        if concern is not None and self._concerned != (self.credentials, concern):
            self._concerned = self.credentials, concern
            self.log.warn("The certificate of {name} {concern}", name=self._name, concern=concern)
        if renewed is not None:
            self.log.info("{name} uses new files: {what}", name=self._name, what=renewed.description)
            self._close_refused(renewed, list(self.protocols))

    def _close_refused(self, credentials: Credentials, left: list[Any]) -> None:
        """Judge the connections *left*, a few in each turn of the reactor."""
        for transport in left[:JUDGED_AT_ONCE]:
            if not transport.accepted_by(credentials):
                closable: Closable = transport.wrappedProtocol
                closable.close(NO_LONGER)
        if left[JUDGED_AT_ONCE:]:
            self.clock.callLater(0, self._close_refused, credentials, left[JUDGED_AT_ONCE:])

    def handshake_failed(self, address: str, why: str) -> None:
        """A handshake with *address* has failed, or comes too late for its certificate."""
        self._on_failure(address, f"{self._name}: {why}")
