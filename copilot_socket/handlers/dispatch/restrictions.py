"""Pauses, limits and budgets: a node's copy of what is in force, and the gate before jobs are sent."""

from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from copilot_socket.core.caps import Caps
from copilot_socket.core.origins import origin
from copilot_socket.core.pauses import Pauses, Scope, Work
from copilot_socket.core.reports import job_of
from copilot_socket.core.retry import DATABASE_RETRY
from copilot_socket.core.scheduling import Scheduler
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.handlers.dispatch.closed import Closed
from copilot_socket.handlers.retrying import until_done
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.turns import Claimed
from copilot_socket.store.writer import Writer

PAUSE, BUDGET = "pause", "budget"
"""The reasons for which accounts and hosts are closed."""
MARGIN = 0.01
"""Seconds added to the end of a pause or budget, so that it is past by the database's clock, too."""
SOONEST, LATEST = 0.05, 3600.0
"""Seconds until what is in force is read again because of the time."""
SLICES = 50
"""Slices of jobs that one round marks or unmarks, at most: some seconds."""


class Restrictions:
    """Keeps *scheduler* and *closed* as the stored pauses, limits and budgets say.

    A node acts on a pause once it is read here: jobs that were claimed before are returned by delivery, which asks
    :meth:`holds_back` of each. :meth:`look` then stores that this node does.
    """

    log = Logger()

    def __init__(
        self,
        store: RestrictionStore,
        scheduler: Scheduler,
        closed: Closed,
        writer: Writer,
        reactor: IReactorTime,
        bus: EventBus,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._closed = closed
        self._writer = writer
        self._reactor = reactor
        self._bus = bus
        self._wake = wake
        self.pauses = Pauses()
        self.caps = Caps({})
        self._lease_until = self._sends_until = float("-inf")
        """In reactor seconds: when this node's lease ends, and until when it has acted on what others wait for."""
        self._one_at_a_time = DeferredLock()
        self._running = self._again = False
        self._timer: IDelayedCall | None = None
        self._stopped = False

    # -- the gate

    @property
    def may_send(self) -> bool:
        """Whether this node may send jobs. While its lease has ended, nobody waits for it to act on a pause."""
        return self._reactor.seconds() < self._sends_until

    def holds_back(self, job: Claimed) -> str | None:
        """Why *job* must not go out now; None if it may."""
        if not self.may_send:
            return "the lease of its node has ended"
        if not self.pauses and not self.caps:
            return None
        work = _work(job)
        pause = self.pauses.covering(work)
        if pause is not None:
            self._closed.learn(job.account, work.host)
            return f"pause {pause.id}"
        if 0 in (self.caps.allowed(Scope.HOST, work.host), self.caps.allowed(Scope.ACCOUNT, job.account)):
            self._closed.learn(job.account, work.host)
            return "the budget of requests is closed"
        return None

    async def mark(self, jobs: Collection[Claimed]) -> None:
        """Mark those of *jobs* that the pause of a path covers, so that they are not claimed again."""
        marks = {}
        for job in jobs:
            pause = self.pauses.covering(_work(job))
            if pause is not None and pause.scope is Scope.PATH_PREFIX:
                marks[job_of(job.assignment)] = pause.id
        if marks:
            await self._store.mark_these(marks)

    # -- what is in force

    def changed(self, _payload: str = "") -> None:
        """Read what is in force; also the handler of notifications."""
        self._again = True
        if not self._running and not self._stopped:
            self._running = True
            d = Deferred.fromCoroutine(self._look_until_current())
            d.addErrback(lambda failure: self.log.failure("Reading pauses and limits failed", failure))

    def renewed(self, until: float) -> None:
        """This node's lease lasts *until*, in reactor seconds. Had it ended, all is read before jobs are sent."""
        self._lease_until = until
        if self.may_send:
            self._sends_until = until
        else:
            self.changed()

    async def start(self) -> None:
        """Read what is in force, however long the database is away. To be done before the first claim."""
        await until_done("Reading pauses and limits", self.look, self._reactor, lambda: self._stopped)

    async def look(self) -> None:
        """Read what is in force, act on it, and store that this node does."""
        await self._one_at_a_time.acquire()
        try:
            until = self._lease_until
            for ended in await self._store.expire():
                self._bus.publish(PauseChanged(ended.id, "expired", str(ended.scope), ended.target))
            found = await self._store.read()
            self.pauses, self.caps = found.pauses, found.caps
            self._scheduler.close(found.pauses.commands)
            for reason, accounts, hosts in (
                (PAUSE, found.pauses.targets(Scope.ACCOUNT), found.pauses.targets(Scope.HOST)),
                (BUDGET, frozenset(found.caps.closed(Scope.ACCOUNT)), frozenset(found.caps.closed(Scope.HOST))),
            ):
                await self._closed.close(reason, hosts, accounts)
            self._sends_until = max(until, self._sends_until)
            self._wake()
            await self._writer.round_over()  # claims under way may not have counted for a new limit
            await self._store.seen(found.revision)
            self._look_in(found.changes_in)
        finally:
            self._one_at_a_time.release()

    async def mark_slices(self) -> None:
        """Mark and unmark jobs under paths, a few slices at a time; to be called every second."""
        for work in (self._store.mark, self._store.unmark):
            for _ in range(SLICES):
                if self._stopped or not await work():
                    break

    def stop(self) -> None:
        """Set no more timers."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def _look_until_current(self) -> None:
        try:
            while self._again and not self._stopped:
                self._again = False
                await self.look()
        except DATABASE_ERRORS as error:
            self.log.debug("Reading pauses and limits failed; it is retried: {error}", error=error)
            self._look_in(DATABASE_RETRY)
        finally:
            self._running = False

    def _look_in(self, seconds: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if seconds is not None and not self._stopped:
            self._timer = self._reactor.callLater(max(SOONEST, min(seconds + MARGIN, LATEST)), self.changed)


def _work(job: Claimed) -> Work:
    return Work(job.account, origin(job.gitlab_url) or job.gitlab_url, job.command, job.full_path)
