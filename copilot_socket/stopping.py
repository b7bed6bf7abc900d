"""How a node stops: everything accepted is committed, and no step is left out because of another."""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.writer import Writer

_NOT_NOW: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_ERRORS)
LEAVING = 1.0
"""Seconds for which a stopping node tries to give up its lease."""

_log = Logger("copilot_socket.node")


async def take_all(steps: Iterable[Callable[[], Any]]) -> None:
    """Call *steps* in turn and await what they return. One that fails is logged, and the next one follows."""
    for step in steps:
        try:
            result = step()
            if hasattr(result, "__await__"):
                await result
        except Exception:
            _log.failure("A step of stopping failed: {step}", step=repr(step))


async def drain(dispatcher: Dispatcher, writer: Writer, limit: float, reactor: IReactorTime) -> None:
    """Wait until everything accepted is committed, for *limit* seconds at the most."""
    waits = (Deferred.fromCoroutine(dispatcher.stop()), writer.drained())
    for wait in waits:
        wait.addTimeout(limit, reactor)
    outcomes: list[tuple[bool, Any]] = await DeferredList(waits, consumeErrors=True)
    for succeeded, failure in outcomes:
        if not succeeded and not isinstance(failure.value, TimeoutError):
            _log.failure("The node could not be drained", failure)
    if writer.waiting:
        _log.error("{count} reports were not committed in time", count=writer.waiting)


async def leave(presence: PresenceKeeper, reactor: IReactorTime) -> None:
    """Give up this node's own lease, if the database answers soon."""
    try:
        await Deferred.fromCoroutine(presence.leave()).addTimeout(LEAVING, reactor)
    except _NOT_NOW as error:
        _log.warn("This node's lease runs out by itself: {error!r}", error=error)
