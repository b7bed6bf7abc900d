"""What is not HTTP, or not to be read to its end: each answer is a problem document with all headers."""

import json
import socket
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread

from copilot_socket.http.channel import LINGER, REQUEST_TIMEOUT
from tests.http.connection_harness import CHUNKED, LIST, LIVE, POST, Client, ConnectionTestCase
from tests.http.harness import AUTHORIZATION, SiteTestCase

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
MALFORMED = (
    b"nonsense\r\n",
    b"\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"G(T / HTTP/1.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    b"GET /" + b"a" * 16_400,
    b"GET /" + b"a" * 16_400 + b" HTTP/1.1\r\n\r\n",
    HEAD + b"X: " + b"a" * 16_400,
    HEAD + (b"X: " + b"a" * 1000 + b"\r\n") * 17,
    HEAD + b"X: y\r\n" * 501 + b"\r\n",
    HEAD + b"no colon\r\n\r\n",
    HEAD + b"no colon\r\nX: y\r\n\r\n",
    HEAD + b": no name\r\n\r\n",
    HEAD + b"Bad Name: y\r\n\r\n",
    HEAD + b"X: a\x00b\r\n\r\n",
    HEAD + b"X: a\rb\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: 1, 1\r\n\r\n",
    POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    POST + b"Transfer-Encoding: gzip\r\n\r\n",
    POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    POST + b"Content-Length: " + b"9" * 5000 + b"\r\nX: y\r\n\r\n",
    CHUNKED + b"xyz\r\n",
    CHUNKED + b"-1\r\n",
    CHUNKED + b"1" * 2000,
    CHUNKED + b"1\r\n  \r\n",
    CHUNKED + b"0\r\nX: " + b"y" * 70_000,
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSED = (
    POST + b"Content-Length: 999999999\r\n\r\n",
    POST.replace(AUTHORIZATION, b"") + b"Content-Length: 10\r\n\r\n",
    POST.replace(AUTHORIZATION, b"") + b"Transfer-Encoding: chunked\r\n\r\n",
    POST + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n",
)
REQUESTS = (
    LIVE,
    LIST,
    LIVE * 3,
    HEAD + b"Connection: close\r\n\r\n",
    b"GET http://localhost/health/live?a=b HTTP/1.0\r\nX: a\r\n b\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\n[1,2]" + LIVE,
    POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n[]",
    CHUNKED + b"2;x=y\r\n[1\r\n3\r\n,2]\r\n0\r\nX: y\r\n\r\n" + LIVE,
    *REFUSED,
)


class _Answers(BytesIO):
    """Several answers on one connection; stands for the socket, too."""

    def makefile(self, _mode: str) -> "_Answers":
        return self

    def close(self) -> None:
        """http.client closes what it has read an answer from; the next one comes from here, too."""


class RefusalMixin:
    """Checks answers."""

    def check(self, sent: bytes, method: str = "GET") -> list[int]:
        """The statuses of the answers in *sent*; each is complete, and an error is a problem document."""
        case = cast(Any, self)
        stream, statuses = _Answers(sent), []
        while stream.tell() < len(sent):
            response = HTTPResponse(cast(socket.socket, stream), method=method)
            response.begin()
            last, body = response.will_close, response.read()
            statuses.append(response.status)
            for name, value in (
                ("Server", "copilot-socket"),
                ("Cache-Control", "no-store"),
                ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("Referrer-Policy", "no-referrer"),
                ("X-Content-Type-Options", "nosniff"),
            ):
                case.assertEqual(response.headers.get_all(name), [value], sent)
            case.assertEqual(len(response.headers.get_all("Date") or []), 1)
            case.assertEqual(len(response.headers.get_all("Content-Length") or []), 1)
            if response.status >= 400:
                case.assertEqual(response.headers["Content-Type"], "application/problem+json")
                if method != "HEAD":
                    case.assertEqual(json.loads(body)["status"], response.status)
            case.assertTrue(not last or stream.tell() == len(sent), sent)
        return statuses


class RefusalTests(RefusalMixin, ConnectionTestCase):
    """Refusals without a network."""

    def settle(self, client: Client) -> None:
        """Answer all that *client* has asked."""
        for _ in range(10):
            while self.store.pending:
                self.store.answer()
            self.reactor.turn()

    def test_malformed(self) -> None:
        """Each is answered once with 400, at whatever place of the connection, and closed soon."""
        for data in MALFORMED:
            for before, more in ((b"", b""), (b"", LIVE), (LIVE, b""), (LIVE, b"nonsense\r\n" * 50)):
                client = self.connect()
                client.send(before + data + more)
                self.settle(client)
                client.send(LIVE + b"nonsense\r\n" * 50)
                self.settle(client)
                statuses = [200, 400] if before else [400]
                self.assertEqual(self.check(client.transport.value()), statuses, data[:100])
                self.assertIn(b"\r\nConnection: close\r\n", client.transport.value())
                self.assertTrue(client.transport.ended)
                self.assertFalse(client.transport.disconnecting)
                self.reactor.advance(LINGER)
                self.assertTrue(client.transport.aborted)
                client.leave()
        self.assertEqual((self.reactor.getDelayedCalls(), self.body_bytes), ([], 0))

    def test_behind_a_refusal(self) -> None:
        """What comes with a request that is refused early, or behind it, is neither parsed nor answered."""
        for data in REFUSED:
            for more in (b"", b"x" * 10, b"0\r\n\r\n" + LIVE, b"nonsense\r\n" * 50, b"x" * 10 + LIVE):
                client = self.connect()
                client.send(data + more)
                client.send(b"nonsense\r\n" + LIVE)
                self.settle(client)
                (status,) = self.check(client.transport.value())
                self.assertIn(status, (401, 413))
                self.reactor.advance(LINGER)
                self.assertTrue(client.transport.aborted)
                client.leave()
        small = CHUNKED + b"1\r\nx\r\n" * 1000
        large = b"C350\r\n" + b" " * 50_000 + b"\r\n"
        for more in (b"nonsense\r\n", b"0\r\n\r\n", b"0\r\n\r\n" + LIVE, large):
            client = self.connect()
            client.send(small + more)
            self.assertEqual(self.body_bytes, 0)
            self.settle(client)
            self.assertEqual(self.check(client.transport.value()), [400])
            self.reactor.advance(LINGER)
            self.assertTrue(client.transport.aborted)
            client.leave()

    def test_head(self) -> None:
        """An answer to HEAD has no body, also where it is refused early."""
        large = AUTHORIZATION + b"Content-Length: 999999999\r\n\r\n"
        for more, status in ((b"no colon\r\n\r\n", 400), (large, 413)):
            client = self.connect()
            client.send(b"HEAD /health/live HTTP/1.1\r\nHost: localhost\r\n" + more)
            sent = client.transport.value()
            self.assertEqual(self.check(sent, "HEAD"), [status])
            self.assertTrue(sent.endswith(b"\r\n\r\n"))

    @given(
        st.sampled_from((*REQUESTS, *MALFORMED)),
        st.lists(
            st.tuples(
                st.integers(0, 200), st.integers(0, 3), st.sampled_from((b"", b"\r\n", b"\0", b": ", b"\xff", b"9"))
            ),
            max_size=3,
        ),
        st.lists(st.integers(1, 200), max_size=3),
    )
    def test_anything(self, data: bytes, changes: list[tuple[int, int, bytes]], lengths: list[int]) -> None:
        """Whatever is sent: what is answered is HTTP, no error is logged, and the connection ends in time."""
        for place, removed, added in changes:
            data = data[:place] + added + data[place + removed :]
        client = self.connect()
        for length in (*lengths, len(data)):
            piece, data = data[:length], data[length:]
            if piece:
                client.send(piece)
        self.settle(client)
        self.check(client.transport.value().removesuffix(CONTINUE))  # of a request that does not go on
        self.reactor.advance(REQUEST_TIMEOUT)
        self.assertTrue(client.transport.aborted)
        client.leave()
        self.assertEqual((self.body_bytes, self.answer_bytes, self.site.channels), (0, 0, {}))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class NetworkTests(RefusalMixin, SiteTestCase):
    """Refusals over TCP."""

    def blocking(self, data: bytes) -> bytes:
        """Send all *data* by an ordinary client, then read all."""
        with socket.create_connection(("127.0.0.1", self.number), 20) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    async def test_all_arrives(self) -> None:
        """The answer arrives although the client has sent more than was read, and ends the connection."""
        for data in (*MALFORMED, *REFUSED):
            received = await deferToThread(self.blocking, data + b"x" * 300_000)
            (status,) = self.check(received)
            self.assertIn(status, (400, 401, 413))
