"""Counts and the overview, which streams are sent beside the events. No reactor, no database."""

import attrs
from twisted.internet.defer import Deferred

from copilot_socket.http.events import Filters, Scope
from copilot_socket.http.feed import COUNT_EACH
from copilot_socket.http.summaries import LATE
from tests.http.feed_harness import JOBS, FeedTestCase


class SummaryTests(FeedTestCase):
    """When they are read and sent, and to whom."""

    def test_counts(self) -> None:
        """Every two seconds while anything happens, read once for all streams with the same scope, without ids."""
        wanted = Filters(types=frozenset({"counts"}))
        clients = [self.open(each) for each in (wanted, wanted, attrs.evolve(wanted, user_id="ann"), JOBS)]
        self.clock.advance(COUNT_EACH)
        self.assertEqual(self.counting.counted, [])
        self.add("J1")
        self.clock.advance(COUNT_EACH)
        self.assertEqual(sorted(map(str, self.counting.counted)), sorted(map(str, (Scope(), Scope(None, "ann")))))
        first, second, scoped, jobs = (client.taken() for client in clients)
        self.assertTrue(first.startswith("counts"))
        self.assertEqual((first == second, scoped.startswith("counts"), jobs), (True, True, "J1"))
        self.assertEqual(clients[0].ids, [])
        self.clock.advance(COUNT_EACH)
        self.assertEqual(len(self.counting.counted), 2)

    def test_counts_that_take_long(self) -> None:
        """What takes half a second to count is counted again after nine times as long, and not forgotten."""
        self.counting.takes = lambda: setattr(self.clock, "rightNow", self.clock.rightNow + 0.5)
        self.open(Filters(types=frozenset({"counts"})))
        self.add("J1")
        self.clock.advance(COUNT_EACH)
        self.add("J2")
        for counted in (1, 1, 2):
            self.clock.advance(COUNT_EACH)
            self.assertEqual(len(self.counting.counted), counted)

    def test_overview(self) -> None:
        """It is sent when it has changed, read once for all who want it; and not read for anybody else."""
        wanted = Filters(types=frozenset({"overview", "snapshot"}))
        others = [
            self.open(each) for each in (JOBS, Filters(account_id="acme"), Filters(statuses=frozenset({"failed"})))
        ]
        self.clock.advance(COUNT_EACH)
        self.assertEqual(self.counting.overviews, 0)
        clients = [self.open(wanted), self.open(wanted), self.open(Filters(types=frozenset({"overview"})))]
        self.assertEqual([client.taken() for client in clients], ["snapshot all", "snapshot all", ""])
        self.clock.advance(COUNT_EACH)
        self.assertEqual([client.taken() for client in clients], ["", "", "overview none"])
        self.counting.state = {"attention": "some"}
        self.clock.advance(COUNT_EACH)
        self.assertEqual([client.taken() for client in clients], ["overview some"] * 3)
        self.clock.advance(COUNT_EACH)
        self.assertEqual([client.taken() for client in clients], [""] * 3)
        self.assertEqual(self.counting.overviews, 3)
        self.assertEqual([client.ids for client in clients], [["100.0"], ["100.0"], []])
        self.assertEqual([client.taken() for client in others], ["", "snapshot acme", ""])
        for client in clients:
            assert client.producer is not None
            client.producer.stopProducing()
        self.clock.advance(COUNT_EACH)
        self.assertEqual(self.counting.overviews, 3)

    def test_restless_overview(self) -> None:
        """What changes all the time is sent now and then; an outage of the database at once."""
        client = self.open(Filters(types=frozenset({"overview"})))
        sent = []
        for number in range(8):
            self.counting.state = {"database": {"latency_seconds": number, "connected": True}}
            self.clock.advance(COUNT_EACH)
            sent.append(bool(client.taken()))
        self.assertEqual(sent, [True, False, False, False, False, True, False, False])
        self.reader.away = True
        for expected in ("overview {'latency_seconds': 5, 'connected': False}", ""):
            self.clock.advance(COUNT_EACH)
            self.assertEqual(client.taken(), expected)
        self.reader.away = False
        self.clock.advance(COUNT_EACH)
        self.assertEqual(client.taken(), "overview {'latency_seconds': 7, 'connected': True}")

    def test_streams_that_change_meanwhile(self) -> None:
        """Streams that come and go while an overview is read leave one timer for it."""
        wanted, stuck = Filters(types=frozenset({"overview"})), Deferred[None]()
        self.counting.stuck = stuck
        for _ in range(2):
            client = self.open(wanted)
            self.clock.advance(COUNT_EACH if self.counting.overviews == 0 else 0)
            assert client.producer is not None
            client.producer.stopProducing()
        self.assertEqual(self.counting.overviews, 1)
        self.counting.stuck = None
        last = self.open(wanted)
        stuck.callback(None)
        for overviews in (2, 3):
            self.clock.advance(COUNT_EACH)
            self.assertEqual(self.counting.overviews, overviews)
        assert last.producer is not None
        last.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_database_hangs(self) -> None:
        """A database that does not answer counts as away after a while, and is back when it does."""
        client = self.open(Filters(types=frozenset({"overview"})))
        self.counting.state = {"database": {"connected": True}}
        self.clock.advance(COUNT_EACH)
        self.assertEqual(client.taken(), "overview {'connected': True}")
        self.counting.stuck = Deferred()
        self.clock.advance(COUNT_EACH)
        self.assertEqual(client.taken(), "")
        self.clock.advance(LATE)
        self.assertEqual(client.taken(), "overview {'connected': False}")
        self.counting.stuck.callback(None)
        self.assertEqual(client.taken(), "overview {'connected': True}")
