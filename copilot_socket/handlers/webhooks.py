"""Sends webhooks: the node that numbers live events makes deliveries of these; any node sends those that are due.

At most one message is on its way to each webhook from a node, so that none waits for another one's receiver.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from copilot_socket.core.vault import VaultError
from copilot_socket.core.webhooks import BadSecret, Verdict, headers, message, verdict
from copilot_socket.event_bus import EventBus, WebhookTried
from copilot_socket.handlers.answers import Answer, NoAnswer
from copilot_socket.store.outage import level
from copilot_socket.store.webhook_deliveries import Taken, WebhookDeliveries

EACH = 1.0
"""Seconds between rounds."""
LOOK = 30.0
"""Seconds after which webhooks are read without a notification, which may be lost."""
TIME_LIMIT = 15.0
"""Seconds for an attempt."""
STEPS = 50
"""Transactions that make deliveries in one round."""
LONGEST = 500
"""Characters of an error that are kept."""


class Numbers(Protocol):
    """:class:`.Numbering`."""

    @property
    def holds(self) -> bool:
        """Whether this node numbers the live events."""


class WebhookSender:
    """Reads nothing while there is no active webhook. *time_of_day*: seconds since 1970."""

    log = Logger()

    def __init__(
        self,
        deliveries: WebhookDeliveries,
        numbers: Numbers,
        reactor: Any,
        bus: EventBus,
        time_of_day: Callable[[], float],
    ) -> None:
        self._deliveries = deliveries
        self._numbers = numbers
        self._reactor = reactor
        self._bus = bus
        self._time_of_day = time_of_day
        self._active: Mapping[str, frozenset[str]] = {}
        self._look_at = float("-inf")
        self._taking = DeferredLock()
        self._sending: dict[str, Deferred[None]] = {}
        """Webhook → the attempt that is under way."""
        self._posts: dict[str, Deferred[tuple[Answer | None, str | None]]] = {}
        """Webhook → its request, until it is answered."""
        self._stopped = False

    def changed(self, _payload: str = "") -> None:
        """Webhooks may have changed: read them in the next round."""
        self._look_at = float("-inf")

    async def run(self) -> None:
        """One round. Raises the database's error."""
        now = self._reactor.seconds()
        if now >= self._look_at:
            self._look_at = now + LOOK
            try:
                self._active = await self._deliveries.active()
            except Exception:
                self._look_at = float("-inf")
                raise
        if not self._active or self._stopped:
            return
        if self._numbers.holds:
            for _ in range(STEPS):
                if not await self._deliveries.make():
                    break
        await self._send()

    async def stop(self, limit: float) -> None:
        """Send nothing more; wait for attempts that are under way, for up to *limit* seconds."""
        self._stopped = True
        timer = self._reactor.callLater(limit, self._cancel)
        try:
            await self._taking.acquire()  # what is being taken is sent first
            self._taking.release()
            while self._sending:
                waiting: Deferred[None] = Deferred()
                next(iter(self._sending.values())).addBoth(_tell, waiting)
                await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _cancel(self) -> None:
        for d in list(self._posts.values()):
            d.cancel()

    async def _send(self) -> None:
        """Begin an attempt for each webhook that is due, and to which none is under way."""
        await self._taking.acquire()
        try:
            idle = [webhook for webhook in self._active if webhook not in self._sending]
            if not idle or self._stopped:
                return
            for taken in await self._deliveries.take(idle):
                d = Deferred.fromCoroutine(self._attempt(taken))
                if not d.called:
                    self._sending[taken.webhook] = d
                d.addBoth(self._done, taken)
        finally:
            self._taking.release()

    def _done(self, result: Failure | None, taken: Taken) -> None:
        """The attempt of *taken* is over: the next one follows at once, unless this one could not be stored."""
        self._sending.pop(taken.webhook, None)
        if isinstance(result, Failure):
            self._failed(result)
        elif not self._stopped:
            Deferred.fromCoroutine(self._send()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """What is leased is sent again once the lease is over."""
        error = failure.value
        how_bad = LogLevel.error if error is None else level(error, LogLevel.error)
        self.log.emit(how_bad, "Sending a webhook failed: {error!r}", error=error)

    async def _attempt(self, taken: Taken) -> None:
        """Send *taken*, and store the outcome."""
        self._posts[taken.webhook] = post = Deferred.fromCoroutine(self._post(taken))
        try:
            answer, error = await post
        except CancelledError:
            await self._deliveries.release(taken)
            return
        finally:
            del self._posts[taken.webhook]
        code = None if answer is None else answer.status
        decided = verdict(code, taken.attempts, taken.age, None if answer is None else answer.retry_after)
        if decided.status == "delivered":
            error = None
        elif answer is not None:
            error = f"answered {answer.status}"
        await self._deliveries.settle(taken, decided, code, error and error[:LONGEST])
        self._tell(taken, decided, error)

    async def _post(self, taken: Taken) -> tuple[Answer | None, str | None]:
        """The answer, or why there is none."""
        body = message(taken.id, taken.event, taken.at, taken.payload)
        try:
            signed = headers(taken.id, body, self._deliveries.secrets(taken), self._time_of_day())
            post = await deferToThread(_http_client)
            return await post(self._reactor, taken.url, signed, body, TIME_LIMIT), None
        except (NoAnswer, BadSecret, VaultError) as error:
            return None, str(error)

    def _tell(self, taken: Taken, decided: Verdict, error: str | None) -> None:
        outcome = "gone" if decided.gone else "retried" if decided.status == "pending" else decided.status
        self._bus.publish(WebhookTried(taken.webhook, taken.event, outcome, error))


def _http_client() -> Any:
    """The client, imported in a thread: with TLS that takes as long as a node's start."""
    from copilot_socket.handlers.posting import post  # noqa: PLC0415 - see above

    return post


def _tell(result: Any, waiting: "Deferred[None]") -> Any:
    waiting.callback(None)
    return result
