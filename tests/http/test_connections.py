"""Connections, request bodies and answers that take too much time or memory, without a network."""

import json
import re
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import EventBus
from copilot_socket.http import job_handlers, site
from copilot_socket.http.access import Access
from copilot_socket.http.channel import LINGER, READ_SIZE, REQUEST_TIMEOUT
from copilot_socket.http.requests import ANSWER_TIMEOUT, MANY_CHUNKS, SMALL_CHUNK
from copilot_socket.http.shares import UNCOUNTED
from copilot_socket.http.site import Parts, make_site
from copilot_socket.store.listing import Listing
from copilot_socket.store.submission import Submitted
from tests.http.harness import AUTHORIZATION, TOKEN, FakeHealth, Turns

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /health/socket HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"\r\n"
LIST = b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"\r\n"
POST = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
JOB = {"account_id": "acme", "command": "users"}


class Transport(StringTransport):
    """A transport on loopback, whose client does not read while ``full``."""

    bufferSize = 65536
    aborted = False
    ended = False
    full = False

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))

    def write(self, data: bytes) -> None:
        """Take *data*, and complain if it will not be read."""
        assert not self.ended, data
        super().write(data)
        if self.full:
            self.producer.pauseProducing()

    def read(self) -> None:
        """The client has read everything."""
        self.full = False
        self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Allowed repeatedly, as in Twisted's own transports."""
        if self.producer is not None:
            super().unregisterProducer()

    def loseWriteConnection(self) -> None:
        """Nothing more may be sent."""
        self.ended = True

    def abortConnection(self) -> None:
        """Take note."""
        self.aborted = True


class Store:
    """Stands for the database: operations end when the test calls :meth:`answer`."""

    def __init__(self) -> None:
        self.submitted: list[int] = []
        self.pending: list[Deferred[Any]] = []

    async def submit(self, jobs: list[Any], _act: object, _key: object) -> Submitted:
        """Submission."""
        self.submitted.append(len(jobs))
        return await self._ask(Submitted(["id"] * len(jobs), [True] * len(jobs)))

    async def jobs(self, *_args: object) -> Listing:
        """Catalog."""
        return await self._ask(Listing([], None))

    def answer(self) -> None:
        """End the oldest operation."""
        self.pending.pop(0).callback(None)

    async def _ask(self, answer: Any) -> Any:
        d: Deferred[None] = Deferred()
        self.pending.append(d)
        await d
        return answer


