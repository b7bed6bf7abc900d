"""Budgets of requests, as crawlers report them and failures show them (docs/protocol.md, "Budgets")."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.budgets import Said
from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message, RateLimit
from copilot_socket.core.origins import origin
from copilot_socket.core.reports import job_of
from copilot_socket.event_bus import EventBus, JobChanged, JobsReported, RateLimited
from copilot_socket.handlers.dispatch.schedule import ignore_outage
from copilot_socket.store.budgets import BudgetKey, BudgetStore

EACH = 1.0
"""Seconds between two writes of one budget."""
MOST = 10_000
"""Budgets, and jobs whose accounts are known, that are remembered."""
MOST_SAID = 100
"""Reports of one budget, between two writes, that are kept: the latest."""
OF_AN_ADDRESS = "throttle_unauthenticated"
"""What the names of those throttles begin with that GitLab counts by address: they are the host's."""


@attrs.define
class _Heard:
    """What was said of one budget since it was stored, at ``stored_at`` in reactor seconds.

    ``waiting`` are called back when it is stored.
    """

    stored_at: float = float("-inf")
    said: deque[Said] = attrs.field(factory=lambda: deque(maxlen=MOST_SAID))
    waiting: list[Deferred[None]] = attrs.field(factory=list)


class Budgets:
    """Collects what is said of budgets, and stores each once a second at most. *time_of_day*: seconds since 1970."""

    log = Logger()

    def __init__(
        self, store: BudgetStore, reactor: IReactorTime, bus: EventBus, time_of_day: Callable[[], float]
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._bus = bus
        self._time_of_day = time_of_day
        self._heard: OrderedDict[BudgetKey, _Heard] = OrderedDict()
        self._owners: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """Job → its account, and the origin of that."""
        self._ended: Counter[str] = Counter()
        """Account → attempts that have ended since its budget was last stored; of accounts with one."""
        self._soon = False

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """What GitLab has answered to failed jobs, and ends of attempts."""
        return {RateLimited: self._rate_limited, JobChanged: self._job_changed, JobsReported: self._reported}

    async def hear(self, message: Message, data: RateLimit) -> None:
        """A ``rate_limit`` message. Returns once it is stored; at once, if its budget was stored within a second.

        Raises :class:`ProtocolError` for an account that does not exist, or another host than its own.
        """
        account, host = await self._owner(message, data)
        name = data.name or ""
        key = BudgetKey(host, "" if name.startswith(OF_AN_ADDRESS) else account, name)
        retry_after = data.retry_after / 1000 if data.retry_after else None
        said = Said(self._time_of_day(), data.remaining, data.limit, _epoch(data.reset_at), retry_after)
        stored = self._say(key, said)
        if stored is not None:
            await stored

    async def store(self) -> None:
        """Store what was said of budgets that were not stored within a second; to be called once a second, too."""
        self._soon = False
        now = self._reactor.seconds()
        due = {key: heard for key, heard in self._heard.items() if heard.said and heard.stored_at + EACH <= now}
        if not due:
            return
        taken = {}
        for key, heard in due.items():
            taken[key] = [attrs.evolve(each, jobs=0) for each in heard.said]
            taken[key][-1] = attrs.evolve(taken[key][-1], jobs=self._ended[key.account])
            heard.said.clear()
            heard.stored_at = now
        for account in {key.account for key in due}:
            self._ended[account] = 0
        try:
            events = await self._store.hear(taken, self._time_of_day())
        except BaseException:
            for key, said in taken.items():
                due[key].said.extendleft(reversed(said))
            raise
        for event in events:
            self._bus.publish(event)
        for heard in due.values():
            waiting, heard.waiting = heard.waiting, []
            for each in waiting:
                each.callback(None)

    def _say(self, key: BudgetKey, said: Said) -> "Deferred[None] | None":
        """Have *said* stored; fires when it is. None: it is with the next write."""
        heard = self._heard.setdefault(key, _Heard())
        self._heard.move_to_end(key)
        while len(self._heard) > MOST and not next(iter(self._heard.values())).said:
            self._heard.popitem(last=False)
        heard.said.append(said)
        self._ended.setdefault(key.account, 0)
        if heard.stored_at + EACH > self._reactor.seconds():
            return None
        stored: Deferred[None] = Deferred()
        heard.waiting.append(stored)
        if not self._soon:
            self._soon = True
            self._reactor.callLater(0, self._start_storing)
        return stored

    def _start_storing(self) -> None:
        d = Deferred.fromCoroutine(self.store())
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Storing budgets failed", failure))

    async def _owner(self, message: Message, data: RateLimit) -> tuple[str, str]:
        """The account and its origin. Raises :class:`ProtocolError`."""
        if message.job_id is None:
            if data.account_id is None:
                raise _invalid(message, "/jobId", "jobId or accountId is required")
            owner = await self._store.of_account(data.account_id)
            if owner is None:
                raise _invalid(message, "/data/accountId", "no such account")
        else:
            job = job_of(message.job_id)
            owner = self._owners.get(job) or await self._store.of_job(job)
            if owner is None:
                raise ProtocolError(
                    ErrorCode.UNKNOWN_JOB,
                    "No assignment has ever had this id",
                    path="/jobId",
                    ref=message.ref,
                    job_id=message.job_id,
                )
            self._owners[job] = owner
            while len(self._owners) > MOST:
                self._owners.popitem(last=False)
            if data.account_id not in (None, owner[0]):
                raise _invalid(message, "/data/accountId", "is not the account of this job")
        if data.gitlab_url is not None and origin(data.gitlab_url) != owner[1]:
            raise _invalid(message, "/data/gitlabUrl", f"must be a URL of {owner[1]}, where the account is")
        return owner

    def _rate_limited(self, limited: RateLimited) -> None:
        key = BudgetKey(limited.origin, "" if limited.blocked else limited.account)
        stored = self._say(key, Said(self._time_of_day(), retry_after=limited.retry_after))
        if stored is not None:
            stored.addErrback(lambda failure: self.log.failure("Storing a budget failed", failure))

    def _job_changed(self, changed: JobChanged) -> None:
        if changed.outcome is not None and changed.account is not None and changed.account in self._ended:
            self._ended[changed.account] += 1

    def _reported(self, reported: JobsReported) -> None:
        if reported.outcome is not None and self._ended:
            for _assignment, _crawler, account in reported.attempts:
                if account in self._ended:
                    self._ended[account] += 1


def _epoch(time: str | None) -> float | None:
    """Seconds since 1970 of an ISO 8601 time; None for what is none, which is as good as not said."""
    try:
        moment = datetime.fromisoformat(time or "")
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _invalid(message: Message, path: str, text: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INVALID_MESSAGE, text, path=path, ref=message.ref, job_id=message.job_id)
