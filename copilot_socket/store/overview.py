"""Reads what the overview shows of the whole, for :mod:`copilot_socket.core.attention`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.core.attention import LANES, NAMES, Connections, Facts, HeldHost, Lane, PausedPath, Some
from copilot_socket.core.pauses import Pause, Pauses, Scope, Work
from copilot_socket.core.why import CapFacts, Hold, PauseFacts, held_back
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Row
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Record, record
from copilot_socket.store.shown.restrictions import BUDGETS, Budget
from copilot_socket.store.sql import sql

SHOWN = 100
"""Budgets that are shown, and accounts without a credential whose jobs are counted, at most."""
ACCOUNTS = 500
"""Accounts, and lanes, that are looked at to find lanes that are held back: some milliseconds."""

_BUDGETS = f"""
SELECT {", ".join(columns(Budget).values())} FROM {BUDGETS}
ORDER BY l.jobs_allowed IS NULL, b.updated_at DESC, b.gitlab_origin, b.account_id, b.name LIMIT {SHOWN}
"""


@attrs.frozen
class DatabaseSize:
    """The size of the database in bytes, and the connections and the version of the server."""

    bytes: int
    connections: Connections
    version: str


class OverviewReader:
    """Reads from *database*. The numbers are exact, the names the first ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, stats: Record) -> Facts:
        """What may need a person, without what the node knows by itself. *stats*: those of all jobs."""
        accounts = await self._kinds("overview_accounts", SHOWN)
        waiting = 0
        if accounts["expired"].count:
            counted = {"account": accounts["expired"].names}
            [(waiting,)] = await self._database.query(sql("overview_waiting"), counted)
        crawlers = await self._kinds("overview_crawlers")
        [(failed, since, operations)] = await self._database.query(sql("overview_operations"), {"names": NAMES})
        hosts = [HeldHost(*row) for row in await self._database.query(sql("overview_hosts"))]
        pauses = await self._database.query(sql("why_pauses"))
        return Facts(
            expired=accounts["expired"],
            waiting=waiting,
            expiring=accounts["expiring"],
            hosts=hosts,
            quarantined=crawlers["quarantined"],
            failing=crawlers["failing"],
            silent=crawlers["silent"],
            ready=stats["queue"]["ready"],
            unroutable=stats["queue"]["unroutable_commands"],
            connected=stats["crawlers"]["connected"],
            lanes=await self._lanes(hosts, pauses),
            paths=[PausedPath(*pause[2:]) for pause in pauses if pause[1] == Scope.PATH_PREFIX],
            path_paused=stats["queue"]["path_paused"],
            operations=Some(failed, since, operations or ()),
        )

    async def budgets(self) -> list[Record]:
        """The budgets that keep jobs back, then those that were last changed."""
        return [record(list(columns(Budget)), row) for row in await self._database.query(_BUDGETS)]

    async def size(self) -> DatabaseSize:
        """The size of the database, which may take seconds."""
        [(size, used, allowed, version)] = await self._database.query(sql("overview_size"))
        return DatabaseSize(size, Connections(used, allowed), version)

    async def server(self, node: str) -> tuple[str, datetime | None]:
        """The version of PostgreSQL, and when *node* started; None before its first lease."""
        [(version, started_at)] = await self._database.query(sql("server_and_node"), {"node": node})
        return version, started_at

    async def _kinds(self, statement: str, names: int = NAMES) -> dict[str, Some]:
        rows = await self._database.query(sql(statement), {"names": names})
        return {kind: Some(count, since, found or []) for kind, count, since, found in rows}

    async def _lanes(self, hosts: Sequence[HeldHost], pauses: Sequence[Row]) -> list[Lane]:
        """Lanes that *pauses*, limits, budgets or host holds keep back: up to one more than are shown."""
        caps = [CapFacts(*row) for row in await self._database.query(sql("overview_caps"), {"accounts": ACCOUNTS})]
        in_force = Pauses(Pause(pause[0], Scope(pause[1]), pause[2]) for pause in pauses)
        described = {pause[0]: PauseFacts(*pause[1:]) for pause in pauses}
        holds = {host.origin: Hold(host.since, host.next_probe_at) for host in hosts}
        found: dict[tuple[str, str], tuple[str, list[str]]] = {}
        for account, command, origin in await self._candidates(in_force, caps, holds):
            work = Work(account, origin, command)
            targets = {(Scope.ACCOUNT.value, account), (Scope.HOST.value, origin)}
            full = [cap for cap in caps if (cap.scope, cap.target) in targets]
            reasons = held_back(work, in_force, described, holds.get(origin), full)
            if reasons and len(found) <= LANES:
                text = "; ".join(reason.text for reason in reasons)
                found[account, command] = text, [reason.code for reason in reasons]
        if not found:
            return []
        rows = await self._database.query(
            sql("overview_queued"), {"account": list({account for account, _ in found})}
        )
        queued = {(account, command): jobs for account, command, jobs in rows}
        return [Lane(*lane, queued.get(lane, 0), *why) for lane, why in found.items()]

    async def _candidates(self, pauses: Pauses, caps: Sequence[CapFacts], holds: dict[str, Any]) -> list[Row]:
        """Lanes that may be held back: of accounts and hosts that are; where a command is paused, the first ones."""
        targets = {scope: {cap.target for cap in caps if cap.scope == scope} for scope in (Scope.ACCOUNT, Scope.HOST)}
        accounts = targets[Scope.ACCOUNT] | pauses.targets(Scope.ACCOUNT)
        hosts = targets[Scope.HOST] | pauses.targets(Scope.HOST) | holds.keys()
        rows: list[Row] = []
        if accounts or hosts:
            given = {"account": sorted(accounts), "host": sorted(hosts), "accounts": ACCOUNTS, "lanes": LANES + 1}
            rows += await self._database.query(sql("overview_lanes"), given)
        if pauses.commands:
            first = {"account": "", "command": "", "limit": ACCOUNTS}
            found = await self._database.query(sql("lanes"), first)
            rows += [(account, command, origin) for account, command, _, origin in found]
        return rows
