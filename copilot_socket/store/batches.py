"""Batches of writes, each written in a few statements of one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import orjson

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.jobs import Event
from copilot_socket.core.refusals import Known, refusal
from copilot_socket.core.reports import (
    INTERRUPTIONS,
    Completed,
    Failed,
    GivenBack,
    Incomplete,
    incomplete,
    job_of,
    try_of,
)
from copilot_socket.event_bus import JobsReported, StateEvent
from copilot_socket.store.connection import Connection, Transaction
from copilot_socket.store.error_log import MOST_ERRORS, log_refusals
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import TransitionRequest
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.turns import NO_PLAN, Claim, Plan, Stored, claim, reports_of, store
from copilot_socket.store.writes import ConnectionSeen, Folded, Presence


@attrs.frozen
class Settings:
    """Parameters of the statements that are the same for a whole node. ``lease`` and ``max_job_age`` in seconds."""

    node: str
    lease: float
    max_attempts: int
    max_job_age: float


@attrs.frozen
class Written:
    """A committed batch: a verdict for each write, the state events to publish, the plan, and its claim."""

    verdicts: list[Verdict]
    events: list[StateEvent]
    plan: Plan
    claim: Claim


class Batches:
    """Writes batches over one connection."""

    def __init__(self, connection: Connection, settings: Settings, transitions: Transitions) -> None:
        self._connection = connection
        self._settings = settings
        self._transitions = transitions

    async def claim(self, plan: Plan) -> Claim:
        """Claim by *plan* alone. Raises the database's error; the outcome may be unknown then."""
        return await claim(self._connection, self._settings.node, plan)

    async def write(self, batch: Folded, plan: Plan = NO_PLAN) -> Written:
        """Commit *batch* and the claims of *plan* together. Raises the database's error, and nothing is committed.

        After a lost connection the outcome is unknown. A batch of ordinary reports is written by one statement.
        Beside another one no claim with locks is made, which this node would hold while it goes on: the result has no
        plan then.
        """
        if plan.locks and not batch.ordinary:
            plan = NO_PLAN
        if batch.ordinary:
            turn = await store(self._connection, self._settings.node, batch.parameters, plan)
            held, events, claimed = turn.held, self._events(batch.changes, turn.held), turn.claim
        else:
            held, events, claimed = await self._connection.transaction(lambda tx: self._everything(tx, batch, plan))
        verdicts = dict.fromkeys(held, Verdict.STORED)
        refused = [change for change in batch.changes if change.assignment not in held]
        if refused:
            verdicts |= await self._refused(refused, events)
        return Written(batch.verdicts(verdicts), events, plan, claimed)

    async def _refused(self, changes: Sequence[Change], events: list[StateEvent]) -> dict[str, Verdict]:
        """The verdicts on *changes* for which no live assignment was found.

        A completion that follows a refused discovery is stored as a failure; its state events are added to *events*.
        """
        explained = await _explained(self._connection, changes, self._settings.max_job_age)
        verdicts = {name: verdict for name, (verdict, _) in explained.items()}
        failed = [
            attrs.evolve(each, ending=incomplete(known.refused))
            for each in changes
            if (known := explained[each.assignment][1]).live
            and isinstance(each.ending, Completed)
            and known.refused is not None
        ]
        if failed:
            parameters = reports_of(failed)
            stored, more = await self._connection.transaction(lambda tx: self._changes(tx, failed, parameters))
            events += more
            verdicts |= dict.fromkeys(stored, Verdict.STORED)
            missing = [each for each in failed if each.assignment not in stored]
            verdicts |= await explain(self._connection, missing, self._settings.max_job_age)
        return verdicts

    async def _everything(
        self, tx: Transaction, batch: Folded, plan: Plan
    ) -> tuple[dict[str, Stored], list[StateEvent], Claim]:
        writes, changes = batch.writes, batch.changes
        presences = {op.key: op for op in writes if isinstance(op, Presence)}
        await self._presences(tx, [op for op in presences.values() if op.present])
        await self._must_confirm(tx, {op.key: op.confirm_within for op in writes if isinstance(op, Presence)})
        await self._connections(tx, {op.id: op for op in writes if isinstance(op, ConnectionSeen)})
        held: dict[str, Stored] = {}
        events: list[StateEvent] = []
        if changes:
            held, events = await self._changes(tx, changes, batch.parameters)
        gone = sorted(op.key for op in presences.values() if not op.present)
        if gone:
            await tx.query(sql("crawlers_absent"), {"key": gone, "node": self._settings.node})
        return held, events, await claim(tx, self._settings.node, plan)

    async def _changes(
        self, tx: Transaction, changes: Sequence[Change], parameters: Mapping[str, Any]
    ) -> tuple[dict[str, Stored], list[StateEvent]]:
        """Store *changes*, encoded as *parameters*; return the stored ones, and the state events to publish."""
        held = (await store(tx, self._settings.node, parameters)).held
        events = self._events(changes, held)
        kept = [change for change in changes if change.assignment in held]
        refused = [(change.assignment, each) for change in kept for each in change.refused[:MOST_ERRORS]]
        if refused:
            await log_refusals(tx, refused)
        requests = [_request(change) for change in kept if isinstance(change.ending, INTERRUPTIONS)]
        if requests:
            _answers, changed = await self._transitions.within(tx, requests)
            events += changed
        return held, events

    async def _presences(self, tx: Transaction, present: Sequence[Presence]) -> None:
        if present:
            await tx.query(
                sql("crawlers_present"),
                {
                    "node": self._settings.node,
                    "lease": self._settings.lease,
                    "key": [op.key for op in present],
                    "crawler_id": [op.crawler_id for op in present],
                    "max_jobs": [op.max_jobs for op in present],
                    "entity_types": [orjson.dumps(op.entity_types).decode() for op in present],
                    "plain": [op.plain for op in present],
                    "commands": [op.commands for op in present],
                    "version": [op.version for op in present],
                },
            )

    async def _must_confirm(self, tx: Transaction, within: Mapping[str, float | None]) -> None:
        """Set deadlines for confirming assignments: before the reports of the same batch, which may confirm some."""
        keys = {key: seconds for key, seconds in within.items() if seconds is not None}
        if keys:
            await tx.query(sql("must_confirm"), {"key": list(keys), "within": list(keys.values())})

    async def _connections(self, tx: Transaction, seen: dict[str, ConnectionSeen]) -> None:
        if seen:
            await tx.query(
                sql("connections_seen"),
                {
                    "node": self._settings.node,
                    "id": list(seen),
                    "crawler_id": [op.crawler_id for op in seen.values()],
                    "crawler_key": [op.crawler_key for op in seen.values()],
                    "is_active": [op.active for op in seen.values()],
                    "silent": [op.silent for op in seen.values()],
                    "system_status": [op.system_status for op in seen.values()],
                    "metadata": [op.metadata.decode() for op in seen.values()],
                },
            )

    def _events(self, changes: Sequence[Change], held: Mapping[str, Stored]) -> list[StateEvent]:
        """The state events of ordinary reports."""
        began: list[tuple[str, str, str]] = []
        completed: list[tuple[str, str, str]] = []
        ran: list[float] = []
        for change in changes:
            stored = held.get(change.assignment)
            if stored is not None:
                row = change.assignment, change.crawler, stored.account
                if stored.began:
                    began.append(row)
                if isinstance(change.ending, Completed):
                    completed.append(row)
                    ran.append(stored.ran)
        return [
            *([JobsReported("running", Event.STARTED, began)] if began else ()),
            *([JobsReported("completed", Event.COMPLETED, completed, "completed", ran)] if completed else ()),
        ]


