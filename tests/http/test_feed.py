"""The feed of live events: snapshots, what was missed, gaps, and slow clients. No reactor, no database."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.live_events import LOST, LiveEvent, Position, decoded, job, joined
from copilot_socket.http import feed as feed_module
from copilot_socket.http.events import TYPES, Filters, Scope
from copilot_socket.http.feed import COUNT_EACH, RETRY, Feed
from copilot_socket.http.streams import GREETING, MAX_WAITING
from tests.http.feed_harness import JOBS, Client, FakeCounting, FakeReader, FeedTestCase
from tests.http.harness import Turns


class FilterTests(SynchronousTestCase):
    """Which events a stream gets."""

    def test_filters(self) -> None:
        """All filters must match; events without a filtered field are not sent."""
        events = {
            "created": job("J1", "created", status="queued", account_id="acme", user_id="ann"),
            "progress": job("J1", "job_progress", crawler_id="c1", account_id="acme", user_id="ann"),
            "failed": job("J2", "job_failed", status="failed", crawler_id="c2", account_id="other"),
            "opened": LiveEvent("connection", {"id": "k1", "crawler_id": "c1", "event": "opened"}),
            "beat": LiveEvent("heartbeat", {"id": "k1", "crawler_id": "c1"}),
            "refused": LiveEvent("account", {"account_id": "acme", "event": "refused"}),
        }
        for wanted, expected in (
            (Filters(), set(events)),
            (JOBS, {"created", "progress", "failed"}),
            (Filters(types=frozenset({"heartbeat", "connection"})), {"opened", "beat"}),
            (Filters(job_id="J1"), {"created", "progress"}),
            (Filters(job_id="k1"), set()),
            (Filters(account_id="other"), {"failed"}),
            (Filters(account_id="acme"), {"created", "progress", "refused"}),
            (Filters(user_id="ann"), {"created", "progress"}),
            (Filters(user_id="bob"), set()),
            (Filters(crawler="c2"), {"failed"}),
            (Filters(crawler="c1"), {"progress", "opened", "beat"}),
            (Filters(statuses=frozenset({"failed", "queued"})), {"created", "failed"}),
            (Filters(job_id="J1", statuses=frozenset({"failed"})), set()),
        ):
            self.assertEqual({name for name, event in events.items() if wanted.matches(event)}, expected, wanted)

    def test_state_of_things(self) -> None:
        """Snapshots and counts are of an account or a user; a job, a crawler or a state has none."""
        for wanted, expected in (
            (Filters(), True),
            (Filters(account_id="acme", user_id="ann"), True),
            (Filters(types=frozenset(TYPES) - {"snapshot"}), False),
            (Filters(job_id="J1"), False),
            (Filters(crawler="c1"), False),
            (Filters(statuses=frozenset({"failed"})), False),
        ):
            self.assertEqual(wanted.wants("snapshot"), expected, wanted)
        self.assertEqual(Filters(account_id="acme", user_id="ann").scope, Scope("acme", "ann"))


class StreamTests(FeedTestCase):
    """What streams are sent."""

    def test_snapshot(self) -> None:
        """First the state of things, then what changes it; ids lead on from both."""
        self.reader.add("J0")
        client = self.open(Filters())
        self.assertEqual((client.taken(), client.ids), ("snapshot all", ["101.0"]))
        self.add("J1", "J2")
        self.assertEqual((client.taken(), client.ids[1:]), ("J1 J2", ["101.1", "101.2"]))
        scoped = self.open(Filters(account_id="acme"))
        self.assertEqual(scoped.taken(), "snapshot acme")

    def test_here(self) -> None:
        """Without a snapshot a stream begins where the events were when its request was answered."""
        here = self.successResultOf(Deferred.fromCoroutine(self.feed.here()))
        self.reader.add("J1")
        client = Client()
        self.feed.open(JOBS, client, here=here)
        self.assertEqual(client.taken(), "J1")
        self.reader.away = True
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.feed.here())))

    def test_older_snapshot(self) -> None:
        """One that was read for an earlier stream is followed by what has come since."""
        self.reader.add("J0")
        self.reader.add("J1")
        self.counting.behind = 1
        client = self.open(Filters())
        self.add("J2")
        self.assertEqual(client.taken(), "snapshot all J1 J2")

    def test_replay(self) -> None:
        """A client that comes back gets what it has missed, from within a row on, and nothing twice."""
        for names in (("J0",), ("J1", "J2", "J3"), ("J4",)):
            self.reader.add(*names)
        client = self.open(Filters(), Position(101, 2))
        self.assertEqual((client.taken(), client.ids), ("J3 J4", ["101.3", "102.1"]))
        self.add("J5")
        self.assertEqual(client.taken(), "J5")
        at_the_end = self.open(Filters(), Position(104))
        self.add("J6")
        self.assertEqual(at_the_end.taken(), "J6")

    def test_counts_of_a_replay(self) -> None:
        """A client that comes back gets the counts, which may have changed before this node looked at events."""
        client = self.open(Filters(types=frozenset({"counts"})), Position(self.reader.next))
        self.clock.advance(COUNT_EACH)
        self.assertTrue(client.taken().startswith("counts"))
        self.clock.advance(COUNT_EACH)
        self.assertEqual(client.taken(), "")

    def test_gone(self) -> None:
        """Where what it has missed is gone, or its id is of no event, it is told so, and begins anew."""
        for _ in range(4):
            self.reader.add("J0")
        del self.reader.rows[:2]
        for since in (Position(101), Position(0), Position(999)):
            self.assertEqual(self.open(Filters(), since).taken(), "lost None snapshot all", since)
            self.assertEqual(self.open(JOBS, since).taken(), "lost None", since)

    def test_missing_rows(self) -> None:
        """So are all streams where rows are missing, empty, or stand for others."""
        client, other = self.open(Filters()), self.open()
        for changes in (None, joined([LOST]), "nonsense"):
            client.taken()
            self.add(changes=changes)
            self.assertEqual((client.taken(), other.taken()), ("lost None snapshot all", "lost None"))
            self.add("J1")
            self.assertEqual((client.taken(), other.taken()), ("J1", "J1"))
        self.reader.next += 1_000_000
        self.add("J2")
        self.assertEqual(client.taken(), "lost None snapshot all")
        self.add("J3")
        self.assertEqual((client.taken(), other.taken()), ("J3", "lost None J3"))

    def test_a_gap_behind_a_snapshot(self) -> None:
        """A snapshot that was read before the gap is not used behind it: it is told once."""
        client = self.open(Filters())
        client.taken()
        self.counting.behind = 3
        self.add("J0")
        client.taken()
        self.add(changes=joined([LOST]))
        self.assertEqual(client.taken(), "lost None snapshot all")
        again = self.open(Filters(), Position(100))
        self.assertEqual(again.taken(), "J0 lost None snapshot all")

    def test_numbers_that_begin_anew(self) -> None:
        """All streams are told, and those that come back, although nothing has happened since."""
        client, other = self.open(Filters()), self.open()
        client.taken()
        self.reader.next += 1_000_000
        again = self.open(Filters(), Position(100))
        self.clock.advance(feed_module.LOOK_EACH)
        for each in (client, again):
            self.assertEqual(each.taken(), "lost None snapshot all")
        self.assertEqual(other.taken(), "lost None")
        self.assertEqual(self.open(Filters(), Position(100)).taken(), "lost None snapshot all")
        self.add("J1")
        self.assertEqual((client.taken(), other.taken()), ("J1", "J1"))

    def test_no_numbers_yet(self) -> None:
        """While no node numbers events, or the database is away, a stream waits."""
        self.reader.next, numbers = 0, self.reader.next
        client = self.open(Filters())
        self.assertEqual(client.taken(), "")
        self.reader.next, self.reader.away = numbers, True
        self.clock.advance(RETRY)
        self.assertEqual(client.taken(), "")
        self.reader.away = False
        self.clock.advance(RETRY)
        self.assertEqual(client.taken(), "snapshot all")

    def test_database_away(self) -> None:
        """What came meanwhile is sent afterwards, even if no notification tells of it."""
        client = self.open()
        self.reader.away = True
        self.add("J1")
        self.reader.add("J2")
        self.reader.away = False
        self.assertEqual(client.taken(), "")
        self.clock.pump([0.5] * 4)
        self.assertEqual(client.taken(), "J1 J2")

    def test_nobody_left(self) -> None:
        """After the last client has disconnected nothing is read, and no timer runs; the next one is served."""
        client = self.open()
        assert client.producer is not None
        client.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        reads = self.reader.reads
        self.add("J1")
        self.assertEqual((self.reader.reads, self.feed.streams), (reads, 0))
        again = self.open()
        self.add("J2")
        self.assertEqual((client.taken(), again.taken()), ("", "J2"))

    def test_close(self) -> None:
        """A feed that closes ends all streams, and leaves nothing behind."""
        clients = [self.open(), self.open(Filters())]
        self.feed.close()
        self.assertEqual([client.ended for client in clients], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.feed.refusal, "Node is stopping")

    def test_no_longer_allowed(self) -> None:
        """With a keep-alive, a stream ends whose token has been revoked."""
        allowed, client = [True], Client()
        self.feed.open(JOBS, client, lambda: allowed[0])
        self.clock.advance(feed_module.KEEP_ALIVE)
        self.assertFalse(client.ended)
        allowed[0] = False
        self.clock.advance(feed_module.KEEP_ALIVE)
        self.assertTrue(client.ended)

    def test_a_bug(self) -> None:
        """An unexpected error ends the streams, whose clients come back, and is logged."""
        client = self.open()
        self.patch(feed_module, "decoded", None)
        self.add("J1")
        self.patch(feed_module, "decoded", decoded)
        alone = self.open(JOBS, Position(100))
        self.assertEqual(alone.taken(), "J1")
        self.assertTrue(client.ended)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        again = self.open()
        self.add("J2")
        self.assertEqual(again.taken(), "J2")

    def test_a_bug_of_one(self) -> None:
        """An error that concerns one stream ends that one only."""
        good = self.open()
        self.patch(FakeCounting, "snapshot", None)
        self.assertTrue(self.open(Filters()).ended)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.add("J1")
        self.assertEqual((good.taken(), good.ended), ("J1", False))


class SlowTests(FeedTestCase):
    """Clients that read slowly, and very many events."""

    def test_live(self) -> None:
        """Events beyond the buffer are lost; the client receives their number, and a snapshot."""
        client = self.open(Filters(), most=2)  # the greeting and the snapshot
        self.assertEqual(client.taken(), "snapshot all")
        name = "J" * (MAX_WAITING // 4)
        for _ in range(6):
            self.add(name)
        self.add("J7")
        self.assertEqual(client.taken(), "")
        client.resume()
        self.assertEqual(client.taken(), f"{name} {name} {name} lost 4 snapshot all")
        self.add("J8")
        self.assertEqual(client.taken(), "J8")

    def test_replay(self) -> None:
        """What a client has missed is sent as fast as it reads: nothing of it is lost."""
        names = [f"J{number:03}" for number in range(300)]
        for name in names:
            self.reader.add(name)
        self.patch(feed_module, "ROWS", 7)
        client = self.open(JOBS, Position(100), most=5)
        seen: list[str] = []
        while client.read:
            seen += client.taken().split()
            client.resume(5)
            self.clock.turn()
        self.assertEqual(seen, names)

    def test_turns(self) -> None:
        """It is sent a bounded part in a turn, and in its order, whatever comes meanwhile, also within a row."""
        self.patch(feed_module, "STEPS_PER_TURN", 3 * (feed_module.STEPS_PER_EVENT + 1) - 1)
        client = self.open()
        self.add(*(f"J{number}" for number in range(7)))
        self.add("J7")
        seen = []
        while taken := client.taken():
            seen.append(taken)
            self.clock.turn()
        self.assertEqual(seen, ["J0 J1 J2", "J3 J4 J5", "J6 J7"])

    def test_many_streams(self) -> None:
        """Many streams take as much time in a turn as few."""
        self.patch(feed_module, "STEPS_PER_TURN", 2 * (feed_module.STEPS_PER_EVENT + 1))
        for _ in range(2 * feed_module.STEPS_PER_EVENT + 1):
            self.open(Filters(job_id="J0"))
        client = self.open()
        self.add("J1", "J2", "J3")
        self.assertEqual(client.taken(), "J1")

    def test_one_large_event(self) -> None:
        """It reaches a client that keeps up, and is lost to a slow one."""
        client, slow = self.open(), self.open(most=1)
        self.add("J" * (MAX_WAITING + 1))
        self.assertEqual(len(client.taken()), MAX_WAITING + 1)
        slow.resume()
        self.assertEqual(slow.taken(), "lost 1")

    def test_in_the_middle_of_a_row(self) -> None:
        """A stream that begins while a row is being sent misses none of it, and gets nothing twice."""
        self.patch(feed_module, "STEPS_PER_TURN", feed_module.STEPS_PER_EVENT)
        self.open()
        self.reader.add("J0")
        self.add("J1", "J2", "J3")
        client = self.open(JOBS, Position(100))
        for _ in range(20):
            self.clock.turn()
        self.assertEqual(client.taken(), "J0 J1 J2 J3")

    @given(st.lists(st.sampled_from(["row", "rows", "turn", "slow", "read", "come back"]), max_size=60))
    def test_any_order(self, steps: list[str]) -> None:
        """Whatever happens when: a client gets each event once, in order, over any number of streams, or is told."""
        self.clock, self.reader = Turns(), FakeReader()
        self.counting = FakeCounting(self.reader)
        self.feed = Feed(self.reader, self.counting, self.clock)
        number = 0
        client = self.open()
        expected, seen = [], []

        def row() -> None:
            nonlocal number
            names = [f"J{number + each}" for each in range(3)]
            number += 3
            expected.extend(names)
            self.add(*names)

        def resume() -> None:
            client.resume()

        def come_back() -> None:
            nonlocal client
            assert client.producer is not None
            client.producer.stopProducing()
            seen.extend(client.read)
            last = Position.parse(client.ids[-1]) if client.ids else Position(100)
            client = self.open(JOBS, last or Position(100))
            client.ids.insert(0, str(last))

        acts: dict[str, Callable[[], object]] = {
            "row": row,
            "rows": lambda: [row() for _ in range(4)],
            "turn": self.clock.turn,
            "slow": lambda: setattr(client, "most", 1),
            "read": resume,
            "come back": come_back,
        }
        for step in steps:
            acts[step]()
        client.resume()
        for _ in range(number + 3):
            self.clock.turn()
        self.assertEqual([*seen, *client.read], expected)
        self.feed.close()


class GreetingTests(FeedTestCase):
    """The beginning of a stream."""

    def test_greeting(self) -> None:
        """It says when to come back, and is there before anything is read."""
        self.reader.away = True
        written: list[bytes] = []
        self.patch(Client, "write", lambda _client, data: written.append(data))
        self.open()
        self.assertEqual(written, [GREETING])
