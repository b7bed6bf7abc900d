"""Pauses, limits and budgets: what is read of them, and that nothing goes out which they keep back."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from copilot_socket.core.caps import Caps
from copilot_socket.core.origins import origin
from copilot_socket.core.pauses import Pauses, Scope, Work
from copilot_socket.core.reports import job_of
from copilot_socket.core.retry import DATABASE_RETRY
from copilot_socket.core.scheduling import Scheduler
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.handlers.dispatch.closed_hosts import ClosedHosts
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


class Restrictions:
    """Keeps *scheduler* and *closed* as the stored pauses, limits and budgets say.

    A node acts on a pause once it is read here: jobs that were claimed before are given back by delivery, which asks
    :meth:`keeps_back` of each. :meth:`look` then tells the other nodes so.
    """

    log = Logger()

    def __init__(
        self,
        store: RestrictionStore,
        scheduler: Scheduler,
        closed: ClosedHosts,
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
        self._parked: set[tuple[str, str]] = set()
        """Accounts that are parked here, each with the reason."""
        self._looking: Deferred[None] | None = None
        self._again = False
        self._timer: IDelayedCall | None = None
        self._stopped = False

    # -- what dispatch asks

    def keeps_back(self, job: Claimed) -> str | None:
        """Why *job* must not go out now; None if it may."""
        if not self.pauses and not self.caps:
            return None
        host = origin(job.gitlab_url) or job.gitlab_url
        pause = self.pauses.covering(Work(job.account, host, job.command, job.full_path))
        if pause is not None:
            if pause.scope is Scope.HOST:
                self._closed.learn(job.account, host)
            return f"pause {pause.id}"
        host_closed = self.caps.allowed(Scope.HOST, host) == 0
        if host_closed:
            self._closed.learn(job.account, host)
        if host_closed or self.caps.allowed(Scope.ACCOUNT, job.account) == 0:
            return "the budget of requests is used up"
        return None

    async def mark(self, jobs: Sequence[Claimed]) -> None:
        """Mark those of *jobs* that the pause of a path covers, so that they are not claimed again."""
        marks = {}
        for job in jobs:
            host = origin(job.gitlab_url) or job.gitlab_url
            pause = self.pauses.covering(Work(job.account, host, job.command, job.full_path))
            if pause is not None and pause.scope is Scope.PATH_PREFIX:
                marks[job_of(job.assignment)] = pause.id
        if marks:
            await self._store.mark_these(marks)

    # -- what is in force

    def changed(self, _payload: str = "") -> None:
        """Read what is in force; also the handler of notifications."""
        self._again = True
        if self._looking is None and not self._stopped:
            self._looking = Deferred.fromCoroutine(self._look_until_current())
            self._looking.addErrback(lambda failure: self.log.failure("Reading pauses and limits failed", failure))

    async def start(self) -> None:
        """Read what is in force, however long the database is away. To be done before the first claim."""
        await until_done("Reading pauses and limits", self.look, self._reactor, lambda: self._stopped)

    async def look(self) -> None:
        """Read what is in force, act on it, and store that this node does."""
        for ended in await self._store.expire():
            self._bus.publish(PauseChanged(ended.id, "expired", str(ended.scope), ended.target))
        found = await self._store.read()
        self.pauses, self.caps = found.pauses, found.caps
        self._scheduler.close(found.pauses.commands)
        self._park()
        for reason, origins in (
            (PAUSE, found.pauses.targets(Scope.HOST)),
            (BUDGET, frozenset(found.caps.closed(Scope.HOST))),
        ):
            await self._closed.close(reason, origins)
        self._wake()
        await self._writer.round_over()  # claims under way may not have counted for a new limit
        await self._store.seen(found.revision)
        self._look_in(found.changes_in)

    async def mark_slices(self) -> None:
        """Mark and unmark jobs under paths, a slice at a time; to be called every second."""
        while not self._stopped and await self._store.mark():
            pass
        while not self._stopped and await self._store.unmark():
            pass

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
            self._looking = None

    def _look_in(self, seconds: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if seconds is not None and not self._stopped:
            self._timer = self._reactor.callLater(max(SOONEST, min(seconds + MARGIN, LATEST)), self.changed)

    def _park(self) -> None:
        wanted = {(account, PAUSE) for account in self.pauses.targets(Scope.ACCOUNT)}
        wanted |= {(account, BUDGET) for account in self.caps.closed(Scope.ACCOUNT)}
        for account, reason in wanted - self._parked:
            self._scheduler.park(account, reason)
        for account, reason in self._parked - wanted:
            self._scheduler.unpark(account, reason)
        self._parked = wanted
