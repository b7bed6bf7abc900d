"""Budgets of requests, as crawlers report them and failures show them (docs/protocol.md, "Budgets")."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.budgets import BudgetReport
from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message, RateLimit
from copilot_socket.core.origins import origin
from copilot_socket.core.reports import job_of
from copilot_socket.event_bus import EventBus, JobChanged, JobsReported, RateLimited
from copilot_socket.handlers.dispatch.schedule import ignore_outage
from copilot_socket.handlers.retrying import until_done
from copilot_socket.store.budgets import BudgetKey, BudgetStore
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, remedy

EACH = 1.0
"""Seconds between two writes of one budget."""
MOST = 10_000
"""Budgets, and jobs whose accounts are known, that are remembered."""
MOST_NAMES = 20
"""Throttles of an account, or of a host, that are told apart; further ones count as one without a name."""
MOST_REPORTS = 100
"""Reports of one budget, between two writes, that are kept: the latest."""
OF_AN_ADDRESS = "throttle_unauthenticated"
"""What the names of those throttles begin with that GitLab counts by address: they are the host's."""


@attrs.define
class _Pending:
    """The reports of one budget since it was stored, at ``stored_at`` in reactor seconds.

    ``waiting`` are called back when they are stored; ``ended``: the attempts that have ended meanwhile.
    """

    stored_at: float = float("-inf")
    reports: list[BudgetReport] = attrs.field(factory=list)
    waiting: list[Deferred[None]] = attrs.field(factory=list)
    ended: int = 0


