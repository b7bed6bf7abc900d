"""How a node stops: everything accepted is committed, and a failed step does not prevent the next ones."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.replies import Shutdown
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.writer import Writer
from copilot_socket.wire.factory import CrawlerFactory

_UNAVAILABLE: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_ERRORS)
LEAVING = 1.0
"""Seconds within which a stopping node tries to give up its lease, and to store what it has not yet."""

TOKEN_PATIENCE = 20.0
"""Seconds that a stopping node waits for token refreshes under way: a pair that is not stored is lost for good."""

_log = Logger("copilot_socket.node")


async def take_all(steps: Iterable[Callable[[], Any]]) -> None:
    """Call *steps* in turn and await their results. Exceptions are logged, and the next step follows."""
    for step in steps:
        try:
            result = step()
            if hasattr(result, "__await__"):
                await result
        except Exception:
            _log.failure("A step of stopping failed: {step}", step=repr(step))


async def drain(dispatcher: Dispatcher, writer: Writer, limit: float, reactor: IReactorTime) -> None:
    """Wait until everything accepted is committed, for at most *limit* seconds."""
    waits = (Deferred.fromCoroutine(dispatcher.stop()), writer.drained())
    for wait in waits:
        wait.addTimeout(limit, reactor)
    outcomes: list[tuple[bool, Any]] = await DeferredList(waits, consumeErrors=True)
    for succeeded, failure in outcomes:
        if not succeeded and not isinstance(failure.value, TimeoutError):
            _log.failure("Draining failed", failure)
    if writer.waiting:
        _log.error("{count} reports were not committed in time", count=writer.waiting)


async def leave(presence: PresenceKeeper, reactor: IReactorTime) -> None:
    """Give up this node's lease, if the database answers within :data:`LEAVING` seconds."""
    try:
        await Deferred.fromCoroutine(presence.leave()).addTimeout(LEAVING, reactor)
    except _UNAVAILABLE as error:
        _log.warn("The node's lease could not be given up and will expire: {error!r}", error=error)


async def write_what_is_left(
    what: str, store: Callable[[], Coroutine[Any, Any, None]], reactor: IReactorTime
) -> None:
    """Have *what* happened lately stored, if the database answers within :data:`LEAVING` seconds."""
    try:
        await Deferred.fromCoroutine(store()).addTimeout(LEAVING, reactor)
    except _UNAVAILABLE as error:
        _log.warn("The last {what} could not be stored: {error!r}", what=what, error=error)


def announce(factory: CrawlerFactory, limit: float) -> None:
    """Tell every crawler that the node stops within *limit* seconds."""
    factory.tell_all(Shutdown(scope="node", graceful=True, timeout_seconds=limit, reason="the node stops; reconnect"))


def finish_refreshes(tokens: Tokens, limit: float) -> "Deferred[None]":
    """Start waiting for token refreshes under way; the next steps of stopping do not wait for them."""
    return Deferred.fromCoroutine(tokens.stop(max(limit, TOKEN_PATIENCE)))
