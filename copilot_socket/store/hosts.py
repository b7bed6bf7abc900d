"""The table of GitLab hosts: successes, failures, and which of them are held back."""

from collections.abc import Sequence

import orjson

from copilot_socket.core.ends import Cause
from copilot_socket.core.host_holds import PROBE_PATIENCE, Failure, Host, failures_from_json, failures_to_json
from copilot_socket.event_bus import HostChanged
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import Change

REACHED = 30.0
"""Seconds for which a probe must have been reporting to have reached its host."""
SPREAD = 30.0
"""Seconds over which the jobs of a released host fall due."""
_REACHES = frozenset({Cause.NOT_FOUND, Cause.FORBIDDEN, Cause.CREDENTIAL})
"""Causes for which GitLab must have answered."""


class Hosts:
    """Reads and writes over the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def succeeded(self, accounts: Sequence[str]) -> list[str]:
        """Jobs of *accounts* have just been completed; the hosts that this releases."""
        return [row[0] for row in await self._database.query(sql("hosts_succeeded"), {"account": list(accounts)})]

    async def reached(self) -> list[str]:
        """Release hosts whose probe works; their origins."""
        return [row[0] for row in await self._database.query(sql("hosts_reached"), {"while": REACHED})]

    async def held(self) -> dict[str, bool]:
        """The origins of hosts that are held back, and whether each may be probed now."""
        return dict(await self._database.query(sql("held_hosts")))

    async def accounts(self, origins: Sequence[str]) -> dict[str, str]:
        """Account → origin, of the accounts at *origins*."""
        rows = await self._database.query(sql("accounts_of_hosts"), {"origin": list(origins)})
        return {row[0]: row[1] for row in rows}

    async def take_probe(self, origin: str) -> bool:
        """Whether this node may send a probe to *origin* within the next :data:`PROBE_PATIENCE` seconds."""
        return bool(await self._database.query(sql("take_probe"), {"origin": origin, "patience": PROBE_PATIENCE}))

    async def spread_waiting(self) -> int:
        """Have some of the jobs of released hosts fall due soon; how many."""
        [(count,)] = await self._database.query(sql("spread_waiting"), {"over": SPREAD})
        return int(count)


async def note_ends(tx: Transaction, changes: Sequence[Change]) -> list[HostChanged]:
    """Count what *changes* say of their hosts; the state events to publish after the commit."""
    unavailable = [
        change for change in changes if change.failure and change.failure.cause is Cause.GITLAB_UNAVAILABLE
    ]
    # Of others a row is locked only where that may end a hold.
    reached = {
        change.row.origin
        for change in changes
        if change.failure and change.failure.cause in _REACHES and change.row.host_held
    }
    origins = reached | {change.row.origin for change in unavailable}
    if not origins:
        return []
    events = []
    hosts: dict[str, Host] = {}
    for origin, failures, succeeded_at, held_since, probes, opens_at, crawlers in await tx.query(
        sql("lock_hosts"), {"origin": sorted(origins)}
    ):
        before = host = Host(failures_from_json(failures), succeeded_at, held_since, probes, opens_at)
        for change in unavailable:
            # Attempts from before the hold say nothing new.
            if (
                change.row.origin == origin
                and change.held is not None
                and change.held.assigned_at > (host.held_since or 0.0)
            ):
                host = host.failed(Failure(change.row.id, change.held.crawler or "", change.row.now), crawlers)
        if origin in reached:
            host = host.reached()
        if host.held != before.held:
            events.append(HostChanged(origin, "held" if host.held else "released"))
        hosts[origin] = host
    await tx.query(
        sql("store_hosts"),
        {
            "origin": list(hosts),
            "failures": [orjson.dumps(failures_to_json(host.failures)).decode() for host in hosts.values()],
            "probes": [host.probes for host in hosts.values()],
            "held_since": [host.held_since for host in hosts.values()],
            "opens_at": [host.opens_at for host in hosts.values()],
        },
    )
    return events