class Client:
    """One connection."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send *data* in one piece."""
        self.protocol.dataReceived(data)

    def leave(self) -> None:
        """Close the connection."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers so far."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.transport.value())]


class ConnectionTestCase(SynchronousTestCase):
    """A site without a network and without a database."""

    def setUp(self) -> None:
        """Make the site."""
        self.reactor = Turns()
        self.store: Any = Store()
        self.health = FakeHealth()
        self.make()

    def make(self) -> None:
        """Make it, by the limits as they are now."""
        unused: Any = None
        self.slices = site.Slices(self.reactor)
        self.site: Any = make_site(
            Parts(
                submission=self.store,
                catalog=self.store,
                accounts=unused,
                modes=unused,
                restrictions=unused,
                budgets=unused,
                bus=EventBus(),
                transitions=unused,
                feed=unused,
                health=self.health,
                registry=CollectorRegistry(),
                reactor=self.reactor,
                slices=self.slices,
                work_came=lambda _lanes: None,
                access=Access(TOKEN, unused, self.reactor),
            )
        )

    def connect(self) -> Client:
        """One more connection."""
        return Client(self.site)

    @property
    def body_bytes(self) -> int:
        """Bytes of bodies that are counted."""
        return int(self.site.application.bodies.used)

    @property
    def answer_bytes(self) -> int:
        """Bytes of answers that are counted."""
        return int(self.site.application.answers.used)


class EndTests(ConnectionTestCase):
    """Connections that end, and how."""

    def test_absurd_length(self) -> None:
        """A length of thousands of digits is refused without a crash, as the last header or before others."""
        for more in (b"", b"X: y\r\n"):
            client = self.connect()
            client.send(POST + b"Content-Length: " + b"9" * 5000 + b"\r\n" + more + b"\r\n")
            self.assertEqual((client.statuses, client.transport.ended), ([400], True))
            self.assertEqual(self.body_bytes, 0)

    def test_at_any_time(self) -> None:
        """Wherever a request ends, nothing of it is left, and nothing is logged."""
        request = POST + b"Content-Length: 100000\r\n\r\n" + b"[1,2]" + b" " * 99_995 + LARGE
        for length in (*range(0, 150, 7), 50_000, 100_100, len(request)):
            client = self.connect()
            client.send(request[:length])
            client.leave()
            self.reactor.turn()
            self.reactor.turn()
            self.assertEqual((self.body_bytes, self.answer_bytes, self.site.channels), (0, 0, {}), length)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TimeTests(ConnectionTestCase):
    """Requests that take long to arrive."""

    def trickle(self, client: Client, data: bytes, every: float) -> float:
        """Send *data* byte by byte; after how many seconds the connection was closed."""
        passed = 0.0
        for place in range(len(data)):
            client.send(data[place : place + 1])
            self.reactor.advance(every)
            passed += every
            if client.transport.disconnecting:
                return passed
        return 0.0

    def test_slow_head(self) -> None:
        """A head that comes byte by byte ends its connection, its first line or a later one, in time."""
        for begin in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
            client = self.connect()
            client.send(begin) if begin else None
            closed = self.trickle(client, b"X-Filler" * 20, 0.5)
            self.assertEqual(closed, REQUEST_TIMEOUT)

    def test_slow_body(self) -> None:
        """So does a body, of a known length or chunked, and then its memory is free."""
        for begin, data in (
            (POST + b"Content-Length: 1000000\r\n\r\n", b" " * 200),
            (POST + b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", b" " * 200),
            (CHUNKED + b"F4240\r\n", b" " * 200),
            (CHUNKED, b"1\r\n \r\n" * 40),
            (CHUNKED, b"0" * 200),
            (CHUNKED + b"0\r\n", b"X: y\r\n" * 40),
        ):
            client = self.connect()
            client.send(begin)
            self.assertEqual(self.trickle(client, data, 0.5), REQUEST_TIMEOUT, begin)
            client.leave()
            self.assertEqual(self.body_bytes, 0)

    def test_slow_second_request(self) -> None:
        """So does a request that begins behind another one, whether that is answered at once or not."""
        for first in (LIVE, LIST):
            client = self.connect()
            client.send(first + b"GET /")
            if first is LIST:
                self.reactor.advance(REQUEST_TIMEOUT)
                client.send(b"a")
                self.store.answer()
            self.reactor.turn()
            self.assertEqual(client.statuses, [200])
            self.assertEqual(self.trickle(client, b"a" * 200, 0.5), REQUEST_TIMEOUT)

    def test_not_http(self) -> None:
        """So does a client that speaks TLS, of which no line ends."""
        client = self.connect()
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.assertEqual(self.trickle(client, b"\x01" * 200, 0.5), REQUEST_TIMEOUT)

    def test_unread_at_the_deadline(self) -> None:
        """A client that does not read is not waited for: one that does sees an orderly end, any other a reset."""
        client = self.connect()
        client.send(b"GET /")
        self.reactor.rightNow += REQUEST_TIMEOUT
        self.reactor.turn()
        self.assertEqual((client.transport.disconnecting, client.transport.aborted), (True, False))
        self.reactor.turn()
        self.assertTrue(client.transport.aborted)

    def test_idle(self) -> None:
        """A connection on which nothing comes is closed likewise, also between two requests."""
        client = self.connect()
        for _ in range(5):
            self.reactor.advance(REQUEST_TIMEOUT - 1)
            client.send(LIVE)
            self.reactor.turn()
            self.assertFalse(client.transport.disconnecting)
        self.assertEqual(client.statuses, [200] * 5)
        self.reactor.advance(REQUEST_TIMEOUT)
        self.assertTrue(client.transport.disconnecting)

    def test_a_whole_minute_for_each(self) -> None:
        """The time of a request begins with its first byte, however long the connection was idle."""
        client = self.connect()
        self.reactor.advance(REQUEST_TIMEOUT - 1)
        client.send(LIVE[:10])
        self.reactor.advance(REQUEST_TIMEOUT - 1)
        client.send(LIVE[10:])
        self.assertEqual(client.statuses, [200])

    def test_the_server_takes_its_time(self) -> None:
        """The time that an answer takes is not the client's, whatever it sends meanwhile."""
        client = self.connect()
        client.send(LIST)
        for _ in range(5):
            self.reactor.advance(REQUEST_TIMEOUT)
            client.send(b"G")
        self.assertFalse(client.transport.disconnecting)
        self.store.answer()
        self.assertEqual(client.statuses, [200])


