"""Leases of this node and its crawlers, and the release of assignments whose crawlers are gone."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence

import attrs

from copilot_socket import __version__
from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.jobs import Event, Loss
from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import Place, access_token
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.transitions import Answer, Transitions, by_assignment

RELEASE_LIMIT = 500
"""Assignments that one call ends, at most."""
PAUSE_PATIENCE = 10.0
"""Seconds that a crawler has to give a job back after ``job_pause``."""


@attrs.frozen
class ConnectionState:
    """The row of a connection in ``socket_connections``. ``silent``: seconds since the last message, None before one.

    ``metadata`` is a JSON object without values that PostgreSQL refuses, which would fail all connections' rows.
    """

    id: str
    silent: float | None
    held: Sequence[str]
    system_status: str | None
    metadata: bytes


class Leases:
    """Reads and writes leases over the pool. *lease*, *grace* and *job_timeout* in seconds.

    *keys* are the fingerprints of the node's secret keys, newest first. *on_renewal* is called with the reactor time
    until which the lease of the node lasts at least.
    """

    def __init__(
        self,
        database: Database,
        transitions: Transitions,
        node: str,
        *,
        lease: float,
        grace: float,
        job_timeout: float,
        keys: Sequence[str] = (),
        on_renewal: Callable[[float], None] = lambda _until: None,
    ) -> None:
        self._database = database
        self._transitions = transitions
        self._node = node
        self.lease = lease
        self.grace = grace
        self._job_timeout = job_timeout
        self._keys = list(keys)
        self._on_renewal = on_renewal

    async def renew(self, live: Sequence[str]) -> None:
        """Renew the lease of this node and, in the same statement, those of the crawlers *live*."""
        until = self._database.reactor.seconds() + self.lease
        await self._database.query(
            sql("renew_leases"),
            {
                "node": self._node,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "keys": self._keys,
                "version": __version__,
                "lease": self.lease,
                "key": list(live),
            },
        )
        self._on_renewal(until)

    async def held(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """Key → live assignments, for each of the crawlers *keys* that holds any."""
        return {row[0]: row[1] for row in await self._database.query(sql("held_by_all"), {"key": list(keys)})}

    async def held_by(self, key: str) -> list[tuple[str, bool, str, Place]]:
        """The live assignments of a crawler: whether each has a report, its account's token as stored, and where."""
        rows = await self._database.query(sql("held_by"), {"key": key})
        return [(name, reported, stored, access_token(*account)) for name, reported, *account, stored in rows]

    async def own(self, key: str, crawler_id: str, owner: str | None) -> bool:
        """Whether the crawler *key* belongs to *owner* now: unless another one has it, and may come back."""
        given = {"key": key, "crawler": crawler_id, "owner": owner, "node": self._node, "lease": self.lease}
        given["grace"] = self.grace
        return bool(await self._database.query(sql("own_crawler"), given))

    async def of_others(self, owners: Mapping[str, str]) -> list[str]:
        """The keys of *owners* (key → owner) that belong to another one by now."""
        given = {"key": list(owners), "owner": list(owners.values())}
        return [key for (key,) in await self._database.query(sql("crawlers_of_others"), given)] if owners else []

    async def mode_of(self, key: str) -> Mode:
        """Whether the crawler may be given work."""
        rows = await self._database.query(sql("crawler_mode"), {"key": key})
        return Mode(rows[0][0]) if rows else Mode.SERVING

    async def confirm(self, assignments: Sequence[str]) -> None:
        """Record that their crawler still holds *assignments*."""
        if assignments:
            jobs = [job_of(assignment) for assignment in assignments]
            await self._database.query(sql("confirm"), {"job": jobs, "assignment": list(assignments)})

    async def show(self, connections: Sequence[ConnectionState]) -> None:
        """Update the rows of *connections*."""
        if connections:
            await self._database.query(
                sql("connections_alive"),
                {
                    "id": [item.id for item in connections],
                    "silent": [item.silent for item in connections],
                    "jobs": [",".join(item.held) for item in connections],
                    "system_status": [item.system_status for item in connections],
                    "metadata": [item.metadata.decode() for item in connections],
                },
            )

    async def release_lost(self, others: bool) -> int:
        """Release the lost assignments of this node's crawlers, with *others* of all nodes'; return their number."""
        rows = await self._database.query(
            sql("lost_assignments"),
            {
                "node": self._node,
                "grace": self.grace,
                "others": others,
                "limit": RELEASE_LIMIT,
                "gone": Loss.GONE,
                "without_it": Loss.WITHOUT_IT,
            },
        )
        return await self._apply([row[0] for row in rows], Event.RELEASED, [row[1] for row in rows])

    async def release(self, assignments: Sequence[str], reason: Loss) -> list[Answer]:
        """Release *assignments*, which their crawler no longer holds."""
        return await self._transitions.run(by_assignment(assignments, Event.RELEASED, reason))

    async def settle_refused(self) -> int:
        """Let jobs wait for a credential whose crawlers were refused a token and have not reported for a whole grace.

        Also queue the waiting jobs of renewed credentials. Returns the number of both.
        """
        rows = await self._database.query(sql("refused_assignments"), {"grace": self.grace, "limit": RELEASE_LIMIT})
        parked = await self._apply([row[0] for row in rows], Event.NO_CREDENTIAL, "no new token for its account")
        late = await self._database.query(sql("renewed_meanwhile"), {"limit": RELEASE_LIMIT})
        return parked + len(await self._transitions.apply([row[0] for row in late], Event.RENEWED))

    async def time_out(self) -> int:
        """Time out attempts without a report for the job time-out; return their number."""
        rows = await self._database.query(
            sql("timed_out_assignments"), {"timeout": self._job_timeout, "limit": RELEASE_LIMIT}
        )
        reason = f"no report for {self._job_timeout:g} s"
        return await self._apply([row[0] for row in rows], Event.TIMED_OUT, reason)

    async def fence_pauses(self) -> int:
        """Take jobs that are to be paused from crawlers that have not given them back; the number."""
        rows = await self._database.query(sql("overdue_pauses"), {"patience": PAUSE_PATIENCE, "limit": RELEASE_LIMIT})
        return await self._apply([row[0] for row in rows], Event.PAUSED, "paused")

    async def leave(self) -> None:
        """Delete this node's lease and mark its connections as ended. Its crawlers keep their leases."""
        await self._database.query(sql("node_leaves"), {"node": self._node})

    async def starts(self) -> None:
        """The node starts, which may explain that crawlers are lost."""
        await self._database.query(sql("node_starts"), {"node": self._node})

    async def forget_dead(self) -> None:
        """Mark the connections of nodes with expired leases as ended."""
        await self._database.query(sql("forget_dead_nodes"))

    async def _apply(self, assignments: Sequence[str], event: Event, reason: str | Sequence[str]) -> int:
        requests = by_assignment(assignments, event, reason)
        return sum(answer is not None for answer in await self._transitions.run(requests))
