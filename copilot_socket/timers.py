"""Runs periodic tasks; rounds that fail or do not end in time are logged."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from copilot_socket.store.outage import level

NEVER = float("inf")
_log = Logger("copilot_socket.timers")


@attrs.frozen
class Task:
    """Calls ``work``, which may return an awaitable, every *interval* seconds; rounds never overlap.

    After a failed round the next one follows after *retry* seconds, if that is sooner. A round that has not ended
    after *limit* seconds is logged and counts as overdue; no other starts before it ends.
    """

    name: str
    interval: float
    work: Callable[[], Any]
    retry: float = attrs.field(kw_only=True, default=NEVER)
    limit: float = attrs.field(kw_only=True, default=NEVER)


class Timers:
    """Runs tasks. A failed round is logged, and the next one runs as usual."""

    def __init__(self, tasks: Sequence[Task], reactor: IReactorTime) -> None:
        self._loops = [_Loop(task, reactor) for task in tasks]

    def start(self, *names: str) -> None:
        """Start the tasks called *names*, or all that do not run yet; the first round follows after one interval."""
        for loop in self._loops:
            if not loop.running and (not names or loop.task.name in names):
                loop.start()

    def stop(self) -> None:
        """Start no further round; failures of one under way are logged at debug level."""
        for loop in self._loops:
            loop.stop()

    async def run_once(self, name: str) -> None:
        """Run one extra round of the task called *name* now."""
        [loop] = [loop for loop in self._loops if loop.task.name == name]
        await loop.round()

    def failing(self, name: str) -> bool:
        """Whether the last round of the task called *name* failed, or is overdue."""
        return any(loop.task.name == name and (loop.failed or loop.overdue) for loop in self._loops)

    @property
    def overdue(self) -> Iterator[str]:
        """The names of the tasks whose current round has exceeded its limit."""
        return (loop.task.name for loop in self._loops if loop.overdue)


class _Loop:
    """Repeats one task. ``failed``: whether its last round failed."""

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
        """Run one round; raises nothing but :class:`CancelledError`."""
        late = None if self.task.limit == NEVER else self._later(self.task.limit, self._late)
        try:
            result = self.task.work()
            if hasattr(result, "__await__"):
                await result
        except CancelledError:
            self.failed = True
            raise
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
        d.addErrback(lambda failure: failure.trap(CancelledError) and None)
        d.addCallback(self._again, begun)
        d.addErrback(lambda failure: _log.failure("{task} will not run again", failure, task=self.task.name))

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
