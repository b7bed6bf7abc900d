"""Accounts, areas and crawlers over HTTP."""

import attrs

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.pauses import Scope
from copilot_socket.http import bodies, queries
from copilot_socket.http.fields import Check, Field, gitlab_origin, integer, one_of, text
from copilot_socket.http.messages import Call, OutOfScope, Problem, Reply, invalid, reply
from copilot_socket.store.accounts import Accounts, LiveJobs
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.listing import Record
from copilot_socket.store.restrictions import RestrictionStore

AREA_CHECKS: dict[str, Check] = {
    "type": one_of("group", "project"),
    "gitlab_origin": gitlab_origin,
    "account_id": text(255),
}
ACCOUNT_CHANGE = {
    "weight": Field(integer(1, 100)),
    "max_running": Field(integer(1, 100_000), nullable=True),
}


@attrs.frozen
class CatalogHandlers:
    """Handles requests under ``/api/v1`` for accounts, areas and crawlers."""

    catalog: Catalog
    accounts: Accounts
    restrictions: RestrictionStore
    modes: CrawlerModes

    async def list_accounts(self, call: Call) -> Reply:
        """Accounts, without tokens."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.accounts(page, call.within)
        return reply({"accounts": listing.rows, "next": listing.next})

    async def show_account(self, call: Call) -> Reply:
        """One account, without tokens."""
        queries.read(call, {})
        _refuse_foreign(call, call.params["id"])
        return reply(await self._account(call.params["id"]))

    async def put_account(self, call: Call) -> Reply:
        """Create an account, or replace it completely."""
        queries.read(call, {})
        _refuse_foreign(call, call.params["id"])
        account = await bodies.account(call)
        try:
            created = await self.accounts.put(account, call.act("account.put"))
        except LiveJobs as error:
            raise Problem(409, str(error)) from None
        return reply(await self._account(account.id), 201 if created else 200)

    async def change_account(self, call: Call) -> Reply:
        """Change an account's weight, or how many of its jobs run at a time; null removes that limit."""
        queries.read(call, {})
        values = await bodies.read_object(call, ACCOUNT_CHANGE)
        if not values:
            raise invalid("", f"must have one of the fields {', '.join(ACCOUNT_CHANGE)}")
        account_id = _storable(call.params["id"])
        waiting: list[str] = []
        act = call.act("account.change")
        if "weight" in values and not await self.accounts.weigh(account_id, values["weight"], act):
            raise _no_account()
        if "max_running" in values:
            revision = await self.restrictions.limit(Scope.ACCOUNT, account_id, values["max_running"], act)
            if revision is None:
                raise _no_account()
            waiting = await self.restrictions.acted_on(revision)
        shown = await self._account(account_id)
        return reply({**shown, "waiting_for_nodes": waiting} if waiting else shown, 202 if waiting else 200)

    async def renew_credential(self, call: Call) -> Reply:
        """Replace an account's token pair; its waiting jobs are queued again."""
        queries.read(call, {})
        _refuse_foreign(call, call.params["id"])
        credential = await bodies.credential(call)
        account_id = _storable(call.params["id"])
        if not await self.accounts.renew(account_id, credential, call.act("account.renew")):
            raise _no_account()
        return reply(await self._account(account_id))

    async def list_areas(self, call: Call) -> Reply:
        """Discovered groups and projects."""
        page, filters = queries.listing(call, AREA_CHECKS)
        _refuse_foreign(call, filters.get("account_id"))
        listing = await self.catalog.areas(page, filters)
        return reply({"areas": listing.rows, "next": listing.next})

    async def list_crawlers(self, call: Call) -> Reply:
        """Crawlers, connected now or recently."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.crawlers(page)
        return reply({"crawlers": listing.rows, "next": listing.next})

    async def drain_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work."""
        return await self._mode(call, Mode.DRAINING, "crawler.drain")

    async def quarantine_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work, since it fails what others do."""
        return await self._mode(call, Mode.QUARANTINED, "crawler.quarantine")

    async def release_crawler(self, call: Call) -> Reply:
        """Give a crawler work again."""
        return await self._mode(call, Mode.SERVING, "crawler.release")

    async def shut_down_crawler(self, call: Call) -> Reply:
        """Ask a connected crawler to exit."""
        crawler = await self._named(call)
        asked = await self.modes.shut_down(crawler, call.act("crawler.shutdown"))
        if asked is None:
            raise _no_crawler()
        if not asked:
            raise Problem(409, "Crawler is not connected")
        return reply({"id": crawler, "shutdown": True}, 202)

    async def _mode(self, call: Call, mode: Mode, action: str) -> Reply:
        crawler = await self._named(call)
        if not await self.modes.set(crawler, mode, call.act(action)):
            raise _no_crawler()
        return reply({"id": crawler, "mode": str(mode)})

    async def _named(self, call: Call) -> str:
        queries.read(call, {})
        await bodies.no_body(call)
        try:
            text(255)(call.params["id"])
        except ValueError:
            raise _no_crawler() from None
        return call.params["id"]

    async def _account(self, account_id: str) -> Record:
        account = await self.catalog.account(_storable(account_id))
        if account is None:
            raise _no_account()
        return account


def _refuse_foreign(call: Call, account_id: str | None) -> None:
    """Raise :class:`Problem` 403 for an account that is not within the actor's limits; None stands for all."""
    if call.within is not None and not call.within.covers_account(account_id):
        named = "name one of them (account_id)" if account_id is None else "this is none of them"
        raise OutOfScope(403, f"Access token is limited to certain accounts or users; {named}")


def _storable(account_id: str) -> str:
    try:
        text(255)(account_id)
    except ValueError:
        raise _no_account() from None
    return account_id


def _no_crawler() -> Problem:
    return Problem(404, "No such crawler")


def _no_account() -> Problem:
    return Problem(404, "No such account")
