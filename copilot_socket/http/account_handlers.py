"""Accounts over HTTP (docs/http.md, "Accounts")."""

from collections.abc import Callable, Collection, Iterable
from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.pauses import Scope
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.http.account_names import account_in, no_account, refuse_foreign
from copilot_socket.http.answers import WaitingForNodes, list_of, page
from copilot_socket.http.bodies import AccountBody, CredentialBody
from copilot_socket.http.checks import integer, number, one_of, origin_url, some_of, text, timestamp
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.queries import PAGING, Listed, given, short
from copilot_socket.store import accounts as store
from copilot_socket.store.account_deletion import LiveJobs
from copilot_socket.store.account_lists import JOBS, LANES, AccountOrder
from copilot_socket.store.area_lists import DISCOVERY
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.counts import CREDENTIAL_STATES
from copilot_socket.store.listing import Record
from copilot_socket.store.rediscovery import rediscover
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.shown.accounts import Account
from copilot_socket.store.submission import Submission

MOST_HOURS = 8784

Including = Annotated[
    frozenset[str],
    some_of(JOBS, LANES),
    doc("What is else left out: jobs by state; by command, and what holds them."),
]


@attrs.frozen(kw_only=True)
class AccountQuery(Listed):
    """Which accounts."""

    search: Annotated[str | None, text(255), doc("Part of their id or URL, in any case.")] = None
    credential_status: Annotated[
        str | None, one_of(*CREDENTIAL_STATES), doc("Whether their credential works, as far as is known.")
    ] = None
    token_expires_before: Annotated[str | None, timestamp, doc("Their access token expires before.")] = None
    gitlab_origin: Annotated[str | None, origin_url, doc("The URL of their GitLab.")] = None
    order: Annotated[
        str, one_of(*AccountOrder), doc("Ascending; `token_expires_at` lists only those whose token expires.")
    ] = str(AccountOrder.ID)
    include: Including = frozenset()


@attrs.frozen(kw_only=True)
class OneAccountQuery:
    """How an account is shown."""

    include: Including = frozenset()


@attrs.frozen(kw_only=True)
class AccountChange:
    """A change of an account: what is left out stays as it is."""

    weight: Annotated[int | None, integer(1, 100), doc("How many jobs a turn of the account takes in dispatch.")] = (
        None
    )
    max_running: Annotated[
        int | UnsetType | None,
        integer(1, 100_000),
        doc("How many of its jobs may run at a time; null: any number."),
    ] = UNSET


@attrs.frozen(kw_only=True)
class ChangedAccount(Account):
    """An account after a change."""

    waiting_for_nodes: WaitingForNodes | UnsetType = UNSET


@attrs.frozen(kw_only=True)
class DeletedAccount:
    """An account that is deleted, or is to be: repeat the request until it is."""

    id: Annotated[str, doc("Its id.")]
    deleted: Annotated[bool, doc("Whether it is gone; else some of what belongs to it is left.")]
    jobs_deleted: Annotated[int, doc("How many of its jobs this request has deleted.")]
    jobs_left: Annotated[int, doc("How many of its jobs are left.")]


@attrs.frozen(kw_only=True)
class RediscoveryBody:
    """When to discover the areas of an account again."""

    unless_within_hours: Annotated[
        float | None, number(0, MOST_HOURS), doc("Not if that was completed within so many hours.")
    ] = None


@attrs.frozen(kw_only=True)
class AreaDiscovery:
    """The job that discovers the areas of an account."""

    id: Annotated[str, doc("Its id.")]
    created: Annotated[bool, doc("Whether it is new; else it is live, or was completed of late.")]
    finished_at: Annotated[Time | UnsetType, doc("When it was completed; missing for a new or a live one.")] = UNSET


AccountList = list_of("accounts", Account)