class AnswerTests(ConnectionTestCase):
    """Answers that pile up."""

    def setUp(self) -> None:
        """Have a large answer."""
        super().setUp()
        self.health.database = {"filler": "x" * 100_000}

    def test_pipelined(self) -> None:
        """Of requests that come together one is answered in a turn."""
        client = self.connect()
        client.send(LIVE * 4)
        for answers in (1, 2, 3, 4, 4):
            self.assertEqual(len(client.statuses), answers)
            self.reactor.turn()

    def test_unread(self) -> None:
        """While an answer is not read, no further request is answered, nor are many read; then they are."""
        client = self.connect()
        client.transport.full = True
        client.send(LARGE * 2)
        for _ in range(50):
            self.reactor.turn()
            client.send(LIVE * 20)
        self.assertEqual(client.statuses, [200])
        self.assertEqual(client.transport.producerState, "paused")
        client.transport.read()
        self.reactor.turn()
        self.assertEqual(client.statuses, [200, 200])

    def test_never_read(self) -> None:
        """An answer that is not read in time ends its connection, and its memory is free."""
        client = self.connect()
        client.transport.full = True
        client.send(LARGE)
        self.assertGreater(self.answer_bytes, 100_000)
        self.reactor.advance(ANSWER_TIMEOUT - 1)
        self.assertFalse(client.transport.aborted)
        self.reactor.advance(1)
        self.assertTrue(client.transport.aborted)
        client.leave()
        self.assertEqual((self.answer_bytes, self.reactor.getDelayedCalls()[1:]), (0, []))

    def test_read_in_time(self) -> None:
        """One that is read in time leaves its connection as it was."""
        client = self.connect()
        client.transport.full = True
        client.send(LARGE)
        self.reactor.advance(ANSWER_TIMEOUT - 1)
        client.transport.read()
        self.reactor.turn()
        self.assertEqual(self.answer_bytes, 0)
        self.reactor.advance(REQUEST_TIMEOUT - 1)
        client.send(LIVE)
        self.assertEqual(client.statuses, [200, 200])
        self.assertFalse(client.transport.aborted)

    def test_last_answer(self) -> None:
        """The rest of the last answer has to be read in time, too."""
        client = self.connect()
        client.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.reactor.turn()
        self.assertTrue(client.transport.disconnecting)
        self.reactor.advance(REQUEST_TIMEOUT - 1)
        self.assertFalse(client.transport.aborted)
        self.reactor.advance(1)
        self.assertTrue(client.transport.aborted)

    def test_stream(self) -> None:
        """What the client of a stream sends is thrown away, however much it is and whether it reads or not."""
        client = self.connect()
        client.send(LIST.replace(b"localhost", b"localhost\r\nConnection: close"))
        for _ in range(100):
            client.send(b"x" * 10_000)
        self.assertEqual(client.transport.producerState, "producing")
        client.protocol.pauseProducing()
        self.assertEqual(client.transport.producerState, "paused")
        client.protocol.resumeProducing()
        self.assertEqual(client.transport.producerState, "producing")
        self.assertEqual(client.protocol._dataBuffer, [])

    def test_all_together(self) -> None:
        """Unread answers are bounded over all connections: a further large one is refused, a small one is not."""
        self.patch(site, "MAX_ANSWERS", 250_000)
        self.make()
        slow = [self.connect() for _ in range(2)]
        for client in slow:
            client.transport.full = True
            client.send(LARGE)
        other = self.connect()
        other.send(LARGE)
        self.reactor.turn()
        other.send(LIVE)
        self.assertEqual(other.statuses, [503, 200])
        self.assertIn(b"Retry-After: 1\r\n", other.transport.value())
        slow[0].leave()
        self.reactor.turn()
        other.send(LARGE)
        self.reactor.turn()
        self.assertEqual(other.statuses, [503, 200, 200])


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


