"""Every periodic task and its interval, in one list."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


@attrs.frozen
class Task:
    """Something done every *interval* seconds. ``work`` may return an awaitable; rounds never overlap."""

    name: str
    interval: float
    work: Callable[[], Any]


class Timers:
    """Runs tasks. A round that fails is logged and the next one runs: a timer that dies would be noticed too late."""

    log = Logger()

    def __init__(self, tasks: Sequence[Task], reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._stopped = False
        self._loops = [(task, LoopingCall(self._round, task)) for task in tasks]
        for _, loop in self._loops:
            loop.clock = reactor

    def start(self) -> None:
        """Start them all; each waits for its first interval."""
        for task, loop in self._loops:
            loop.start(task.interval, now=False)

    def stop(self) -> None:
        """Begin no further round; what becomes of one under way is of no more interest."""
        self._stopped = True
        for _, loop in self._loops:
            if loop.running:
                loop.stop()

    async def run_once(self, name: str) -> None:
        """One round of the task called *name*, out of turn."""
        for task, _ in self._loops:
            if task.name == name:
                await self._round(task)

    def _round(self, task: Task) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._guarded(task))

    async def _guarded(self, task: Task) -> None:
        try:
            result = task.work()
            if hasattr(result, "__await__"):
                await result
        except Exception as error:
            report = self.log.debug if self._stopped else self.log.error
            report("The round of {task} failed: {error!r}", task=task.name, error=error)
