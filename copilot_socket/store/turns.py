"""Turns: one statement that stores reports and claims jobs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
import orjson

from copilot_socket.core.folding import Change
from copilot_socket.core.jobs import ENTITY_TYPES
from copilot_socket.core.records import record
from copilot_socket.core.reports import Completed, Encoded, job_of
from copilot_socket.core.scheduling import Allotment
from copilot_socket.store import arrays
from copilot_socket.store.connection import Row
from copilot_socket.store.sql import sql


class Runs(Protocol):
    """A connection, or a transaction in progress."""

    async def hot_query(
        self, name: str, sql: str, params: Mapping[str, Any], before: tuple[str, str] | None = None
    ) -> list[Row]:
        """Run the statement *sql*, prepared as *name*; return its rows. *before* is run first, in its transaction."""


@attrs.frozen
class Plan:
    """What to claim: ``allotments``, which name their crawlers.

    ``taking_over``: keys of crawlers that have just requested jobs at this node, with or without an allotment, and
    are served by it from now on. ``locks``: of the limits and budgets that may keep some of the
    jobs back (:meth:`.Caps.locks`).
    """

    allotments: Sequence[Allotment] = ()
    taking_over: frozenset[str] = frozenset()
    locks: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(self.allotments or self.taking_over)

    @property
    def crawlers(self) -> frozenset[str]:
        """The keys of all crawlers of the plan."""
        return self.taking_over.union(*(each.crawlers for each in self.allotments))

    def apart(self) -> list["Plan"]:
        """The plan in parts: one for each allotment, and one for ``taking_over``."""
        parts = [Plan([each], locks=self.locks) for each in self.allotments]
        return parts + ([Plan((), self.taking_over)] if self.taking_over else [])


NO_PLAN = Plan()


@record
class Claimed:
    """An assignment to be sent to a crawler. ``access_token`` is encrypted as stored; times are in seconds."""

    assignment: str
    crawler: str
    """The key of its owner."""
    entity_id: str
    gitlab_url: str
    resume_state: dict[str, Any] | None
    command: str
    full_path: str | None
    area_type: str | None
    branch: str | None
    try_: int
    account: str
    access_token: str = attrs.field(repr=False)
    expires_in: float | None
    """Seconds until the token expires; None where that is not known."""
    credential_status: str
    waited: float | None
    """Seconds since the job fell due; None for an assignment that was sent before."""

    @property
    def entity_type(self) -> str:
        """The entity type that its crawler must support."""
        return ENTITY_TYPES[self.command]


@attrs.frozen
class Settled:
    """The result of an allotment.

    ``tried``: a crawler of it had room. ``exhausted``: its lanes hold no more jobs than were claimed. ``beaten``:
    nothing was claimed, since other transactions had locked all candidates. ``kept_by``: whether limits or budgets of
    the ``account`` or its ``host`` have kept more from being claimed; None: neither.
    """

    allotment: Allotment
    tried: bool
    exhausted: bool
    beaten: bool
    kept_by: str | None = None


@attrs.frozen
class Claim:
    """The result of a plan: claimed jobs, and one :class:`Settled` for each allotment.

    ``full``: keys of crawlers without room. ``unavailable``: keys of those whose rows were locked, or which another
    node served; ``taken_over``: the ones of these that this node serves now. ``weights``: account → weight.
    """

    jobs: Sequence[Claimed] = ()
    settled: Sequence[Settled] = ()
    full: frozenset[str] = frozenset()
    unavailable: frozenset[str] = frozenset()
    taken_over: frozenset[str] = frozenset()
    weights: Mapping[str, int] = attrs.field(factory=dict)


NOTHING_CLAIMED = Claim()


@record
class Stored:
    """An assignment whose change was stored: whether that began it, its account, and the seconds since its claim."""

    began: bool
    account: str
    ran: float


@attrs.frozen
class Turn:
    """The result of a turn. ``held``: the assignments whose change was stored."""

    held: dict[str, Stored]
    claim: Claim


def _claiming(granted: str) -> str:
    return ", ".join(sql(part) for part in ("turn_room", "turn_wanted", granted, "turn_claims"))


def _telling(*parts: str) -> str:
    """The live events of a turn, as one row."""
    return sql("turn_told").format(changes=" UNION ALL ".join(map(sql, parts)))


_LOCK = "lock_caps", sql("lock_caps")
_GRANTED = ((False, "turn_uncapped"), (True, "turn_capped"))
_STORE = f"WITH {sql('turn_reports')}, {_telling('turn_told_reports')} {sql('turn_stored')}"
_CLAIM = {
    capped: f"WITH {sql('turn_no_reports')}, {_claiming(granted)}, {_telling('turn_told_claims')}"
    f" {sql('turn_claimed')}"
    for capped, granted in _GRANTED
}
_BOTH = {
    capped: f"WITH {sql('turn_reports')}, {_claiming(granted)}, {_telling('turn_told_reports', 'turn_told_claims')}"
    f" {sql('turn_stored_beside')} UNION ALL {sql('turn_claimed')}"
    for capped, granted in _GRANTED
}


async def store(
    on: Runs,
    node: str,
    reports: Mapping[str, Any],
    plan: Plan = NO_PLAN,
    on_count: Callable[[int], None] = lambda _stored: None,
) -> Turn:
    """Store *reports*, made by :func:`reports_of`, and claim by *plan*. Raises the database's error.

    *on_count* is called with the number of stored changes before the rows are decoded: the connection is free then.
    """
    if not plan:
        rows = await on.hot_query("store", _STORE, reports)
        on_count(len(rows))
        return Turn(_held(rows), NOTHING_CLAIMED)
    rows = await _run(on, "store_and_claim", _BOTH, plan, {**reports, **_planned(plan, node)})
    stored = [(*row[1:4], row[13]) for row in rows if row[0] is None]
    on_count(len(stored))
    return Turn(_held(stored), _claim(plan, [row for row in rows if row[0] is not None]))


async def claim(on: Runs, node: str, plan: Plan) -> Claim:
    """Claim by *plan* alone. Raises the database's error."""
    if not plan:
        return NOTHING_CLAIMED
    return _claim(plan, await _run(on, "claim", _CLAIM, plan, _planned(plan, node)))


