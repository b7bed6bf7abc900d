"""Discoveries: areas and jobs that a crawler has found, stored in slices (docs/protocol.md, "Discovery").

A discovery may name 100,000 jobs. Each slice is an idempotent transaction of its own: no report waits for a whole
discovery, and a slice with an unknown outcome is written again.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import cast

import attrs

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.jobs import AREA_TYPES, SPAWNS
from copilot_socket.core.reports import Discovered, Found, Report, job_of
from copilot_socket.event_bus import DiscoveryStored, EventBus
from copilot_socket.store import arrays
from copilot_socket.store.batches import Settings, explain
from copilot_socket.store.connection import Connection, Row, Transaction
from copilot_socket.store.faults import UniqueViolation
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import reports_of, store

SLICE = 500
"""Elements of a slice: some 4,500 jobs, which PostgreSQL stores in a quarter of a second."""

MOVE_TRIES = 3
"""How often a slice is written where other nodes move its areas to other paths at the same time."""

_SPAWNS = [(kind, command) for kind, commands in SPAWNS.items() for command in commands]


@attrs.frozen
class Slice:
    """A part of a discovery, and the change that its report makes to the assignment."""

    change: Change
    found: tuple[Found, ...]


def slices(report: Report) -> Iterator[Slice]:
    """The slices of *report*, whose body is a ``Discovered``: at least one."""
    body = cast(Discovered, report.body)
    for start in range(0, max(len(body.found), 1), SLICE):
        change = Change(report.assignment, report.crawler, progress={} if start else body.progress)
        yield Slice(change, body.found[start : start + SLICE])


class Discoveries:
    """Stores discoveries over *connection*."""

    def __init__(self, connection: Connection, settings: Settings, bus: EventBus) -> None:
        self._connection = connection
        self._settings = settings
        self._bus = bus

    async def store(self, part: Slice) -> Verdict:
        """Commit *part* if its assignment is live and belongs to its crawler; return the verdict.

        Raises :class:`~copilot_socket.store.faults.DatabaseAway` or psycopg2's error.
        """
        change = part.change
        stored = await self._commit(part)
        if stored is None:
            verdicts = await explain(self._connection, [change], self._settings.max_job_age)
            return verdicts[change.assignment]
        areas, created = stored
        if part.found:
            job = job_of(change.assignment)
            lanes = frozenset((row[1], row[2]) for row in created)
            event = DiscoveryStored(job, change.assignment, change.crawler, areas, len(created), lanes)
            self._bus.publish(event)
        return Verdict.STORED

    async def _commit(self, part: Slice) -> tuple[int, list[Row]] | None:
        for _ in range(MOVE_TRIES - 1):
            # Another node has stored one of these areas at another path meanwhile; a new transaction sees that.
            with suppress(UniqueViolation):
                return await self._connection.transaction(lambda tx: self._store(tx, part))
        return await self._connection.transaction(lambda tx: self._store(tx, part))

    async def _store(self, tx: Transaction, part: Slice) -> tuple[int, list[Row]] | None:
        """The number of areas, and the rows of new jobs; None where the crawler does not hold the assignment."""
        if not (await store(tx, self._settings.node, reports_of([part.change]))).held:
            return None
        found = part.found
        job = job_of(part.change.assignment)
        areas = _areas(found)
        if areas:
            parameters = {
                "job": job,
                "path": arrays.of_texts([area.full_path for area in areas]),
                "gitlab_id": [area.gitlab_id for area in areas],
                "name": arrays.of_texts([area.name for area in areas]),
                "type": arrays.of_texts([AREA_TYPES[area.kind] for area in areas]),
            }
            await tx.hot_query("moved_areas", sql("moved_areas"), parameters)
            await tx.hot_query("found_areas", sql("found_areas"), parameters)
        jobs = [one for one in found if one.kind in SPAWNS]
        if not jobs:
            return len(areas), []
        rows = await tx.hot_query(
            "spawn",
            sql("spawn"),
            {
                "job": job,
                "kind": arrays.of_texts([one.kind for one in jobs]),
                "path": arrays.of_texts([one.full_path for one in jobs]),
                "priority": [one.priority for one in jobs],
                "spawning_kind": [kind for kind, _ in _SPAWNS],
                "spawned_command": [command for _, command in _SPAWNS],
                "max_attempts": self._settings.max_attempts,
            },
        )
        return len(areas), rows


def _areas(found: Iterable[Found]) -> list[Found]:
    """One area per path and per numeric id. The last mention counts; an id that only an earlier one had is kept."""
    by_path: dict[str, Found] = {}
    by_id: dict[tuple[str, int], str] = {}
    for area in found:
        if area.kind not in AREA_TYPES:
            continue
        earlier = by_path.get(area.full_path)
        if area.gitlab_id is None and earlier is not None and earlier.kind == area.kind:
            area = attrs.evolve(area, gitlab_id=earlier.gitlab_id)  # noqa: PLW2901
        by_path[area.full_path] = area
        if area.gitlab_id is not None:
            by_id[area.kind, area.gitlab_id] = area.full_path
    return [
        area
        if area.gitlab_id is None or by_id[area.kind, area.gitlab_id] == area.full_path
        else attrs.evolve(area, gitlab_id=None)
        for area in by_path.values()
    ]
