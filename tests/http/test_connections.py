"""Connections and answers that take too much time or memory, without a network."""

from copilot_socket.http import site
from copilot_socket.http.channel import REQUEST_TIMEOUT
from copilot_socket.http.requests import ANSWER_TIMEOUT
from tests.http.connection_harness import CHUNKED, LARGE, LIST, LIVE, POST, Client, ConnectionTestCase


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