async def _run(on: Runs, name: str, form: Mapping[bool, str], plan: Plan, params: Mapping[str, Any]) -> list[Row]:
    if plan.locks:
        params = {**params, "locks": arrays.of_integers(plan.locks)}
        return await on.hot_query(f"{name}_capped", form[True], params, before=_LOCK)
    return await on.hot_query(name, form[False], params)


def _planned(plan: Plan, node: str) -> dict[str, str]:
    keys = sorted(plan.crawlers)
    numbers = {key: number for number, key in enumerate(keys, 1)}
    slots = [(number, numbers[key]) for number, each in enumerate(plan.allotments, 1) for key in each.crawlers]
    return {
        "node": node,
        "key": arrays.of_texts(keys),
        "takes_over": arrays.of_booleans([key in plan.taking_over for key in keys]),
        "slot_allotment": arrays.of_integers([number for number, _ in slots]),
        "slot_crawler": arrays.of_integers([number for _, number in slots]),
        "account": arrays.of_texts([each.account for each in plan.allotments]),
        "depth": arrays.of_integers([each.depth for each in plan.allotments]),
        "commands": arrays.of_texts([",".join(each.commands) for each in plan.allotments]),
    }


def _held(rows: Sequence[Sequence[Any]]) -> dict[str, Stored]:
    return {assignment: Stored(began, account, ran) for assignment, began, account, ran in rows}


def _claim(plan: Plan, rows: Sequence[Row]) -> Claim:
    """Decode the rows of ``turn_claimed``."""
    jobs: list[Claimed] = []
    claimed = [0] * (len(plan.allotments) + 1)
    looked_at: dict[int, tuple[str | None, int, int]] = {}
    full: set[str] = set()
    unavailable: set[str] = set()
    taken_over: set[str] = set()
    weights: dict[str, int] = {}
    for row in rows:
        number, assignment, key = row[0], row[1], row[3]
        if number == 0:
            (unavailable if row[-2] is None else full).add(key)
            if row[2] is False and key in plan.taking_over:
                taken_over.add(key)
            continue
        looked_at[number] = row[-3], row[-2], row[-1]
        if assignment is not None:
            claimed[number] += 1
            account = plan.allotments[number - 1].account
            jobs.append(Claimed(*(assignment, key, *row[4:12], account, *row[12:-4])))
            weights[account] = row[-4]
    return Claim(
        jobs,
        [
            _settled(allotment, claimed[number], *looked_at.get(number, (None, 0, 0)))
            for number, allotment in enumerate(plan.allotments, 1)
        ],
        frozenset(full),
        frozenset(unavailable),
        frozenset(taken_over),
        weights,
    )


def _settled(allotment: Allotment, claimed: int, kept_by: str | None, wanted: int, found: int) -> Settled:
    """The result of *allotment*: of *found* candidates, of which up to ``depth * wanted`` are read, *claimed*."""
    return Settled(
        allotment,
        tried=wanted > 0,
        exhausted=wanted > 0 and claimed == found < allotment.depth * wanted,
        beaten=claimed == 0 < min(wanted, found),
        kept_by=kept_by,
    )


def reports_of(changes: Sequence[Change]) -> dict[str, Any]:
    """The parameters of ``turn_reports``. Raises ``ValueError`` or ``TypeError`` for values that can't be encoded."""
    # In a fixed order, so that two batches can't deadlock.
    changes = sorted(changes, key=lambda change: change.assignment)
    return {
        "job": arrays.of_texts([job_of(change.assignment) for change in changes]),
        "assignment": arrays.of_texts([change.assignment for change in changes]),
        "crawler": arrays.of_texts([change.crawler for change in changes]),
        "started": arrays.of_booleans([change.started for change in changes]),
        "completed": arrays.of_booleans([isinstance(change.ending, Completed) for change in changes]),
        "progress": arrays.of_optional_texts([_json(change.merged or None) for change in changes]),
        "resume": arrays.of_optional_texts([_text(change.resume_state) for change in changes]),
    }


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _text(value: Encoded | None) -> str | None:
    return None if value is None else value.decode()
