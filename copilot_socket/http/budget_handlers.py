"""Budgets of requests over HTTP (docs/http.md, "Pauses, limits, budgets")."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.core.budgets import LONGEST, MOST, BudgetReport
from copilot_socket.event_bus import BudgetChanged, EventBus
from copilot_socket.http import bodies, queries
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.fields import Field, gitlab_origin, integer, text, timestamp
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.restriction_handlers import NO_ACCOUNT, origin_in
from copilot_socket.store.budgets import BudgetKey, BudgetStore
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.restrictions import RestrictionStore

BUDGET: Mapping[str, Field] = {
    "gitlab_origin": Field(gitlab_origin, required=True),
    "account_id": Field(text(255)),
    "name": Field(text(1020)),
    "limit": Field(integer(1, MOST)),
    "remaining": Field(integer(0, MOST), required=True),
    "reset_at": Field(timestamp),
}


@attrs.frozen
class BudgetHandlers:
    """Handles requests to ``/api/v1/budgets``. *time_of_day*: seconds since 1970."""

    budgets: BudgetStore
    restrictions: RestrictionStore
    catalog: Catalog
    bus: EventBus
    time_of_day: Callable[[], float]

    async def list_budgets(self, call: Call) -> Reply:
        """What is known of GitLab's budgets, and how many jobs they allow."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.budgets(page)
        return reply({"budgets": listing.rows, "next": listing.next})

    async def show_budget(self, call: Call) -> Reply:
        """One budget: that of a host, or the one that the query names."""
        values = queries.read(call, {name: BUDGET[name].check for name in ("account_id", "name")})
        key = BudgetKey(origin_in(call), values.get("account_id", ""), values.get("name", ""))
        budget = await self.catalog.budget(*attrs.astuple(key))
        if budget is None:
            raise _no_budget()
        return reply(budget)

    async def put_budget(self, call: Call) -> Reply:
        """Set what is left of a budget; replaces what was known of it."""
        queries.read(call, {})
        values = await bodies.read_object(call, BUDGET)
        key = await self._budget(values["gitlab_origin"], values)
        if values.get("limit", MOST) < values["remaining"]:
            raise invalid("/remaining", "must be at most limit")
        now = self.time_of_day()
        reset_at = values.get("reset_at")
        at = None if reset_at is None else datetime.fromisoformat(reset_at).timestamp()
        if at is not None and not now < at <= now + LONGEST:
            raise invalid("/reset_at", f"must lie in the future, and at most {LONGEST / 60:g} minutes ahead")
        report = BudgetReport(now, values["remaining"], values.get("limit"), at)
        for event in await self.budgets.report({key: [report]}, now, call.act("budget.put"), precondition(call)):
            self.bus.publish(event)
        budget = await self.catalog.budget(*attrs.astuple(key))
        if budget is None:
            raise Problem(409, "Budget was forgotten meanwhile, by another request")
        return changed(budget)

    async def forget_budget(self, call: Call) -> Reply:
        """Forget a budget: it holds nothing back until something is reported again."""
        values = queries.read(call, {name: BUDGET[name].check for name in ("gitlab_origin", "account_id", "name")})
        if "gitlab_origin" not in values:
            raise invalid("?gitlab_origin", "is required: the URL of a GitLab")
        await bodies.no_body(call)
        key = BudgetKey(values["gitlab_origin"], values.get("account_id", ""), values.get("name", ""))
        if not await self.budgets.forget(key, call.act("budget.forget")):
            raise _no_budget()
        account, name = key.account or None, key.name or None
        self.bus.publish(BudgetChanged(key.origin, account, name, "open"))
        return reply({"gitlab_origin": key.origin, "account_id": account, "name": name})

    async def _budget(self, host: str, values: Mapping[str, Any]) -> BudgetKey:
        account = values.get("account_id", "")
        if account:
            owner = await self.budgets.of_account(account)
            if owner is None:
                raise invalid("/account_id", "no such account")
            if owner[1] != host:
                raise invalid("/gitlab_origin", f"must be {owner[1]}, where the account is")
        elif not await self.restrictions.host_known(host):
            raise invalid("/gitlab_origin", NO_ACCOUNT)
        return BudgetKey(host, account, values.get("name", ""))


def _no_budget() -> Problem:
    return Problem(404, "No such budget: nothing is known of it")
