"""Accounts, crawlers and nodes over HTTP."""

from collections.abc import Collection
from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.describing import doc
from copilot_socket.http.account_names import no_account, refuse_foreign, storable
from copilot_socket.http.answers import WaitingForNodes, list_of, page
from copilot_socket.http.bodies import AccountBody, CredentialBody
from copilot_socket.http.checks import flag, integer, one_of, origin_url, some_of, text, timestamp
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.queries import PAGING, Listed, given
from copilot_socket.store import accounts
from copilot_socket.store.account_deletion import LiveJobs
from copilot_socket.store.account_lists import JOBS, AccountOrder
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.counts import CREDENTIAL_STATES
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.listing import Record
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.shown.accounts import Account
from copilot_socket.store.shown.crawlers import Crawler, Node

Including = Annotated[frozenset[str], some_of(JOBS), doc("What is else left out: how many jobs it has, by state.")]


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
class CrawlerQuery(Listed):
    """Which crawlers."""

    connected: Annotated[bool | None, flag, doc("Whether they are connected.")] = None
    mode: Annotated[str | None, one_of(*Mode), doc("Whether they are given work.")] = None
    stale: Annotated[bool | None, flag, doc("Whether they are silent, but have an open connection.")] = None


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
class CrawlerMode:
    """A crawler that was given a mode."""

    id: Annotated[str, doc("Its id.")]
    mode: Annotated[Mode, doc("Whether it is given work.")]


@attrs.frozen(kw_only=True)
class CrawlerShutdown:
    """A crawler that is asked to exit."""

    id: Annotated[str, doc("Its id.")]
    shutdown: Annotated[bool, doc("True.")]


AccountList = list_of("accounts", Account)
CrawlerList = list_of("crawlers", Crawler)
NodeList = list_of("nodes", Node)


@attrs.frozen
class CatalogHandlers:
    """Handles requests under ``/api/v1`` for accounts, crawlers and nodes."""

    catalog: Catalog
    accounts: accounts.Accounts
    restrictions: RestrictionStore
    modes: CrawlerModes

    @endpoint({200: AccountList})
    async def list_accounts(self, call: Call, query: AccountQuery) -> Reply:
        """Accounts, without tokens."""
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
        refuse_foreign(call, call.params["id"])
        return reply(await self._account(call.params["id"], query.include))

    @endpoint({200: Account, 201: Account}, problems=(409, 412))
    async def put_account(self, call: Call, body: AccountBody) -> Reply:
        """Create an account, or replace it completely."""
        account_id = call.params["id"]
        refuse_foreign(call, account_id)
        try:
            text(255)(account_id)
        except ValueError as error:
            raise invalid("/id", str(error)) from None
        account = accounts.Account(account_id, body.provider, body.gitlab_url, body.credential)
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
        account_id = storable(call.params["id"])
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
        refuse_foreign(call, call.params["id"])
        account_id = storable(call.params["id"])
        if not await self.accounts.renew(account_id, body.credential, call.act("account.renew")):
            raise no_account()
        return reply(await self._account(account_id))

    @endpoint({200: CrawlerList})
    async def list_crawlers(self, _call: Call, query: CrawlerQuery) -> Reply:
        """Crawlers, connected now or recently."""
        return page("crawlers", await self.catalog.crawlers.page(query.page, query.filters))

    @endpoint({200: NodeList})
    async def list_nodes(self, _call: Call, query: Listed) -> Reply:
        """The nodes, and what each serves."""
        return page("nodes", await self.catalog.crawlers.nodes(query.page))

    @endpoint({200: CrawlerMode})
    async def drain_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work."""
        return await self._mode(call, Mode.DRAINING, "crawler.drain")

    @endpoint({200: CrawlerMode})
    async def quarantine_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work, since it fails what others do."""
        return await self._mode(call, Mode.QUARANTINED, "crawler.quarantine")

    @endpoint({200: CrawlerMode})
    async def release_crawler(self, call: Call) -> Reply:
        """Give a crawler work again."""
        return await self._mode(call, Mode.SERVING, "crawler.release")

    @endpoint({202: CrawlerShutdown}, problems=(409,))
    async def shut_down_crawler(self, call: Call) -> Reply:
        """Ask a connected crawler to exit."""
        crawler = _named(call)
        asked = await self.modes.shut_down(crawler, call.act("crawler.shutdown"))
        if asked is None:
            raise _no_crawler()
        if not asked:
            raise Problem(409, "Crawler is not connected")
        return reply({"id": crawler, "shutdown": True}, 202)

    async def _mode(self, call: Call, mode: Mode, action: str) -> Reply:
        crawler = _named(call)
        if not await self.modes.set(crawler, mode, call.act(action)):
            raise _no_crawler()
        return reply({"id": crawler, "mode": str(mode)})

    async def _account(self, account_id: str, include: Collection[str] = ()) -> Record:
        account = await self.catalog.accounts.one(storable(account_id), include)
        if account is None:
            raise no_account()
        return account


def _named(call: Call) -> str:
    try:
        text(255)(call.params["id"])
    except ValueError:
        raise _no_crawler() from None
    return call.params["id"]


def _no_crawler() -> Problem:
    return Problem(404, "No such crawler")
