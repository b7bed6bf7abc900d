"""Why a job is where it is: what keeps it from running, in one sentence and in reasons for programs.

Dispatch and this decide by the same parts: :class:`~copilot_socket.core.pauses.Pauses`, the number of jobs that
limits and budgets allow, credentials, host holds, and the commands that crawlers take (docs/http.md, "Why").
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.jobs import COMMANDS, HELD, TERMINAL, Status, commands_for
from copilot_socket.core.pauses import Pauses, Scope, Work

MOST_AHEAD = 10_000
"""Jobs before one up to which they are counted."""


@attrs.frozen
class JobFacts:
    """The job, and its account. ``due_in``: seconds until it is due, 0 if it is."""

    id: str
    status: str
    command: str
    full_path: str | None
    account: str
    host: str
    scheduled_at: datetime
    due_in: float
    cause: str | None
    finished_at: datetime | None
    credential_status: str
    credential_error: str | None
    lacks_token: bool | None
    """Its account's token has expired, and a new one is awaited."""
    next_refresh_at: datetime | None
    marked: bool
    """With a pause of its path, which may have ended."""


@attrs.frozen
class HolderFacts:
    """The crawler that holds the job, since when, and when it was last heard."""

    crawler: str
    assigned_at: datetime
    last_heard_at: datetime | None
    pausing: bool


@attrs.frozen
class PauseFacts:
    """What a pause says of itself."""

    scope: str
    target: str | None
    author: str
    reason: str | None
    created_at: datetime
    ends_at: datetime | None


@attrs.frozen
class CapFacts:
    """A limit or budget of the job's account or host: ``allowed`` jobs at a time, of which ``running`` run."""

    kind: str
    scope: str
    target: str
    name: str | None
    allowed: int
    running: int
    until: datetime | None


@attrs.frozen
class Hold:
    """A host is held back as unavailable. ``next_probe_at``: None if the next job is the probe."""

    since: datetime
    next_probe_at: datetime | None


@attrs.frozen
class CrawlerFacts:
    """A connected crawler."""

    id: str
    entity_types: tuple[str, ...]
    mode: str
    room: int
    suspected: bool


@attrs.frozen
class Facts:
    """All that is needed. ``ahead``: jobs of its account before it; ``accounts``: those with jobs that are due."""

    job: JobFacts
    holder: HolderFacts | None
    pauses: Pauses
    described: Mapping[str, PauseFacts]
    """By the pause's id."""
    held_since: datetime | None
    next_probe_at: datetime | None
    caps: Sequence[CapFacts]
    crawlers: Sequence[CrawlerFacts]
    ahead: int = 0
    accounts: int = 0


@attrs.frozen
class Reason:
    """One reason: ``code``, a clause for people, and ``details`` for programs."""

    code: str
    text: str
    details: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Why:
    """``sentence`` for people; ``reasons``: those that hold at the same time, the first ones weigh most."""

    sentence: str
    reasons: Sequence[Reason]


def explain(facts: Facts) -> Why:
    """Why the job of *facts* is in its state, or does not run."""
    job = facts.job
    status = Status(job.status)
    if status in TERMINAL:
        return _only(_finished(job))
    if status in HELD:
        return _only(_holding(facts))
    reasons = [*_own(job), *_held_back(facts), *unserved(job.command, facts.crawlers)]
    if not reasons:
        reasons = [_turn(facts)]
    texts = "; ".join(reason.text for reason in reasons)
    return Why(f"The job {_VERBS[status]}: {texts}.", reasons)


def lane_held(facts: Facts) -> list[Reason]:
    """What holds back a whole lane, for which the job of *facts* stands; see also :func:`unserved`."""
    return [*_own(facts.job), *_held_back(facts)]


_VERBS = {
    Status.QUEUED: "is queued",
    Status.PAUSED: "is paused",
    Status.WAITING_CREDENTIAL: "waits for a credential",
}


def _only(reason: Reason) -> Why:
    return Why(f"The job {reason.text}.", [reason])


def _finished(job: JobFacts) -> Reason:
    cause = f" ({job.cause})" if job.cause and job.cause != job.status else ""
    details = {"status": job.status, "cause": job.cause, "finished_at": job.finished_at}
    verb = {Status.COMPLETED: "was completed", Status.FAILED: "has failed", Status.CANCELLED: "was cancelled"}
    return Reason("finished", f"{verb[Status(job.status)]}{_at(job.finished_at)}{cause}", details)


def _holding(facts: Facts) -> Reason:
    holder = facts.holder
    if holder is None:
        return Reason("claimed", "is being claimed, or given back")
    heard = "was not heard since" if holder.last_heard_at is None else f"was last heard{_at(holder.last_heard_at)}"
    pausing = "; it is asked to give the job back, which is to be paused" if holder.pausing else ""
    details = {
        "crawler_id": holder.crawler,
        "assigned_at": holder.assigned_at,
        "last_heard_at": holder.last_heard_at,
        "pausing": holder.pausing,
    }
    text = f"is held by crawler {holder.crawler} since {shown_time(holder.assigned_at)}, which {heard}{pausing}"
    return Reason("assigned", text, details)


