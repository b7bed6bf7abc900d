"""How many jobs are claimed ahead, where they are kept, and what a crawler has room for."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.handlers import reserve as reserve_module
from copilot_socket.handlers.ahead import MAX_UNSTORED, TIMES_ITS_JOBS, ClaimsAhead, runs_ahead
from copilot_socket.handlers.crawlers import QUICK, Crawler, Held, Registry
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.rivals import MEMORY, SHARE, Rivals
from copilot_socket.handlers.standing import MAX_CLAIM, Standing
from copilot_socket.store.turns import NOTHING_CLAIMED, Ahead, Claim, Claimed

TYPES = ("issue",)


class FakeLink:
    """A connection that hears acks, or does not."""

    def __init__(self, crawler: Crawler, *, acks: bool = True) -> None:
        self.crawler = crawler
        self.capabilities = frozenset({"ack"} if acks else ())


class FakeClaims:
    """What stands in the database as the node's."""

    def __init__(self) -> None:
        self.jobs: list[Claimed] = []
        self.answer: Deferred[None] = succeed(None)

    async def reserved(self) -> list[Claimed]:
        await self.answer
        return self.jobs


def claimed(number: int) -> Claimed:
    """A job that the node has claimed."""
    name = f"JOB{number}.1.x"
    return Claimed(name, None, "7", "http://g", None, "issues", "g/p", None, None, 1, "a", "t", None, "valid", 0.0)


class ReserveTestCase(SynchronousTestCase):
    """A crawler, what is kept, and what is wanted."""

    def setUp(self) -> None:
        self.clock, self.registry = Clock(), Registry()
        self.reserve = Reserve(self.clock)
        self.claims: Any = FakeClaims()
        self.ahead = ClaimsAhead(self.registry, self.reserve, Rivals(self.clock), self.claims)
        self.crawler = self.crawler_called("c1")

    def crawler_called(self, key: str, types: Sequence[str] = TYPES) -> Crawler:
        """One that is here, with a connection."""
        crawler = Crawler(key, key, False, 1, tuple(types), present=True)
        link: Any = FakeLink(crawler)
        self.registry.join(link, crawler)
        return crawler

    def hungry(self, crawler: Crawler, **link: bool) -> Standing:
        """It asks while its reports are on their way."""
        standing = Standing(crawler, FakeLink(crawler, **link), 1)  # type: ignore[arg-type]
        self.ahead.hungry[crawler.key] = standing
        return standing

    def wanted(self, **endings: int) -> int:
        """How many jobs are claimed beside so many ends of jobs."""
        return self.ahead.wants({key: [f"{key}.{n}" for n in range(count)] for key, count in endings.items()}).number


