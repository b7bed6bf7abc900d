"""Bodies of requests on their way in: their memory, who waits, and clients that leave."""

import json

from copilot_socket.http import job_handlers, site
from copilot_socket.http.channel import LINGER, READ_SIZE
from copilot_socket.http.requests import MANY_CHUNKS, SMALL_CHUNK
from copilot_socket.http.shares import UNCOUNTED
from tests.http.connection_harness import CHUNKED, JOB, POST, Client, ConnectionTestCase


class BodyTests(ConnectionTestCase):
    """Bodies in flight."""

    def setUp(self) -> None:
        """Have room for less than four large ones."""
        super().setUp()
        self.patch(site, "MAX_BODIES", 350_000)
        self.make()

    def post(self, length: int, sent: bytes = b"") -> Client:
        """A connection that says how long its body is, and sends *sent* of it."""
        client = self.connect()
        client.send(POST + b"Content-Length: %d\r\n\r\n" % length + sent)
        return client

    def jobs(self, size: int) -> bytes:
        """A list of one job in *size* bytes."""
        body = json.dumps([JOB]).encode()
        return body + b" " * (size - len(body))

    def test_declared(self) -> None:
        """What does not fit is refused before its body is read; what is small is not counted."""
        for _ in range(3):
            self.assertEqual(self.post(100_000).statuses, [])
        refused = self.post(100_000)
        self.assertEqual(refused.statuses, [503])
        self.assertIn(b"Retry-After: 1\r\n", refused.transport.value())
        self.assertEqual(self.body_bytes, 300_000)
        small = self.post(UNCOUNTED, self.jobs(UNCOUNTED))
        self.store.answer()
        self.assertEqual(small.statuses, [201])

    def test_chunked(self) -> None:
        """A chunked body counts as it grows, and is refused when there is no more room."""
        self.post(100_000)
        client = self.connect()
        client.send(CHUNKED)
        for size in range(50_000, 400_000, 50_000):
            client.send(b"C350\r\n" + b" " * 50_000 + b"\r\n")
            expected = size if UNCOUNTED < size <= 250_000 else 0
            self.assertEqual(self.body_bytes, 100_000 + expected)
        self.assertEqual(client.statuses, [503])

    def test_freed(self) -> None:
        """The memory is free as soon as the client disconnects, is refused, or has its answer."""
        self.post(300_000, b" " * 1000).leave()
        self.assertEqual(self.body_bytes, 0)
        client = self.connect()
        client.send(CHUNKED + b"30D40\r\n" + b" " * 200_000 + b"\r\nnonsense\r\n")
        client.leave()
        self.assertEqual(self.body_bytes, 0)
        client = self.post(300_000, self.jobs(300_000))
        for _ in range(20):
            self.reactor.turn()
        self.assertEqual((client.statuses, self.body_bytes), ([], 300_000))
        self.store.answer()
        self.assertEqual((client.statuses, self.body_bytes), ([201], 0))

    def test_gone_while_it_is_read(self) -> None:
        """Nobody goes on with a body whose client has gone, and its room is free."""
        body = b"[" + b"{}," * 30_000 + b"{}]"
        client = self.post(len(body), body)
        self.reactor.turn()
        client.leave()
        self.assertEqual(self.body_bytes, len(body))
        for _ in range(3):
            self.reactor.turn()
        self.assertEqual((self.body_bytes, self.store.submitted), (0, []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_gone_while_it_is_stored(self) -> None:
        """What a handler still works with stays counted until it is done."""
        client = self.post(300_000, self.jobs(300_000))
        for _ in range(20):
            self.reactor.turn()
        client.leave()
        self.assertEqual((self.store.submitted, self.body_bytes), ([1], 300_000))
        self.store.answer()
        self.assertEqual(self.body_bytes, 0)

    def test_a_few_at_a_time(self) -> None:
        """Of large submissions a few are worked on, the others wait as bytes; small ones do not wait."""
        self.patch(job_handlers, "LARGE_SUBMISSIONS", 2)
        self.make()
        clients = [self.post(100_000, self.jobs(100_000)) for _ in range(3)]
        for _ in range(20):
            self.reactor.turn()
        self.assertEqual(len(self.store.submitted), 2)
        self.post(UNCOUNTED, self.jobs(UNCOUNTED))
        self.assertEqual(len(self.store.submitted), 3)
        self.store.answer()
        for _ in range(20):
            self.reactor.turn()
        self.assertEqual(len(self.store.submitted), 4)
        self.assertEqual([client.statuses for client in clients], [[201], [], []])

    def test_gone_while_it_waits(self) -> None:
        """Nobody begins with a large submission whose client has gone meanwhile."""
        self.patch(job_handlers, "LARGE_SUBMISSIONS", 1)
        self.make()
        first, second = (self.post(100_000, self.jobs(100_000)) for _ in range(2))
        for _ in range(20):
            self.reactor.turn()
        second.leave()
        self.store.answer()
        for _ in range(20):
            self.reactor.turn()
        self.assertEqual((first.statuses, len(self.store.submitted), self.body_bytes), ([201], 1, 0))

    def test_small_chunks(self) -> None:
        """A body in very many very small chunks is refused; as many of a fair size are not."""
        for size, statuses in ((1, [400]), (SMALL_CHUNK - 1, [400]), (SMALL_CHUNK, [])):
            client = self.connect()
            client.send(CHUNKED + (b"%x\r\n" % size + b" " * size + b"\r\n") * (MANY_CHUNKS + 1))
            self.assertEqual(client.statuses, statuses, size)
            client.leave()

    def test_after_a_refusal(self) -> None:
        """Input after a refusal is discarded unparsed, and the client has some seconds to read the answer."""
        for begin in (POST + b"Content-Length: 999999999\r\n\r\n", CHUNKED + b"1\r\nx\r\n" * MANY_CHUNKS):
            client = self.connect()
            client.send(begin)
            said = client.transport.value()
            self.assertEqual(len(client.statuses), 1)
            client.send(b"nonsense, which no decoder would take\r\n" * 1000)
            self.assertEqual(client.transport.value(), said)
            self.assertFalse(client.transport.disconnecting)
            self.reactor.advance(LINGER)
            self.assertTrue(client.transport.aborted)
            client.leave()

    def test_reading(self) -> None:
        """Heads and chunks, which are expensive to parse, are read in small pieces."""
        client = self.connect()
        self.assertEqual(client.transport.bufferSize, READ_SIZE)
        client.send(CHUNKED)
        self.assertEqual(client.transport.bufferSize, READ_SIZE)
        client = self.post(300_000)
        self.assertEqual(client.transport.bufferSize, 65536)
        client.send(self.jobs(300_000))
        self.assertEqual(client.transport.bufferSize, READ_SIZE)
