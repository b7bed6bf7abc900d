"""The HTTP client against servers that misbehave."""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from copilot_socket.handlers import posting
from copilot_socket.handlers.answers import Answer, NoAnswer
from tests.support.crawler import reactor, until

FORM = {"grant_type": "refresh_token", "refresh_token": "MARKED"}
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


class Peer(Protocol):
    """One connection to the server."""

    def __init__(self, answer: Callable[["Peer"], None]) -> None:
        self.answer = answer
        self.heard = b""
        self.over = False
        self.dripping: LoopingCall | None = None

    def dataReceived(self, data: bytes) -> None:
        """Answer once the request is complete."""
        first, self.heard = not self.heard, self.heard + data
        if first or b"MARKED" in data:
            self.answer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has disconnected."""
        self.over = True
        if self.dripping is not None:
            self.dripping.stop()

    def send(self, data: bytes) -> None:
        """Send *data*."""
        cast(Any, self.transport).write(data)

    def drip(self, data: bytes) -> None:
        """Send *data* again and again, as fast as the reactor turns."""
        self.dripping = LoopingCall(self.send, data)
        self.dripping.start(0.001)


class PostingTests(TestCase):
    """A server on 127.0.0.1 whose answers a test determines."""

    timeout = 180

    def setUp(self) -> None:
        self.peers: list[Peer] = []
        self.answer: Callable[[Peer], None] = lambda peer: peer.send(GOOD)
        factory = Factory.forProtocol(Peer)
        factory.buildProtocol = self.build  # type: ignore[method-assign]
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/oauth/token"

    def build(self, _address: object) -> Peer:
        """A connection."""
        self.peers.append(Peer(self.answer))
        return self.peers[-1]

    def post(self) -> "Deferred[Answer]":
        """Send the form."""
        return Deferred.fromCoroutine(posting.post_form(reactor, self.url, FORM))

    async def fails(self, word: str) -> None:
        """Assert NoAnswer, with *word* in its message and nothing of the request; the connection is closed."""
        error = await self.assertFailure(self.post(), NoAnswer)
        self.assertIn(word, str(error))
        self.assertNotIn("MARKED", str(error))
        await until(lambda: all(peer.over for peer in self.peers))

    async def test_an_answer(self) -> None:
        """The request is a form, and the connection closes after the answer."""
        self.assertEqual(await self.post(), Answer(200, b"{}", 7.0))
        [peer] = self.peers
        head, _, body = peer.heard.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /oauth/token HTTP/1.1\r\n"))
        self.assertIn(b"application/x-www-form-urlencoded", head)
        self.assertEqual(body, b"grant_type=refresh_token&refresh_token=MARKED")
        await until(lambda: peer.over)

    async def test_no_length(self) -> None:
        """A body that ends with the connection is valid."""

        def answer(peer: Peer) -> None:
            peer.send(b"HTTP/1.0 503 No\r\n\r\nbusy")
            cast(Any, peer.transport).loseConnection()

        self.answer = answer
        self.assertEqual(await self.post(), Answer(503, b"busy"))

    async def test_redirects(self) -> None:
        """The secret does not follow a redirect."""
        self.answer = lambda peer: peer.send(
            b"HTTP/1.1 307 No\r\nLocation: " + self.url.encode() + b"2\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(await self.post(), Answer(307, b""))
        self.assertEqual(len(self.peers), 1)

    async def test_without_end(self) -> None:
        """Endless headers, bodies and interim answers are cut at MAX_RECEIVED."""
        limit = f"sent more than {posting.MAX_RECEIVED} bytes"
        for data in (
            b"HTTP/1.1 100 Continue\r\n\r\n" * 400,
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 400,
            b"HTTP/1.1 200 OK\r\n" + b"X-Field: value\r\n" * 10_000,
            b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 10_000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 200,
        ):
            self.answer = lambda peer, data=data: peer.drip(data)
            await self.fails(limit)
        self.answer = lambda peer: peer.drip(b"x" * 10_000)
        await self.fails("did not answer")

    async def test_slow(self) -> None:
        """Silence, or one byte at a time, ends at TIME_LIMIT."""
        self.patch(posting, "TIME_LIMIT", 0.2)
        for answer in (
            lambda _peer: None,
            lambda peer: peer.drip(b"H"),
            lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"),
            lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
        ):
            self.answer = answer
            await self.fails("did not answer within 0.2 s")

    async def test_cancelled(self) -> None:
        """A cancelled request leaves no connection, and raises CancelledError."""
        self.answer = lambda _peer: None
        request = self.post()
        await until(lambda: self.peers and self.peers[0].heard)
        request.cancel()
        await self.assertFailure(request, CancelledError)
        await until(lambda: self.peers[0].over)

    async def test_nonsense(self) -> None:
        """An answer that is not HTTP, or is truncated, raises NoAnswer."""
        for data in (
            b"",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
            b"HTTP/1.1 x\r\n\r\n",
        ):

            def answer(peer: Peer, data: bytes = data) -> None:
                peer.send(data)
                cast(Any, peer.transport).loseConnection()

            self.answer = answer
            await self.fails("did not answer")

    async def test_connection_refused(self) -> None:
        """A refused connection raises NoAnswer."""
        self.url = "http://127.0.0.1:1/oauth/token"
        await self.fails("ConnectionRefusedError")

    async def test_tls(self) -> None:
        """The error for a server without TLS says so."""
        self.url = self.url.replace("http:", "https:")
        await self.fails("TLS")