def _own(job: JobFacts) -> list[Reason]:
    """What the job itself waits for."""
    reasons = []
    if job.status == Status.PAUSED:
        reasons.append(Reason("job_paused", "it is paused on its own, until somebody resumes it"))
    if job.credential_status != "valid":
        why = f": {job.credential_error}" if job.credential_error else ""
        reasons.append(
            Reason(
                "credential",
                f"the credential of account {job.account} has expired{why}; it is to be renewed",
                {"account_id": job.account, "credential_error": job.credential_error},
            )
        )
    elif job.lacks_token:
        why = f" ({job.credential_error})" if job.credential_error else ""
        again = _at(job.next_refresh_at, "; it is requested again at") if job.credential_error else ""
        reasons.append(
            Reason(
                "token",
                f"the token of account {job.account} has expired, and a new one is awaited{why}{again}",
                {
                    "account_id": job.account,
                    "credential_error": job.credential_error,
                    "next_refresh_at": job.next_refresh_at,
                },
            )
        )
    if job.due_in > 0:
        after = f" after {job.cause}" if job.cause else ""
        reasons.append(
            Reason(
                "delayed",
                f"it is due{_at(job.scheduled_at)}{after}",
                {"scheduled_at": job.scheduled_at, "cause": job.cause},
            )
        )
    return reasons


def _held_back(facts: Facts) -> list[Reason]:
    """What holds back others, too."""
    job = facts.job
    work = Work(job.account, job.host, job.command, job.full_path)
    hold = None if facts.held_since is None else Hold(facts.held_since, facts.next_probe_at)
    return held_back(work, facts.pauses, facts.described, hold, facts.caps, marked=job.marked)


def held_back(
    work: Work,
    pauses: Pauses,
    described: Mapping[str, PauseFacts],
    hold: Hold | None,
    caps: Sequence[CapFacts],
    *,
    marked: bool = False,
) -> list[Reason]:
    """The pauses, the hold of its host, and the limits and budgets that keep *work* back. *described*: by pause.

    *marked*: it has the mark of a pause of its path, which may have ended.
    """
    reasons = []
    for pause in pauses.all_covering(work):
        told = described[pause.id]
        path = f"{told.target} with all below it"
        covered = path if told.scope == Scope.PATH_PREFIX else f"{told.scope} {told.target or ''}".rstrip()
        why = f' ("{told.reason}")' if told.reason else ""
        until = f"until {shown_time(told.ends_at)}" if told.ends_at else "until somebody ends it"
        text = f"{covered} is paused by {told.author}{why} since {shown_time(told.created_at)} {until}"
        reasons.append(Reason("paused", text, {"pause_id": pause.id, **attrs.asdict(told)}))
    if marked and not any(reason.details["scope"] == Scope.PATH_PREFIX for reason in reasons):
        reasons.append(Reason("resuming", "the pause of its path has ended; its jobs are let go in slices"))
    if hold is not None:
        text = f"{work.host} has been held back as unavailable since {shown_time(hold.since)}, and is probed"
        text += _at(hold.next_probe_at) if hold.next_probe_at else " by the next job"
        details = {"origin": work.host, "held_since": hold.since, "next_probe_at": hold.next_probe_at}
        reasons.append(Reason("host_held", text, details))
    for cap in caps:
        if cap.running >= cap.allowed:
            reasons.append(_full(cap))
    return reasons


def _full(cap: CapFacts) -> Reason:
    whose = f"{cap.scope} {cap.target}"
    details = attrs.asdict(cap)
    if cap.kind == "limit":
        return Reason("limit", f"{whose} has {_count(cap.running, 'running job')} of {cap.allowed} allowed", details)
    of = f"the budget of requests of {whose}" + (f" ({cap.name})" if cap.name else "")
    until = _at(cap.until, " until")
    if not cap.allowed:
        return Reason("budget", f"{of} is closed{until}", details)
    return Reason(
        "budget", f"{of} allows {_count(cap.allowed, 'job')} at a time{until}, and {cap.running} run", details
    )


def unserved(command: str, crawlers: Sequence[CrawlerFacts]) -> list[Reason]:
    """Why jobs with *command* find no crawler among the connected *crawlers*."""
    taking = [crawler for crawler in crawlers if command in commands_for(crawler.entity_types)]
    serving = [crawler for crawler in taking if crawler.mode == Mode.SERVING]
    suspected = sorted(crawler.id for crawler in serving) if all(each.suspected for each in serving) else []
    reasons = []
    if not taking:
        taken = {command for crawler in crawlers for command in commands_for(crawler.entity_types)}
        missing = [command for command in COMMANDS if command not in taken]
        text = f"no connected crawler takes {command}" if crawlers else "no crawler is connected"
        reasons.append(Reason("unroutable", text, {"commands": missing}))
    elif not serving:
        names = sorted(crawler.id for crawler in taking)
        text = f"the crawlers that take {command} are drained or quarantined: {', '.join(names)}"
        reasons.append(Reason("no_serving_crawler", text, {"crawler_ids": names}))
    if suspected:
        text = f"crawlers have failed everything recently, and may have to be quarantined: {', '.join(suspected)}"
        reasons.append(Reason("crawler_suspected", text, {"crawler_ids": suspected}))
    return reasons


def _turn(facts: Facts) -> Reason:
    """Nothing keeps it back: its turn comes."""
    job = facts.job
    free = sum(
        max(crawler.room, 0)
        for crawler in facts.crawlers
        if crawler.mode == Mode.SERVING and job.command in commands_for(crawler.entity_types)
    )
    ahead = f"more than {MOST_AHEAD} jobs" if facts.ahead > MOST_AHEAD else _count(facts.ahead, "job")
    others = max(facts.accounts - 1, 0)
    turns = f", whose turns alternate with those of {_count(others, 'other account')}" if others else ""
    room = "crawlers that take it have room" if free else "every crawler that takes it is busy"
    text = f"its turn comes after {ahead} of account {job.account}{turns}; {room}"
    return Reason("turn", text, {"ahead": facts.ahead, "accounts": facts.accounts, "room": free})


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _at(time: datetime | None, words: str = " at") -> str:
    return "" if time is None else f"{words} {shown_time(time)}"


def shown_time(time: datetime) -> str:
    """*time* in a sentence."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
