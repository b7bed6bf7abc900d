"""Budgets of requests over HTTP (docs/http.md, "Pauses, limits, budgets")."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import attrs

from copilot_socket.core.budgets import LONGEST, MOST, BudgetReport
from copilot_socket.core.describing import doc
from copilot_socket.event_bus import BudgetChanged, EventBus
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import integer, origin_url, short_name, text, timestamp
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.queries import Listed
from copilot_socket.http.restriction_handlers import NO_ACCOUNT, origin_in
from copilot_socket.store.budgets import BudgetKey, BudgetStore
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.shown.restrictions import Budget


@attrs.frozen(kw_only=True)
class BudgetBody:
    """What is left of a budget, as GitLab would say it."""

    gitlab_origin: Annotated[str, origin_url, doc("The URL of the GitLab, where some account is.")]
    account_id: Annotated[str | None, text(255), doc("Whose it is; without it that of the whole host.")] = None
    name: Annotated[str | None, short_name, doc("GitLab's name for the throttle; without it an unknown one.")] = None
    limit: Annotated[int | None, integer(1, MOST), doc("Requests in all.")] = None
    remaining: Annotated[int, integer(0, MOST), doc("Requests that are left; at most `limit`.")]
    reset_at: Annotated[
        str | None, timestamp, doc(f"When it is full again: in the future, at most {LONGEST / 60:g} minutes ahead.")
    ] = None


@attrs.frozen(kw_only=True)
class BudgetName:
    """Which of a host's budgets."""

    account_id: Annotated[str | None, text(255), doc("Whose it is; without it that of the whole host.")] = None
    name: Annotated[str | None, short_name, doc("GitLab's name for the throttle; without it the unknown one.")] = None


@attrs.frozen(kw_only=True)
class BudgetQuery(BudgetName):
    """Which budget."""

    gitlab_origin: Annotated[str, origin_url, doc("The URL of the GitLab.")]


@attrs.frozen(kw_only=True)
class ForgottenBudget:
    """A budget that was forgotten."""

    gitlab_origin: Annotated[str, doc("The origin of the GitLab.")]
    account_id: Annotated[str | None, doc("Whose it was; null: that of the whole host.")]
    name: Annotated[str | None, doc("GitLab's name for the throttle; null: unknown.")]


BudgetList = list_of("budgets", Budget)


@attrs.frozen
class BudgetHandlers:
    """Handles requests to ``/api/v1/budgets``. *time_of_day*: seconds since 1970."""

    budgets: BudgetStore
    restrictions: RestrictionStore
    catalog: Catalog
    bus: EventBus
    time_of_day: Callable[[], float]

    @endpoint({200: BudgetList})
    async def list_budgets(self, _call: Call, query: Listed) -> Reply:
        """What is known of GitLab's budgets, and how many jobs they allow."""
        listing = await self.catalog.budgets(query.page)
        return page("budgets", listing)

    @endpoint({200: Budget})
    async def show_budget(self, call: Call, query: BudgetName) -> Reply:
        """One budget: that of a host, or the one that the query names."""
        key = BudgetKey(origin_in(call), query.account_id or "", query.name or "")
        budget = await self.catalog.budget(*attrs.astuple(key))
        if budget is None:
            raise _no_budget()
        return reply(budget)

    @endpoint({200: Budget}, problems=(409, 412))
    async def put_budget(self, call: Call, body: BudgetBody) -> Reply:
        """Set what is left of a budget; replaces what was known of it."""
        key = await self._budget(body)
        if body.limit is not None and body.limit < body.remaining:
            raise invalid("/remaining", "must be at most limit")
        now = self.time_of_day()
        at = None if body.reset_at is None else datetime.fromisoformat(body.reset_at).timestamp()
        if at is not None and not now < at <= now + LONGEST:
            raise invalid("/reset_at", f"must lie in the future, and at most {LONGEST / 60:g} minutes ahead")
        report = BudgetReport(now, body.remaining, body.limit, at)
        for event in await self.budgets.report({key: [report]}, now, call.act("budget.put"), precondition(call)):
            self.bus.publish(event)
        budget = await self.catalog.budget(*attrs.astuple(key))
        if budget is None:
            raise Problem(409, "Budget was forgotten meanwhile, by another request")
        return changed(budget)

    @endpoint({200: ForgottenBudget}, problems=(404,))
    async def forget_budget(self, call: Call, query: BudgetQuery) -> Reply:
        """Forget a budget: it holds nothing back until something is reported again."""
        key = BudgetKey(query.gitlab_origin, query.account_id or "", query.name or "")
        if not await self.budgets.forget(key, call.act("budget.forget")):
            raise _no_budget()
        self.bus.publish(BudgetChanged(key.origin, query.account_id, query.name, "open"))
        return reply({"gitlab_origin": key.origin, "account_id": query.account_id, "name": query.name})

    async def _budget(self, body: BudgetBody) -> BudgetKey:
        if body.account_id is not None:
            owner = await self.budgets.of_account(body.account_id)
            if owner is None:
                raise invalid("/account_id", "no such account")
            if owner[1] != body.gitlab_origin:
                raise invalid("/gitlab_origin", f"must be {owner[1]}, where the account is")
        elif not await self.restrictions.host_known(body.gitlab_origin):
            raise invalid("/gitlab_origin", NO_ACCOUNT)
        return BudgetKey(body.gitlab_origin, body.account_id or "", body.name or "")


def _no_budget() -> Problem:
    return Problem(404, "No such budget: nothing is known of it")