async def explain(on: Connection, changes: Sequence[Change], max_job_age: float) -> dict[str, Verdict]:
    """Why each of *changes* was not applied, by assignment. *max_job_age* as in :func:`refusal`."""
    return {name: verdict for name, (verdict, _) in (await _explained(on, changes, max_job_age)).items()}


async def _explained(
    on: Connection, changes: Sequence[Change], max_job_age: float
) -> dict[str, tuple[Verdict, Known]]:
    if not changes:
        return {}
    names = [change.assignment for change in changes]
    rows = await on.query(
        sql("explain_refusals"),
        {"job": [job_of(name) for name in names], "assignment": names, "try": [try_of(name) for name in names]},
    )
    by_name = {change.assignment: change for change in changes}
    explained: dict[str, tuple[Verdict, Known]] = {}
    for name, live, outcome, refused, job_exists, now in rows:
        known = Known(live, outcome, job_exists, refused)
        explained[name] = refusal(by_name[name], known, now=now, max_job_age=max_job_age), known
    return explained


def _request(change: Change) -> TransitionRequest:
    report = change.ending
    match report:
        case Incomplete():
            event = Event.INCOMPLETE
        case Failed():
            event = Event.FAILED if report.recoverable else Event.FAILED_FOR_GOOD
        case GivenBack():
            event = Event.GIVEN_BACK
        case _:
            raise TypeError(f"{report} is no interruption")
    return TransitionRequest(job_of(change.assignment), event, change.assignment, report=report)