class Budgets:
    """Collects reports of budgets, and stores each once a second at most. *time_of_day*: seconds since 1970."""

    log = Logger()

    def __init__(
        self, store: BudgetStore, reactor: IReactorTime, bus: EventBus, time_of_day: Callable[[], float]
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._bus = bus
        self._time_of_day = time_of_day
        self._pending: OrderedDict[BudgetKey, _Pending] = OrderedDict()
        self._of: dict[tuple[str, str], dict[str, _Pending]] = {}
        """Origin and account → the same by name."""
        self._owners: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """Job → its account, and the origin of that."""
        self._origins: dict[str, str] = {}
        """Account → origin, of accounts with budgets."""
        self._soon = False

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """What GitLab has answered to failed jobs, and ends of attempts."""
        return {RateLimited: self._rate_limited, JobChanged: self._job_changed, JobsReported: self._reported}

    async def report(self, message: Message, data: RateLimit) -> None:
        """A ``rate_limit`` message. Returns once it is stored; at once, if its budget was stored within a second.

        Raises :class:`ProtocolError` for an account that does not exist, another host than its own, or if PostgreSQL
        refuses it.
        """
        account, host = await self._owner(message, data)
        name = data.name or ""
        key = BudgetKey(host, "" if name.startswith(OF_AN_ADDRESS) else account, name)
        retry_after = data.retry_after / 1000 if data.retry_after else None
        self._origins[account] = host
        stored = self._add(
            key, BudgetReport(self._time_of_day(), data.remaining, data.limit, _epoch(data.reset_at), retry_after)
        )
        if stored is None:
            return
        try:
            await stored
        except DATABASE_ERRORS:
            text = "The database rejected this message; it was discarded"
            raise ProtocolError(ErrorCode.INTERNAL, text, ref=message.ref, job_id=message.job_id) from None

    async def store(self) -> None:
        """Store the reports of budgets that were not stored within a second; to be called once a second, too."""
        self._soon = False
        now = self._reactor.seconds()
        due = {key: each for key, each in self._pending.items() if each.reports and each.stored_at + EACH <= now}
        taken = {key: (each.reports, each.ended) for key, each in due.items()}
        waiting = [d for each in due.values() for d in each.waiting]
        for each in due.values():
            each.reports, each.ended, each.waiting, each.stored_at = [], 0, [], now
        if not due:
            return
        try:
            events = await self._store.report({key: _counted(*taken[key]) for key in due}, self._time_of_day())
        except DATABASE_ERRORS as error:
            refused = remedy(error) is Remedy.REFUSE
            for key, (reports, ended) in taken.items():
                each = due[key]
                each.ended += ended
                if not refused:
                    each.reports = (reports + each.reports)[-MOST_REPORTS:]
            if refused:
                for d in waiting:
                    d.errback(error)
            else:
                next(iter(due.values())).waiting += waiting
            raise
        for event in events:
            self._bus.publish(event)
        for d in waiting:
            d.callback(None)

    def _add(self, key: BudgetKey, report: BudgetReport) -> "Deferred[None] | None":
        """Have *report* stored; fires when it is. None: it is with the next write."""
        of = self._of.setdefault((key.origin, key.account), {})
        if key.name not in of and len(of) >= MOST_NAMES:
            key = attrs.evolve(key, name="")
        pending = of.setdefault(key.name, self._pending.get(key) or _Pending())
        self._pending[key] = pending
        self._pending.move_to_end(key)
        self._forget_oldest()
        pending.reports = [*pending.reports, report][-MOST_REPORTS:]
        if pending.stored_at + EACH > self._reactor.seconds():
            return None
        stored: Deferred[None] = Deferred()
        pending.waiting.append(stored)
        if not self._soon:
            self._soon = True
            self._reactor.callLater(0, self._start_storing)
        return stored

    def _forget_oldest(self) -> None:
        while len(self._pending) > MOST and not next(iter(self._pending.values())).reports:
            key, _ = self._pending.popitem(last=False)
            of = self._of[key.origin, key.account]
            del of[key.name]
            if not of:
                del self._of[key.origin, key.account]
                self._origins.pop(key.account, None)

    def _start_storing(self) -> None:
        d = Deferred.fromCoroutine(self.store())
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Storing budgets failed", failure))

    async def _owner(self, message: Message, data: RateLimit) -> tuple[str, str]:
        """The account and its origin. Raises :class:`ProtocolError`."""
        if message.job_id is None:
            if data.account_id is None:
                raise _invalid(message, "/jobId", "jobId or accountId is required")
            account = data.account_id
            owner = await self._found(lambda: self._store.of_account(account))
            if owner is None:
                raise _invalid(message, "/data/accountId", "no such account")
        else:
            job = job_of(message.job_id)
            owner = self._owners.get(job) or await self._found(lambda: self._store.of_job(job))
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

    async def _found(self, read: Callable[[], Awaitable[tuple[str, str] | None]]) -> tuple[str, str] | None:
        return await until_done("Reading the account of a budget", read, self._reactor, lambda: False)

    def _rate_limited(self, limited: RateLimited) -> None:
        key = BudgetKey(limited.origin, "" if limited.blocked else limited.account)
        self._origins[limited.account] = limited.origin
        stored = self._add(key, BudgetReport(self._time_of_day(), retry_after=limited.retry_after))
        if stored is not None:
            stored.addErrback(lambda failure: self.log.failure("Storing a budget failed", failure))

    def _job_changed(self, changed: JobChanged) -> None:
        if changed.outcome is not None and changed.account is not None:
            self._count(changed.account)

    def _reported(self, reported: JobsReported) -> None:
        if reported.outcome is not None and self._origins:
            for _assignment, _crawler, account in reported.attempts:
                self._count(account)

    def _count(self, account: str) -> None:
        """An attempt of *account* has ended."""
        origin = self._origins.get(account)
        if origin is not None:
            for owner in (account, ""):
                for pending in self._of.get((origin, owner), {}).values():
                    pending.ended += 1


def _counted(reports: Sequence[BudgetReport], ended: int) -> list[BudgetReport]:
    """*reports*, the last one with the number of attempts that have ended."""
    return [*reports[:-1], attrs.evolve(reports[-1], jobs=ended)]


def _epoch(time: str | None) -> float | None:
    """Seconds since 1970 of an ISO 8601 time; None for what is none, which is as good as not said."""
    try:
        moment = datetime.fromisoformat(time or "")
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _invalid(message: Message, path: str, text: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INVALID_MESSAGE, text, path=path, ref=message.ref, job_id=message.job_id)