@attrs.frozen
class AccountHandlers:
    """Handles requests under ``/api/v1/accounts``. *work_came* is called with the lanes of new jobs."""

    catalog: Catalog
    accounts: store.Accounts
    restrictions: RestrictionStore
    submission: Submission
    bus: EventBus
    work_came: Callable[[Iterable[tuple[str, str]]], None]

    @endpoint({200: AccountList})
    async def list_accounts(self, call: Call, query: AccountQuery) -> Reply:
        """Accounts, without tokens."""
        if LANES in query.include:
            short(query, LANES)
        listing = await self.catalog.accounts.page(
            query.page,
            given(query, *PAGING, "order", "include"),
            AccountOrder(query.order),
            within=call.within,
            include=query.include,
        )
        return page("accounts", listing)

    @endpoint({200: Account})
    async def show_account(self, call: Call, query: OneAccountQuery) -> Reply:
        """One account, without tokens."""
        return reply(await self._account(account_in(call), query.include))

    @endpoint({200: Account, 201: Account}, problems=(409, 412))
    async def put_account(self, call: Call, body: AccountBody) -> Reply:
        """Create an account, or replace it completely."""
        account_id = call.params["id"]
        refuse_foreign(call, account_id)
        try:
            text(255)(account_id)
        except ValueError as error:
            raise invalid("/id", str(error)) from None
        account = store.Account(account_id, body.provider, body.gitlab_url, body.credential)
        try:
            created = await self.accounts.put(account, call.act("account.put"), precondition(call, creates=True))
        except LiveJobs as error:
            raise Problem(409, str(error)) from None
        return changed(await self._account(account_id), 201 if created else 200)

    @endpoint({200: ChangedAccount, 202: ChangedAccount}, problems=(412,))
    async def change_account(self, call: Call, body: AccountChange) -> Reply:
        """Change an account's weight, or how many of its jobs run at a time; null removes that limit.

        200 once all nodes act on the limit, 202 where some node may not yet.
        """
        account_id = account_in(call)
        changes: dict[str, int | None] = {} if body.weight is None else {"weight": body.weight}
        if body.max_running is not UNSET:
            changes["max_running"] = body.max_running
        act = call.act("account.change")
        revision = await self.accounts.change(account_id, changes, act, precondition(call))
        if revision is None:
            raise no_account()
        waiting = await self.restrictions.acted_on(revision)
        shown = await self._account(account_id)
        return changed(shown, 202, waiting_for_nodes=waiting) if waiting else changed(shown)

    @endpoint({200: Account})
    async def renew_credential(self, call: Call, body: CredentialBody) -> Reply:
        """Replace an account's token pair; its waiting jobs are queued again."""
        account_id = account_in(call)
        if not await self.accounts.renew(account_id, body.credential, call.act("account.renew")):
            raise no_account()
        return reply(await self._account(account_id))

    @endpoint({200: DeletedAccount, 202: DeletedAccount}, problems=(409, 412))
    async def delete_account(self, call: Call) -> Reply:
        """Delete an account without live jobs, and all that belongs to it: its jobs, authorizations, pauses, budgets.

        Where that takes long, some is deleted, and the answer is 202: a repetition goes on.
        """
        account_id = account_in(call)
        try:
            act, required = call.act("account.delete"), precondition(call)
            done = await self.accounts.deletion.run(account_id, act, call.next_slice, required)
        except LiveJobs as error:
            raise Problem(409, str(error)) from None
        if done is None:
            raise no_account()
        for pause in done.pauses:
            self.bus.publish(PauseChanged(pause, "ended", str(Scope.ACCOUNT), account_id))
        gone = done.left is None
        shown = {"id": account_id, "deleted": gone, "jobs_deleted": done.jobs, "jobs_left": done.left or 0}
        return reply(shown, 200 if gone else 202)

    @endpoint({200: AreaDiscovery, 201: AreaDiscovery})
    async def rediscover_account(self, call: Call, body: RediscoveryBody) -> Reply:
        """Discover the areas of an account again.

        201, or 200 where that is under way already, or was completed within the given time.
        """
        account_id = account_in(call)
        hours, act = body.unless_within_hours or 0, call.act("job.submit")
        found = await rediscover(self.submission, account_id, hours, act)
        if found is None:
            raise no_account()
        if found.created:  # does not wait for the database's notification
            self.work_came([(account_id, DISCOVERY)])
        shown = {"id": found.id, "created": found.created}
        if found.finished_at is not None:
            shown["finished_at"] = found.finished_at
        return reply(shown, 201 if found.created else 200)

    async def _account(self, account_id: str, include: Collection[str] = ()) -> Record:
        account = await self.catalog.accounts.one(account_id, include)
        if account is None:
            raise no_account()
        return account
