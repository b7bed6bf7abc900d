"""An HTTP client that posts: forms for token refreshes, and messages of webhooks. Slow to import.

Time and memory are bounded whatever the server does: an exchange ends after a time limit, and a connection that has
received more than :data:`MAX_RECEIVED` bytes is aborted. Redirects are not followed.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlencode

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from copilot_socket.handlers.answers import Answer, NoAnswer, retry_after

CONNECT_LIMIT = 5.0
"""Seconds to connect."""
TIME_LIMIT = 90.0
"""Seconds for a form. GitLab aborts a request after 60; to disconnect before that may lose a pair."""
MAX_RECEIVED = 131072
"""Bytes of headers and body together; an answer with a pair has some 300."""


async def post_form(reactor: Any, url: str, form: Mapping[str, str]) -> Answer:
    """Post *form* to *url*; the answer. Raises :class:`NoAnswer`."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return await post(reactor, url, headers, urlencode(form).encode(), TIME_LIMIT)


async def post(reactor: Any, url: str, headers: Mapping[str, str], body: bytes, limit: float) -> Answer:
    """Post *body* to *url*; the answer, within *limit* seconds. Raises :class:`NoAnswer`."""
    connections = _Connections(reactor)
    sent = Headers({name: [value] for name, value in headers.items()})
    exchange = Deferred.fromCoroutine(_exchange(reactor, connections, url.encode("ascii"), sent, body))
    try:
        answer = await exchange.addTimeout(limit, reactor)
    except CancelledError:
        raise
    except Exception as error:
        raise NoAnswer(connections.too_much() or _why(error, limit)) from None
    finally:
        connections.abort()
    if connections.too_much():  # without a Content-Length the body seems complete
        raise NoAnswer(connections.too_much())
    return answer


async def _exchange(reactor: Any, connections: "_Connections", url: bytes, headers: Headers, sent: bytes) -> Answer:
    agent = Agent.usingEndpointFactory(reactor, connections, HTTPConnectionPool(reactor, persistent=False))
    body = _Body()
    try:
        response: IResponse = await agent.request(b"POST", url, headers, FileBodyProducer(BytesIO(sent)))
        response.deliverBody(body)
        received = await body.complete
    except Exception as error:
        raise _innermost(error) from None
    wait = retry_after(_header(response, b"Retry-After"), _header(response, b"Date"))
    return Answer(response.code, received, wait)


def _header(response: IResponse, name: bytes) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[0].decode("latin-1") if values else None


def _innermost(error: Exception) -> Exception:
    """The cause that twisted.web has wrapped in *error*."""
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    return error


def _why(error: Exception, limit: float) -> str:
    """The reason, in texts of ours and of the TLS library: other errors' texts may quote the server."""
    if isinstance(error, TimeoutError):
        return f"did not answer within {limit:g} s"
    if isinstance(error, SSL.Error):
        reasons = error.args[0] if error.args else ()
        return f"did not answer: TLS: {reasons[-1][-1] if reasons else 'failed'}"
    return f"did not answer: {type(error).__name__}"


class _Body(Protocol):
    """Collects a body; the connection bounds its length."""

    def __init__(self) -> None:
        self.complete: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep *data*."""
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is complete, or the connection failed."""
        if self.complete.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.complete.callback(b"".join(self._parts))
        else:
            self.complete.errback(reason)


class _Counted(ProtocolWrapper):
    """A connection that is aborted once it has received more than :data:`MAX_RECEIVED` bytes."""

    received = 0

    def dataReceived(self, data: bytes) -> None:
        """Count, and pass on or abort."""
        self.received += len(data)
        if self.received > MAX_RECEIVED:
            self.abort()
        else:
            super().dataReceived(data)

    def abort(self) -> None:
        """Close immediately."""
        cast(Any, self.transport).abortConnection()


@implementer(IAgentEndpointFactory)
class _Connections:
    """Makes the connections of one exchange."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._made: list[_Counted] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See :class:`IAgentEndpointFactory`."""
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, CONNECT_LIMIT)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(BrowserLikePolicyForHTTPS().creatorForNetloc(uri.host, uri.port), endpoint)
        return _Endpoint(endpoint, self._made)

    def too_much(self) -> str:
        """The reason if the server sent too much, else an empty string."""
        excess = any(connection.received > MAX_RECEIVED for connection in self._made)
        return f"sent more than {MAX_RECEIVED} bytes" if excess else ""

    def abort(self) -> None:
        """Abort all connections."""
        for connection in self._made:
            connection.abort()


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """*inner*, with connections that count their bytes and are added to *made*."""

    def __init__(self, inner: IStreamClientEndpoint, made: list[_Counted]) -> None:
        self._inner = inner
        self._made = made

    def connect(self, protocolFactory: IProtocolFactory) -> Any:
        """See :class:`IStreamClientEndpoint`."""
        factory = WrappingFactory(cast(Factory, protocolFactory))
        factory.protocol = _Counted
        return self._inner.connect(factory).addCallback(self._connected)

    def _connected(self, connection: Any) -> Any:
        self._made.append(connection)
        return connection.wrappedProtocol
