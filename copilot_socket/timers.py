"""Runs periodic tasks: a round that fails is logged, one that does not come back is reported."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from copilot_socket.store.outage import level

NEVER = float("inf")
_log = Logger("copilot_socket.timers")


@attrs.frozen
class Task:
    """Something done every *interval* seconds. ``work`` may return an awaitable; rounds never overlap.

    A round that failed is followed by the next one after *retry* seconds, if that is sooner. One that is still under
    way after *limit* seconds is reported: it may never come back, and no other begins before it does.
    """

    name: str
    interval: float
    work: Callable[[], Any]
    retry: float = attrs.field(kw_only=True, default=NEVER)
    limit: float = attrs.field(kw_only=True, default=NEVER)


class Timers:
    """Runs tasks. A round that fails is logged and the next one runs: a timer that dies would be noticed too late."""

    def __init__(self, tasks: Sequence[Task], reactor: IReactorTime) -> None:
        self._loops = [_Loop(task, reactor) for task in tasks]

    def start(self, *names: str) -> None:
        """Start the tasks called *names*, or all that do not run yet; each waits for its first interval."""
        for loop in self._loops:
            if not loop.running and (not names or loop.task.name in names):
                loop.start()

    def stop(self) -> None:
        """Begin no further round; what becomes of one under way is of no more interest."""
        for loop in self._loops:
            loop.stop()

    async def run_once(self, name: str) -> None:
        """One round of the task called *name*, out of turn."""
        [loop] = [loop for loop in self._loops if loop.task.name == name]
        await loop.round()

    def failing(self, name: str) -> bool:
        """Whether the last round of the task called *name* failed, or is overdue."""
        return any(loop.task.name == name and (loop.failed or loop.overdue) for loop in self._loops)

    @property
    def overdue(self) -> Iterator[str]:
        """The names of tasks with a round that has been under way for longer than its limit."""
        return (loop.task.name for loop in self._loops if loop.overdue)


class _Loop:
    """One task, again and again. ``failed`` says whether its last round did."""

    def __init__(self, task: Task, reactor: IReactorTime) -> None:
        self.task = task
        self.running = False
        self.failed = False
        self.overdue = False
        self._reactor = reactor
        self._calls: set[IDelayedCall] = set()
        self._stopped = False

    def start(self) -> None:
        self.running = True
        self._later(self._interval, self._run)

    @property
    def _interval(self) -> float:
        return min(self.task.interval, self.task.retry) if self.failed else self.task.interval

    def stop(self) -> None:
        self._stopped, self.running = True, False
        for call in list(self._calls):
            self._cancel(call)

    async def round(self) -> None:
        """One round, whatever comes of it."""
        late = None if self.task.limit == NEVER else self._later(self.task.limit, self._late)
        try:
            result = self.task.work()
            if hasattr(result, "__await__"):
                await result
        except Exception as error:
            self.failed = True
            self._explain(error)
        else:
            self.failed = False
        finally:
            self.overdue = False
            if late is not None:
                self._cancel(late)

    def _run(self) -> None:
        begun = self._reactor.seconds()
        d = Deferred.fromCoroutine(self.round())
        d.addCallback(self._again, begun)
        d.addErrback(lambda failure: _log.failure("{task} is done no more", failure, task=self.task.name))

    def _again(self, _: None, begun: float) -> None:
        if not self._stopped:
            self._later(max(begun + self._interval - self._reactor.seconds(), 0.0), self._run)

    def _late(self) -> None:
        self.overdue = True
        _log.error(
            "The round of {task} has not come back for {seconds:g} s", task=self.task.name, seconds=self.task.limit
        )

    def _explain(self, error: Exception) -> None:
        how_bad = LogLevel.debug if self._stopped else level(error, LogLevel.error)
        _log.emit(how_bad, "The round of {task} failed: {error!r}", task=self.task.name, error=error)

    def _later(self, seconds: float, what: Callable[[], None]) -> IDelayedCall:
        def run() -> None:
            self._calls.discard(call)
            what()

        call: IDelayedCall = self._reactor.callLater(seconds, run)
        self._calls.add(call)
        return call

    def _cancel(self, call: IDelayedCall) -> None:
        self._calls.discard(call)
        if call.active():
            call.cancel()
