"""What a node does, recorded by the minute of the database's clock."""

from collections.abc import Mapping
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.crawler_ends import SLICE, Ends, Key
from copilot_socket.core.ends import Cause
from copilot_socket.core.history import CAUSES, Interval
from copilot_socket.event_bus import EventBus, JobChanged, JobSent, JobsReported
from copilot_socket.recorder import MINUTE, MOST, Recorder
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.history import NO_ENDS, History

AHEAD = 1_767_225_570.0
"""The database's time when the reactor's clock says 0: half past a minute."""
BEGAN = 1_767_225_540


class FakeHistory:
    """Remembers what is stored; fails while ``away``."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stored: dict[int, tuple[int, int]] = {}
        """Minute → completed jobs, and crawlers."""
        self.written: list[int] = []
        self.ends: dict[Key, int] = {}
        """How many attempts of crawlers ended."""
        self.ends_written = 0
        self.samples = 0
        self.away = False
        self.ahead = AHEAD

    async def record(self, node: str, minutes: Mapping[int, Interval], ends: Mapping[Key, Ends] = NO_ENDS) -> float:
        if self.away:
            raise DatabaseAway("away")
        assert node == "node"
        self.written = sorted(minutes)
        self.stored |= {at: (each.completed, each.crawlers) for at, each in minutes.items()}
        self.ends |= {key: each.attempts for key, each in ends.items()}
        self.ends_written = len(ends)
        return self.clock.seconds() + self.ahead

    async def sample(self) -> None:
        self.samples += 1


class RecorderTests(SynchronousTestCase):
    """Recorder."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.history = FakeHistory(self.clock)
        self.crawlers = 2
        self.recorder = Recorder(cast(History, self.history), "node", lambda: self.crawlers, self.clock)
        self.bus = EventBus()
        self.bus.subscribe_by_type(self.recorder.subscriptions)

    def complete(self, jobs: int) -> None:
        """Have so many jobs completed now."""
        attempts = [(f"J{number}.1.x", "c", "a") for number in range(jobs)]
        self.bus.publish(JobsReported("completed", "job_completed", attempts, "completed", [1.0] * jobs))

    def store(self) -> None:
        """A round, which must succeed."""
        self.successResultOf(Deferred.fromCoroutine(self.recorder.store()))

    def test_minutes(self) -> None:
        """What happens counts for the minute in which it does, by the database's clock, also what happens early."""
        self.complete(1)
        self.clock.advance(10)
        self.store()
        self.assertEqual(self.history.stored, {BEGAN: (1, 2)})
        self.clock.advance(19)
        self.complete(2)
        self.crawlers = 9
        self.clock.advance(2)
        self.complete(4)
        self.store()
        self.assertEqual(self.history.stored, {BEGAN: (3, 2), BEGAN + 60: (4, 9)})
        self.crawlers = 1
        self.store()
        self.assertEqual(self.history.stored[BEGAN + 60], (4, 9))  # the most at a time
        self.assertEqual(self.history.samples, 3)

    def test_only_what_may_change(self) -> None:
        """Minutes that are over are not written for ever."""
        for _ in range(5):
            self.store()
            self.clock.advance(MINUTE)
        self.assertEqual(len(self.history.stored), 5)
        self.assertEqual(self.history.written, [BEGAN + number * MINUTE for number in (2, 3, 4)])

    def test_clocks_that_differ(self) -> None:
        """A clock that is corrected across the beginning of a minute loses nothing of the one before."""
        self.store()
        self.clock.advance(29.99)
        self.complete(5)
        self.history.ahead += 0.02
        self.store()
        self.complete(7)
        self.history.ahead -= 0.02
        self.store()
        self.complete(1)
        self.store()
        self.assertEqual(self.history.stored[BEGAN][0] + self.history.stored[BEGAN + 60][0], 13)

    def test_without_the_database(self) -> None:
        """What can't be stored is stored later, up to an hour of it."""
        self.store()
        self.history.away = True
        for _ in range(MOST + 5):
            self.complete(1)
            self.failureResultOf(Deferred.fromCoroutine(self.recorder.store()), DatabaseAway)
            self.clock.advance(MINUTE)
        self.history.away = False
        self.store()
        self.assertEqual(sum(completed for completed, _ in self.history.stored.values()), MOST - 1)

    def test_events(self) -> None:
        """Ends of attempts count by cause, with their durations; jobs that are sent, with how long they waited."""
        self.bus.publish(
            JobChanged("J", "failed", "job_failed", "J.1.x", outcome="failed", cause="forbidden", ran=7.0)
        )
        self.bus.publish(JobChanged("J", "queued", "returned", "J.2.x", outcome="returned"))
        self.bus.publish(JobChanged("J", "cancelled", "cancelled"))
        self.bus.publish(JobSent("J", "J.1.x", "c", 0.25, "a", "issues", None))
        self.bus.publish(JobSent("J", "J.1.x", "c", None, "a", "issues", None))
        self.complete(2)
        minute = self.recorder._early
        self.assertEqual((minute.completed, minute.failed, minute.cancelled), (2, 1, 1))
        ended = {CAUSES[number]: count for number, count in enumerate(minute.ended) if count}
        self.assertEqual(ended, {Cause.COMPLETED: 2, Cause.FORBIDDEN: 1, Cause.RELEASED: 1})
        self.assertEqual((minute.run.seconds, minute.run.longest), (9.0, 7.0))
        self.assertEqual((sum(minute.dispatch.counts), minute.dispatch.seconds), (1, 0.25))

    def test_crawlers(self) -> None:
        """Ends count for the crawler whose attempts they are; what has not changed is not written again."""
        self.complete(2)
        lost = JobChanged("J", "queued", "released", "J.1.x", "d", outcome="released", cause="crawler_lost", ran=7.0)
        self.bus.publish(lost)
        self.bus.publish(JobChanged("J", "cancelled", "cancelled"))
        self.store()
        began = int(AHEAD // SLICE * SLICE)
        completed, gone = Key(began, "c", Cause.COMPLETED), Key(began, "d", Cause.CRAWLER_LOST)
        self.assertEqual(self.history.ends, {completed: 2, gone: 1})
        self.complete(1)
        self.store()
        self.assertEqual((self.history.ends, self.history.ends_written), ({completed: 3, gone: 1}, 1))
        self.store()
        self.assertEqual(self.history.ends_written, 0)

    def test_crawlers_without_the_database(self) -> None:
        """What can't be stored is stored later, together with what has come since."""
        self.store()
        began = int(AHEAD // SLICE * SLICE)
        for _ in range(3):
            self.complete(1)
            self.history.away = True
            self.failureResultOf(Deferred.fromCoroutine(self.recorder.store()), DatabaseAway)
        self.history.away = False
        self.complete(1)
        self.store()
        self.clock.advance(SLICE)
        self.complete(1)
        self.store()
        first, second = (Key(began + number * SLICE, "c", Cause.COMPLETED) for number in (0, 1))
        self.assertEqual(self.history.ends, {first: 4, second: 1})
