"""Periodic tasks."""

from collections.abc import Callable

import psycopg2
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store.faults import DatabaseAway
from copilot_socket.timers import Task, Timers


class TimersTests(SynchronousTestCase):
    """Timers on a clock that is moved by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.rounds: list[float] = []
        self.names: list[str] = []

    def _start(self, work, **more: float) -> Timers:  # type: ignore[no-untyped-def]
        timers = Timers([Task("a task", 2.0, work, **more)], self.clock)
        timers.start()
        self.addCleanup(timers.stop)
        return timers

    def test_every_interval(self) -> None:
        """A round each interval, the first after one."""
        self._start(lambda: self.rounds.append(self.clock.seconds()))
        self.clock.pump([1.0] * 6)
        self.assertEqual(self.rounds, [2.0, 4.0, 6.0])

    def test_a_failing_round_is_logged_and_the_next_one_runs(self) -> None:
        """The task goes on, whatever it raises."""

        def work() -> None:
            self.rounds.append(self.clock.seconds())
            raise RuntimeError("broken")

        self._start(work)
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.rounds, [2.0, 4.0])

    def test_a_round_cut_off_by_the_end_is_no_error(self) -> None:
        """Failures after the stop are not logged."""
        under_way: Deferred[None] = Deferred()
        timers = self._start(lambda: under_way)
        with capturedLogs() as events:
            self.clock.advance(2.0)
            timers.stop()
            under_way.errback(RuntimeError("closed"))
        self.assertEqual([event["log_level"] for event in events], [LogLevel.debug])

    def test_cancelled(self) -> None:
        """A cancelled round ends whoever waits for it; the periodic ones go on."""
        under_way: list[Deferred[None]] = []

        def work() -> Deferred[None]:
            under_way.append(Deferred())
            return under_way[-1]

        timers = self._start(work)
        d = Deferred.fromCoroutine(timers.run_once("a task"))
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.clock.advance(2.0)
        under_way[-1].cancel()
        self.clock.advance(2.0)
        self.assertEqual(len(under_way), 3)

    def test_rounds_do_not_overlap(self) -> None:
        """While one is under way no other begins."""
        under_way: list[Deferred[None]] = []

        async def work() -> None:
            self.rounds.append(self.clock.seconds())
            d: Deferred[None] = Deferred()
            under_way.append(d)
            await d

        self._start(work)
        self.clock.pump([1.0] * 8)
        self.assertEqual(self.rounds, [2.0])
        under_way[0].callback(None)
        self.clock.pump([1.0] * 2)
        self.assertEqual(len(self.rounds), 2)

    def test_stop(self) -> None:
        """No round after that."""
        timers = self._start(lambda: self.rounds.append(self.clock.seconds()))
        timers.stop()
        self.clock.pump([1.0] * 4)
        self.assertEqual((self.rounds, self.clock.getDelayedCalls()), ([], []))

    def test_out_of_turn(self) -> None:
        """One extra round, by name."""
        timers = self._start(lambda: self.rounds.append(self.clock.seconds()))
        self.successResultOf(Deferred.fromCoroutine(timers.run_once("a task")))
        self.assertEqual(self.rounds, [0.0])

    def test_only_some(self) -> None:
        """Some tasks may be started before the others, and are not started twice."""
        timers = Timers([Task(name, 2.0, lambda name=name: self.names.append(name)) for name in "ab"], self.clock)
        self.addCleanup(timers.stop)
        timers.start("b")
        self.clock.advance(2.0)
        timers.start()
        self.clock.advance(2.0)
        self.assertEqual(self.names, ["b", "b", "a"])

    def _failing(self, times: int) -> Callable[[], None]:
        """Work that fails a number of times."""
        outcomes = iter([RuntimeError("broken")] * times)

        def work() -> None:
            self.rounds.append(self.clock.seconds())
            for error in outcomes:
                raise error

        return work

    def test_retry(self) -> None:
        """What failed is tried again sooner, until it works."""
        timers = self._start(self._failing(2), retry=0.5)
        self.clock.advance(2.0)
        self.assertTrue(timers.failing("a task"))
        self.clock.pump([0.5] * 7)
        self.assertEqual(self.rounds, [2.0, 2.5, 3.0, 5.0])
        self.assertFalse(timers.failing("a task"))

    def test_no_later_than_usual(self) -> None:
        """A task that is done more often than that is not tried again later for having failed."""
        self._start(self._failing(2), retry=60.0)
        self.clock.pump([1.0] * 6)
        self.assertEqual(self.rounds, [2.0, 4.0, 6.0])

    def test_overdue(self) -> None:
        """A round that does not come back is reported, once, until it does."""
        under_way: Deferred[None] = Deferred()
        timers = self._start(lambda: under_way, limit=5.0)
        with capturedLogs() as events:
            self.clock.pump([1.0] * 6)
            self.assertEqual(list(timers.overdue), [])
            self.clock.pump([1.0] * 60)
        self.assertEqual([formatEvent(event) for event in events], ["The round of a task has not come back for 5 s"])
        self.assertEqual((list(timers.overdue), timers.failing("a task")), (["a task"], True))
        under_way.callback(None)
        self.assertEqual((list(timers.overdue), timers.failing("a task")), ([], False))

    def test_nothing_is_left(self) -> None:
        """After the end nothing waits for a round that never comes back."""
        timers = self._start(Deferred, limit=5.0)
        self.clock.advance(2.0)
        timers.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_outage_is_told_elsewhere(self) -> None:
        """An outage of the database is not logged by each task; other failures are."""
        missing = type("Missing", (psycopg2.ProgrammingError,), {"pgcode": "42703"})("a fault of ours, perhaps")
        errors = iter([DatabaseAway("away"), RuntimeError("broken"), missing])

        def work() -> None:
            raise next(errors)

        self._start(work)
        with capturedLogs() as events:
            self.clock.pump([1.0] * 6)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.debug, LogLevel.error, LogLevel.error])
