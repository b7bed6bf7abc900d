"""Periodic tasks."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.timers import Task, Timers


class TimersTests(SynchronousTestCase):
    """Timers on a clock that is moved by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.rounds: list[float] = []

    def _start(self, work) -> Timers:  # type: ignore[no-untyped-def]
        timers = Timers([Task("a task", 2.0, work)], self.clock)
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
        """What fails because everything stops is not worth a line."""
        under_way: Deferred[None] = Deferred()
        timers = self._start(lambda: under_way)
        with capturedLogs() as events:
            self.clock.advance(2.0)
            timers.stop()
            under_way.errback(RuntimeError("closed"))
        self.assertEqual([event["log_level"] for event in events], [LogLevel.debug])

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
        """One round at once, by name."""
        timers = self._start(lambda: self.rounds.append(self.clock.seconds()))
        self.successResultOf(Deferred.fromCoroutine(timers.run_once("a task")))
        self.assertEqual(self.rounds, [0.0])