class WantsTests(ReserveTestCase):
    """ClaimsAhead.wants()."""

    def test_nobody_asks(self) -> None:
        """Nothing is claimed for a crawler that is not known to ask, or has gone."""
        self.assertFalse(self.ahead.wants({"c1": ["a"], "stranger": ["b"]}))
        self.crawler.prompt, self.crawler.present = True, False
        self.assertEqual(self.wanted(c1=1), 0)

    def test_one_for_one(self) -> None:
        """A prompt crawler gets as many as it ended; one that has asked, no more than it asked for."""
        self.crawler.prompt = True
        self.assertEqual(self.wanted(c1=2), 2)
        self.hungry(self.crawler)
        self.assertEqual(self.wanted(c1=2), 1)

    def test_more_for_a_quick_one(self) -> None:
        """One that asked and found nothing gets one more each time, unless there is one in reserve."""
        self.crawler.quick = True
        self.hungry(self.crawler)
        for _ in range(2):
            self.assertEqual(self.wanted(c1=1), 2)
        for _ in range(2):
            self.ahead.claimed(Ahead(2, TYPES), NOTHING_CLAIMED)
        self.reserve.keep(TYPES, [claimed(1)])
        self.assertEqual(self.wanted(c1=1), 1)
        self.reserve.take(TYPES, 1)
        self.ahead.claimed(Ahead(1, TYPES), NOTHING_CLAIMED)
        self.assertEqual(self.wanted(c1=1), 2)
        self.reserve.stop()

    def test_all_that_a_quick_one_has_room_for(self) -> None:
        """It asked for several: what is kept and on its way for it is not claimed again, but for one more."""
        self.crawler.quick, self.crawler.max_jobs = True, 5
        self.hungry(self.crawler).limit = 5
        self.assertEqual([self.wanted(c1=1) for _ in range(2)], [6, 2])
        self.reserve.keep(TYPES, [claimed(number) for number in range(2)])
        self.ahead.claimed(Ahead(6, TYPES), NOTHING_CLAIMED)
        self.assertEqual(self.wanted(c1=1), 2)
        self.reserve.stop()

    def test_one_statement_one_kind(self) -> None:
        """Where crawlers take different commands, those of the most ends are served beside the batch."""
        other = self.crawler_called("c2", ["branch"])
        self.crawler.prompt = other.prompt = True
        ahead = self.ahead.wants({"c1": ["a"], "c2": ["b", "c"]})
        self.assertEqual((ahead.number, ahead.commands), (2, ("branches",)))

    def test_not_without_end(self) -> None:
        """A claim has a bound."""
        self.crawler.prompt = True
        self.assertEqual(self.wanted(c1=MAX_CLAIM + 1), MAX_CLAIM)

    def test_who_runs_ahead(self) -> None:
        """Whoever hears acks, is no plain crawler, and has not told too many ends that are not stored."""
        self.assertTrue(runs_ahead(self.hungry(self.crawler)))
        self.assertFalse(runs_ahead(self.hungry(self.crawler, acks=False)))
        self.crawler.ending = MAX_UNSTORED
        self.assertFalse(runs_ahead(self.hungry(self.crawler)))
        self.crawler.max_jobs = MAX_UNSTORED
        self.assertTrue(runs_ahead(self.hungry(self.crawler)))
        self.crawler.ending = TIMES_ITS_JOBS * MAX_UNSTORED
        self.assertFalse(runs_ahead(self.hungry(self.crawler)))
        self.crawler.ending, self.crawler.plain = 0, True
        self.assertFalse(runs_ahead(self.hungry(self.crawler)))


class ClaimedTests(ReserveTestCase):
    """What comes of claims ahead."""

    def setUp(self) -> None:
        super().setUp()
        self.kept: list[object] = []
        self.ahead.on_kept = lambda types, last: self.kept.append((types, self.reserve.count(types), last))
        self.ahead.on_more = lambda: self.kept.append("more")
        self.crawler.prompt = True

    def look(self) -> list[Claimed]:
        """What nobody has heard of."""
        return list(self.successResultOf(Deferred.fromCoroutine(self.ahead.unheard())))

    def test_kept_for_whom_it_was_claimed(self) -> None:
        """In whatever order the outcomes of several wishes come."""
        other = self.crawler_called("c2", ["branch"])
        other.prompt = True
        first, second = self.ahead.wants({"c1": ["a"]}), self.ahead.wants({"c2": ["b", "c"]})
        self.ahead.claimed(second, Claim([claimed(2)], contended=True))
        self.ahead.claimed(first, Claim([claimed(1)], contended=False))
        self.assertEqual(self.kept, [(("branch",), 1, True), "more", (TYPES, 1, False)])
        self.assertEqual(self.reserve.take(TYPES, 9), [claimed(1)])
        self.reserve.stop()

    def test_in_doubt(self) -> None:
        """Nothing more is claimed until a look has told what the node has and does not know of."""
        ahead = self.ahead.wants({"c1": ["a"]})
        self.ahead.doubt(ahead)
        self.assertEqual((self.kept, self.wanted(c1=1)), (["more"], 0))
        self.reserve.keep(TYPES, [claimed(1)])
        self.claims.jobs = [claimed(1), claimed(2)]
        self.assertEqual(self.look(), [claimed(2)])
        self.assertEqual(self.wanted(c1=1), 1)
        self.reserve.stop()

    def test_no_look_while_claims_are_on_their_way(self) -> None:
        """Nor claims during a look: what it found could be what one of them has just brought."""
        ahead = self.ahead.wants({"c1": ["a"]})
        self.claims.jobs = [claimed(1)]
        self.assertEqual(self.look(), [])
        self.ahead.claimed(ahead, NOTHING_CLAIMED)
        self.claims.answer = Deferred()
        looking = Deferred.fromCoroutine(self.ahead.unheard())
        self.assertEqual((self.wanted(c1=1), self.look()), (0, []))
        self.claims.answer.callback(None)
        self.assertEqual(self.successResultOf(looking), [claimed(1)])
        self.assertEqual(self.wanted(c1=1), 1)

    def test_rivals(self) -> None:
        """Once another node was faster, more are looked at than are wanted, for a while."""
        ahead = self.ahead.wants({"c1": ["a", "b"]})
        self.assertEqual((ahead.number, ahead.spare), (2, 0))
        self.ahead.claimed(ahead, Claim([], contended=True))
        self.assertEqual(self.ahead.wants({"c1": ["c", "d"]}).spare, 2 * SHARE)
        self.clock.advance(MEMORY)
        self.assertEqual(self.ahead.wants({"c1": ["e"]}).spare, 0)


