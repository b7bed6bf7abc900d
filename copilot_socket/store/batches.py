"""One batch of what crawlers said, written in a few statements of one transaction."""

from collections.abc import Callable, Mapping, Sequence

import attrs
import orjson

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.jobs import Event
from copilot_socket.core.refusals import Known, refusal
from copilot_socket.core.reports import Completed, Failed, job_of, try_of
from copilot_socket.store.connection import Connection, Transaction
from copilot_socket.store.operations import ConnectionSeen, Folded, Presence
from copilot_socket.store.sql import sql
from copilot_socket.store.transitions import Ask, Transitions
from copilot_socket.store.turns import NONE_AHEAD, NOTHING_CLAIMED, Ahead, Claim, Stored, store
from copilot_socket.telling import JobProgressed, JobsReported, News, Telling


@attrs.frozen
class Settings:
    """What the statements need to know of this node. ``lease`` and ``max_job_age`` in seconds."""

    node: str
    lease: float
    max_attempts: int
    max_job_age: float


@attrs.frozen
class Written:
    """A committed batch: a verdict for each operation, what to tell, what was to be claimed with it, and what was."""

    verdicts: list[Verdict]
    news: list[News]
    ahead: Ahead
    claim: Claim


class Batches:
    """Writes batches over one connection."""

    def __init__(
        self, connection: Connection, settings: Settings, transitions: Transitions, telling: Telling
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._transitions = transitions
        self._progress_wanted = telling.audience(JobProgressed)

    async def write(
        self, batch: Folded, ahead: Ahead = NONE_AHEAD, on_stored: Callable[[], None] = lambda: None
    ) -> Written:
        """Commit *batch*, or raise with nothing committed (or, after a lost connection, unknown).

        Everyday reports and what is to be claimed *ahead* in the same transaction go by one statement; where it takes
        more, nothing is claimed. *on_stored* is called where that statement has stored everything: nothing more of
        this batch will be asked of the database.
        """
        if batch.everyday:

            def on_count(stored: int) -> None:
                if stored == len(batch.changes):
                    on_stored()

            turn = await store(self._connection, self._settings.node, batch.parameters, ahead, on_count)
            held, news, claim = turn.held, self._told(batch.changes, turn.held), turn.claim
        else:
            held, news = await self._connection.transaction(lambda tx: self._everything(tx, batch))
            claim = NOTHING_CLAIMED
        became = dict.fromkeys(held, Verdict.STORED)
        refused = [change for change in batch.changes if change.assignment not in held]
        if refused:
            became |= await explain(self._connection, refused, self._settings.max_job_age)
        return Written(batch.verdicts(became), news, ahead, claim)

    async def _everything(self, tx: Transaction, batch: Folded) -> tuple[dict[str, Stored], list[News]]:
        operations, changes = batch.operations, batch.changes
        presences = {op.key: op for op in operations if isinstance(op, Presence)}
        await self._presences(tx, [op for op in presences.values() if op.present])
        await self._must_confirm(tx, {op.key: op.confirm_within for op in operations if isinstance(op, Presence)})
        await self._connections(tx, {op.id: op for op in operations if isinstance(op, ConnectionSeen)})
        held: dict[str, Stored] = {}
        news: list[News] = []
        if changes:
            held = (await store(tx, self._settings.node, batch.parameters)).held
            news = self._told(changes, held)
            kept = [change for change in changes if change.assignment in held]
            asks = [_ask(change) for change in kept if isinstance(change.ending, Failed)]
            if asks:
                _answers, told = await self._transitions.within(tx, asks)
                news += told
        gone = sorted(op.key for op in presences.values() if not op.present)
        if gone:
            await tx.query(sql("crawlers_absent"), {"key": gone, "node": self._settings.node})
        return held, news

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
                },
            )

    async def _must_confirm(self, tx: Transaction, within: Mapping[str, float | None]) -> None:
        """Before the reports of the same batch, which may name what has to be named."""
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

    def _told(self, changes: Sequence[Change], held: Mapping[str, Stored]) -> list[News]:
        """What is to be told of everyday reports."""
        began: list[tuple[str, str, str]] = []
        progressed: list[News] = []
        completed: list[tuple[str, str, str]] = []
        for change in changes:
            stored = held.get(change.assignment)
            if stored is not None:
                told = change.assignment, change.crawler, stored.account
                if stored.began:
                    began.append(told)
                if self._progress_wanted and change.merged:
                    progressed.append(_progressed(change, stored.account))
                if isinstance(change.ending, Completed):
                    completed.append(told)
        return [
            *([JobsReported("running", Event.STARTED, began)] if began else ()),
            *progressed,
            *([JobsReported("completed", Event.COMPLETED, completed, "completed")] if completed else ()),
        ]


async def explain(on: Connection, changes: Sequence[Change], max_job_age: float) -> dict[str, Verdict]:
    """Why each of *changes* was not applied, by its assignment. *max_job_age* as in :func:`refusal`."""
    names = [change.assignment for change in changes]
    rows = await on.query(
        sql("explain_refusals"),
        {"job": [job_of(name) for name in names], "assignment": names, "try": [try_of(name) for name in names]},
    )
    known = {name: (Known(live, outcome, job_exists), now) for name, live, outcome, job_exists, now in rows}
    verdicts: dict[str, Verdict] = {}
    for change in changes:
        facts, now = known[change.assignment]
        verdicts[change.assignment] = refusal(change, facts, now=now, max_job_age=max_job_age)
    return verdicts


def _ask(change: Change) -> Ask:
    failure = change.ending
    assert isinstance(failure, Failed)
    event = Event.FAILED if failure.recoverable else Event.FAILED_FOR_GOOD
    return Ask(job_of(change.assignment), event, change.assignment, failure=failure)


def _progressed(change: Change, account: str) -> JobProgressed:
    job_id = job_of(change.assignment)
    return JobProgressed(job_id, change.assignment, change.crawler, account, change.merged)
