"""Budgets: how many requests a GitLab still allows, and how many jobs may run on them (docs/protocol.md, "Budgets").

A budget counts requests while claims hand out jobs. So with little of it left no job starts until it is reset, and
with less than half of it no more at a time than it can pay for, by what a job has cost of late. Reports may be late,
missing or nonsense: they are clamped, and a budget is forgotten when its time is over.
"""

import attrs
from attrs import evolve

CLOSED_BELOW, THROTTLED_BELOW = 0.1, 0.5
"""Shares of a budget: with less left, no job starts; with less left, so many jobs run as it can pay for."""
LONGEST = 3600.0
"""Seconds ahead that a reset is believed in."""
UNKNOWN = 60.0
"""Seconds until the reset, where that is not known."""
FIRST_COST = 10.0
"""Requests that a job is taken to cost before any has been counted."""
MEMORY = 0.7
"""What the average cost of a job keeps of its former value with each measurement."""
SAME_WINDOW = 2.0
"""Seconds by which two times of one reset may differ."""
MOST = 1_000_000_000
"""The largest number of requests."""


@attrs.frozen
class BudgetReport:
    """What GitLab has said, at ``at`` (seconds since the epoch): requests ``remaining`` of ``limit``.

    ``reset_at`` in seconds since the epoch; ``retry_after``: seconds for which to send no requests. None: not report.
    ``jobs``: jobs that have ended since the last time.
    """

    at: float
    remaining: int | None = None
    limit: int | None = None
    reset_at: float | None = None
    retry_after: float | None = None
    jobs: int = 0

    def later(self, seconds: float) -> "BudgetReport":
        """The same by a clock that is *seconds* ahead."""
        return evolve(self, at=self.at + seconds, reset_at=None if self.reset_at is None else self.reset_at + seconds)


@attrs.frozen
class Budget:
    """What is known of a budget. Times in seconds since the epoch.

    ``reset_at``: when all of it is forgotten; ``closed_until``: until when GitLab has asked to send no requests;
    ``cost``: requests a job, None before any was counted; ``spent``: requests since the last job was counted.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at: float = 0.0
    closed_until: float = 0.0
    cost: float | None = None
    spent: int = 0

    def after(self, report: BudgetReport) -> "Budget":
        """The budget after *report*; a later window replaces an earlier one, never the other way around."""
        budget = self._counted(report)
        if report.retry_after is not None:
            until = report.at + _clamped(report.retry_after)
            budget = evolve(budget, closed_until=max(budget.closed_until, until))
        if report.remaining is None:
            if report.retry_after is None:
                budget = evolve(budget, closed_until=max(budget.closed_until, report.at + UNKNOWN))
            return budget
        remaining = min(report.remaining, MOST)
        limit = max(_limit(report) or budget.limit or 0, remaining) or None
        reset_at = _reset(report)
        if budget.remaining is not None and report.at < budget.reset_at:  # a window that is not over
            if reset_at is not None and reset_at < budget.reset_at - SAME_WINDOW:
                return budget  # of an earlier one
            if reset_at is None or reset_at <= budget.reset_at + SAME_WINDOW:
                return evolve(budget, limit=limit, remaining=min(remaining, budget.remaining))
        return evolve(budget, limit=limit, remaining=remaining, reset_at=reset_at or report.at + UNKNOWN)

    def _counted(self, report: BudgetReport) -> "Budget":
        """With the cost of a job measured anew, if *report* is of the same window as the one before."""
        spent = self.spent
        same = report.reset_at is None or abs(report.reset_at - self.reset_at) <= SAME_WINDOW
        if report.remaining is not None and self.remaining is not None and same and report.at < self.reset_at:
            spent = min(spent + max(0, self.remaining - report.remaining), MOST)
        if not report.jobs or not spent:
            return evolve(self, spent=spent)
        measured = spent / report.jobs
        cost = measured if self.cost is None else MEMORY * self.cost + (1 - MEMORY) * measured
        return evolve(self, cost=min(cost, float(MOST)), spent=0)

    def allows(self, now: float) -> int | None:
        """How many jobs may run at a time: 0 while it is closed, None for any number."""
        return 0 if now < self.closed_until else self.pays_for(now)

    def pays_for(self, now: float) -> int | None:
        """How many jobs what is left pays for until the reset; None for any number."""
        if self.remaining is None or now >= self.reset_at:
            return None
        share = self.remaining / self.limit if self.limit else 0.0
        if share < CLOSED_BELOW:
            return 0
        if share < THROTTLED_BELOW:
            return max(1, min(int(self.remaining / max(self.cost or FIRST_COST, 1.0)), MOST))
        return None

    def until(self, now: float) -> float | None:
        """Until when :meth:`allows` stays as it is, without further reports; None: for ever."""
        allowed = self.allows(now)
        times = sorted(time for time in (self.closed_until, self.reset_at) if time > now)
        return next((time for time in times if self.allows(time) != allowed), None)


def _reset(report: BudgetReport) -> float | None:
    """When the window of *report* ends, at most an hour ahead; None where that is not said, or has passed."""
    if report.reset_at is None or report.reset_at <= report.at:
        return None
    return report.at + _clamped(report.reset_at - report.at)


def _limit(report: BudgetReport) -> int | None:
    """The limit, as far as it makes sense: GitLab calls a throttle that is off 0."""
    return min(report.limit, MOST) if report.limit else None


def _clamped(seconds: float) -> float:
    return min(max(seconds, 1.0), LONGEST)
