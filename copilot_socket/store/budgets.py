"""The table of budgets: what GitLab has said of its requests, and what that allows."""

from collections.abc import Mapping, Sequence

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.core.budgets import Budget, BudgetReport
from copilot_socket.core.preconditions import Precondition
from copilot_socket.event_bus import BudgetChanged
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.single import ONE_BUDGET
from copilot_socket.store.sql import sql


@attrs.frozen(order=True)
class BudgetKey:
    """Whose budget: the host's where ``account`` is empty. ``name``: GitLab's for the throttle, empty: unknown."""

    origin: str
    account: str = ""
    name: str = ""


class BudgetStore:
    """Reads and writes over the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, job_id: str) -> tuple[str, str] | None:
        """The account of a job and its origin."""
        rows = await self._database.query(sql("budget_of_job"), {"job": job_id})
        return (rows[0][0], rows[0][1]) if rows else None

    async def of_account(self, account: str) -> tuple[str, str] | None:
        """An account and its origin."""
        rows = await self._database.query(sql("budget_of_account"), {"account": account})
        return (rows[0][0], rows[0][1]) if rows else None

    async def report(
        self,
        reports: Mapping[BudgetKey, Sequence[BudgetReport]],
        now: float,
        act: Act | None = None,
        precondition: Precondition | None = None,
    ) -> list[BudgetChanged]:
        """Add *reports*; return the state events to publish. An operator's, by *act*, replace what was known.

        Its times are by the clock whose time is *now*; they are stored by the database's. Raises
        :class:`.PreconditionFailed`.
        """

        async def work(tx: Transaction) -> list[BudgetChanged]:
            if precondition is not None:
                for key in sorted(reports):
                    await ONE_BUDGET.require(tx, precondition, attrs.asdict(key), creates=True)
            return await _report(tx, reports, now, act)

        return await self._database.transaction(work)

    async def forget(self, key: BudgetKey, act: Act) -> bool:
        """Forget a budget, by *act*; False if nothing is known of it."""

        async def work(tx: Transaction) -> bool:
            known = bool(await tx.query(sql("forget_budget"), attrs.asdict(key)))
            await record(tx, _on(act, key) if known else None)
            return known

        return await self._database.transaction(work)


def _on(act: Act, key: BudgetKey) -> Act:
    return act.on(key.origin, {name: of for name, of in (("account", key.account), ("name", key.name)) if of})


async def _report(
    tx: Transaction, reports: Mapping[BudgetKey, Sequence[BudgetReport]], node_now: float, act: Act | None
) -> list[BudgetChanged]:
    keys = sorted(reports)
    columns = {
        "origin": [key.origin for key in keys],
        "account": [key.account for key in keys],
        "name": [key.name for key in keys],
    }
    rows = {BudgetKey(*row[:3]): row[3:] for row in await tx.query(sql("lock_budgets"), columns)}
    now = next(iter(rows.values()))[-1]
    events = []
    budgets = []
    for key in keys:
        *stored, allowed, _now = rows[key]
        budget = Budget() if act is not None else Budget(*stored)
        for each in reports[key]:
            budget = budget.after(each.later(now - node_now))
        after = _state(budget.allows(now))
        if _state(allowed) != after:
            of = key.origin, key.account or None, key.name or None
            events.append(BudgetChanged(*of, after, budget.allows(now), budget.until(now)))
        budgets.append(budget)
    await tx.query(
        sql("store_budgets"),
        {
            **columns,
            "limit": [budget.limit for budget in budgets],
            "remaining": [budget.remaining for budget in budgets],
            "reset_at": [budget.reset_at for budget in budgets],
            "closed_until": [budget.closed_until for budget in budgets],
            "cost": [budget.cost for budget in budgets],
            "spent": [budget.spent for budget in budgets],
            "allowed": [budget.pays_for(now) for budget in budgets],
            "source": ["operator" if act is not None else _source(reports[key]) for key in keys],
            "changed": bool(events),
        },
    )
    if act is not None:
        done = [
            _on(act, key).on(key.origin, {"remaining": budget.remaining, "limit": budget.limit})
            for key, budget in zip(keys, budgets, strict=True)
        ]
        await record(tx, *done)
    return events


def _source(reports: Sequence[BudgetReport]) -> str:
    return "crawler" if any(each.remaining is not None for each in reports) else "failure"


def _state(allowed: int | None) -> str:
    return "open" if allowed is None else "throttled" if allowed else "closed"