class LimitTests(ConnectionTestCase):
    """The number of connections."""

    def setUp(self) -> None:
        """Three may be open."""
        super().setUp()
        self.site.max_connections = 3

    def aborted(self, clients: list[Client]) -> list[bool]:
        """Which of *clients* were cut off."""
        return [client.transport.aborted for client in clients]

    def test_the_oldest_goes(self) -> None:
        """One more than there may be costs the oldest that waits for no answer its connection."""
        clients = [self.connect() for _ in range(3)]
        clients[0].send(LIST)
        clients[1].send(LIST[:20])
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [False, True, False, False])
        clients[1].leave()
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [False, True, True, False, False])

    def test_strangers_go_first(self) -> None:
        """Their connections never cost one that has shown a valid token its own, nor an upload under way."""
        idle, upload = self.connect(), self.connect()
        idle.send(LIST)
        self.store.answer()
        self.reactor.turn()
        upload.send(POST + b"Content-Length: 100\r\n\r\n[")
        strangers = [self.connect() for _ in range(4)]
        self.assertEqual(self.aborted([idle, upload, *strangers]), [False, False, True, True, True, False])

    def test_several_at_once(self) -> None:
        """Each that comes in the same turn costs another one its connection, before any of these is over."""
        clients = [self.connect() for _ in range(6)]
        self.assertEqual(self.aborted(clients), [True] * 3 + [False] * 3)

    def test_all_wait(self) -> None:
        """Where all wait for answers the new one has to go, whatever they send meanwhile."""
        clients = [self.connect() for _ in range(3)]
        for client in clients:
            client.send(LIST)
            client.send(LIST)
        late = self.connect()
        self.assertEqual(self.aborted([*clients, late]), [False, False, False, True])
        late.leave()
        self.store.answer()
        self.reactor.turn()
        clients[0].leave()
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [False] * 4)

    def test_unread(self) -> None:
        """Clients that do not read their answers keep no others out."""
        self.health.database = {"filler": "x" * 100_000}
        clients = [self.connect() for _ in range(3)]
        for client in clients:
            client.transport.full = True
            client.send(LARGE)
            self.reactor.turn()
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [True, False, False, False])
        clients[0].leave()
        clients[1].transport.read()
        self.reactor.turn()
        clients[1].send(LIST)
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [True, False, False, True, False])  # a stranger goes first
        clients[3].leave()
        clients[4].send(LIST)
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [True, False, True, True, False, False])

    def test_answered(self) -> None:
        """A connection whose answer is out may go again."""
        clients = [self.connect() for _ in range(3)]
        clients[0].send(LIVE)
        self.reactor.turn()
        clients.append(self.connect())
        self.assertEqual(self.aborted(clients), [True, False, False, False])