class ReserveTests(ReserveTestCase):
    """Reserve."""

    def test_first_in_first_out(self) -> None:
        """What has been kept longest goes first; what nobody asked for in time goes back, and no sooner."""
        back: list[Claimed] = []
        self.reserve.on_unwanted = back.extend
        self.reserve.keep(TYPES, [claimed(1), claimed(2)])
        self.clock.advance(reserve_module.PATIENCE / 2)
        self.reserve.keep(TYPES, [claimed(3)])
        self.assertEqual(self.reserve.take(TYPES, 1), [claimed(1)])
        self.assertEqual(self.reserve.take(("branch",), 1), [])
        self.clock.advance(reserve_module.PATIENCE / 2)
        self.assertEqual(back, [claimed(2)])
        self.clock.advance(reserve_module.PATIENCE / 2)
        self.assertEqual(back, [claimed(2), claimed(3)])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CrawlerTests(ReserveTestCase):
    """What a crawler holds, and what it has said."""

    def test_room(self) -> None:
        """The end of a job makes room once, and none when it turns out that it was not over."""
        crawler = self.crawler
        crawler.hold({"a": Held(0.0, reported=True)})
        self.assertEqual(crawler.room, 0)
        for _ in range(2):
            crawler.tell_ending("a", QUICK / 2)
        self.assertEqual((crawler.room, crawler.quick), (1, True))
        crawler.still_holds("a")
        self.assertEqual(crawler.room, 0)
        crawler.tell_ending("a", QUICK)
        self.assertEqual((crawler.room, crawler.quick), (1, False))
        self.assertEqual((crawler.drop("a"), crawler.drop("a"), crawler.room, crawler.ending), (True, False, 1, 0))

    def test_settled(self) -> None:
        """Whoever waits for what was said waits for all of that, and not for what is said later."""
        crawler, done = self.crawler, list[str]()
        crawler.when_settled(lambda: done.append("nothing was said"))
        first = crawler.begin()
        crawler.when_settled(lambda: done.append("one"))
        second, third = crawler.begin(), crawler.begin()
        crawler.when_settled(lambda: done.append("three"))
        crawler.end(third)  # it may overtake others: an arrival takes longer than a report
        self.assertEqual((done, crawler.pending), (["nothing was said"], 2))
        crawler.end(first)
        self.assertEqual(done[1:], ["one"])
        crawler.end(second)
        self.assertEqual((done[2:], crawler.pending), (["three"], 0))
