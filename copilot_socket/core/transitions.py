"""The state machine of jobs (docs/protocol.md, "The life of a job").

The store applies the transitions of :func:`decide`; its fast path for reports (started, progress, completed) is
written in SQL, and a test compares it with this module cell by cell.
"""

from collections.abc import Callable, Mapping

import attrs
from attrs import evolve

from copilot_socket.core.ends import SPENDING, Cause
from copilot_socket.core.jobs import HELD, TERMINAL, Event, Outcome, Status
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.trouble import NO_TROUBLE, End, Trouble, judge, lose, poisonous


@attrs.frozen
class Job:
    """The state that transitions depend on."""

    status: Status
    attempts: int = 0
    max_attempts: int = 3
    releases: int = 0
    credential_refused: bool = False
    """Its crawler requested a new token and was refused one."""
    credential_valid: bool = False
    """The account's credential works (again)."""
    pausing: bool = False
    """Its crawler was asked to pause it: it is not queued again before it is resumed."""
    trouble: Trouble = NO_TROUBLE
    now: float = 0.0
    """Seconds since the epoch, by the database's clock."""


@attrs.frozen
class Transition:
    """The new state of a job. ``delay``: seconds until it may be claimed again; an ``outcome`` ends the attempt.

    ``cause``: why the attempt, or the job, ended.
    """

    status: Status
    attempts: int
    releases: int
    delay: float = 0.0
    outcome: Outcome | None = None
    resolution: str | None = None
    cause: Cause | None = None
    trouble: Trouble = NO_TROUBLE


@attrs.frozen
class Refusal:
    """The event is not allowed in this state; nothing changes."""

    status: Status
    event: Event

    def __str__(self) -> str:
        return f"{self.event} is not allowed: the job is {self.status}"


def decide(
    job: Job, event: Event, policy: RetryPolicy, jitter: float, end: End | None = None
) -> Transition | Refusal:
    """The transition that *event* causes in *job*; *jitter* in [0, 1) places a back-off within its range.

    *end* says more of an event that ends an attempt.
    """
    if job.status not in _ALLOWED[event]:
        return Refusal(job.status, event)
    transition = _RULES[event](job, policy, jitter, end or End(_CAUSES.get(event, Cause.RELEASED)))
    if job.pausing and transition.status in (Status.QUEUED, Status.WAITING_CREDENTIAL):
        return evolve(transition, status=Status.PAUSED)
    return transition


def _to(job: Job, status: Status, outcome: Outcome | None = None, cause: Cause | None = None) -> Transition:
    return Transition(status, job.attempts, job.releases, 0.0, outcome, None, cause, job.trouble)


def _failed(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    return _judged(job, policy, jitter, end, recoverable=True)


def _failed_for_good(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    return _judged(job, policy, jitter, end, recoverable=False)


def _judged(job: Job, policy: RetryPolicy, jitter: float, end: End, *, recoverable: bool) -> Transition:
    """A failure spends an attempt, unless its cause is none of the job's doing, whatever its crawler thinks of it."""
    if job.credential_refused:
        return _no_credential(job, policy, jitter, end)
    judgement = judge(end, job.trouble, policy, jitter, job.now)
    if judgement.cause in SPENDING:
        job = evolve(job, trouble=judgement.trouble)
        return _spend(job, policy, jitter, Outcome.FAILED, judgement.cause, recoverable=recoverable)
    resolution = f"queued again, no attempt spent: {judgement.cause}"
    return Transition(
        Status.QUEUED,
        job.attempts,
        job.releases,
        judgement.delay,
        Outcome.FAILED,
        resolution,
        judgement.cause,
        judgement.trouble,
    )


def _timed_out(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    if job.credential_refused:
        return _no_credential(job, policy, jitter, end)
    return _spend(job, policy, jitter, Outcome.TIMED_OUT, Cause.TIMED_OUT)


def _spend(
    job: Job, policy: RetryPolicy, jitter: float, outcome: Outcome, cause: Cause, *, recoverable: bool = True
) -> Transition:
    attempts = job.attempts + 1
    if not recoverable or attempts >= job.max_attempts:
        why = "no attempts left" if recoverable else "not recoverable"
        return Transition(
            Status.FAILED, attempts, job.releases, 0.0, outcome, f"dead letter: {why}", cause, job.trouble
        )
    delay = policy.after_failure(attempts, jitter)
    resolution = f"queued again, attempt {attempts + 1} of {job.max_attempts}"
    return Transition(Status.QUEUED, attempts, job.releases, delay, outcome, resolution, cause, job.trouble)


def _incomplete(job: Job, _policy: RetryPolicy, _jitter: float, _end: End) -> Transition:
    """Final: another attempt would have the same discovery refused, until someone raises the limit."""
    resolution = "dead letter: a discovery was refused"
    return Transition(
        Status.FAILED, job.attempts + 1, job.releases, 0.0, Outcome.FAILED, resolution, Cause.JOB_ERROR, job.trouble
    )


def _given_back(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    """``job_released``: spends no attempt; without a reason of the crawler's own it counts as a release."""
    if end.cause is Cause.RELEASED:
        return evolve(_release(job, policy, jitter, end), outcome=Outcome.GIVEN_BACK)
    if end.cause is Cause.RATE_LIMITED:
        judgement = judge(end, job.trouble, policy, jitter, job.now)
        trouble, delay = judgement.trouble, judgement.delay
    else:  # none after the first, as for releases; but who gives everything back must not spin
        trouble = evolve(job.trouble, waits=job.trouble.waits + 1)
        delay = 0.0 if job.pausing else policy.after_release(trouble.waits, jitter)
    given_back = _to(job, Status.QUEUED, Outcome.GIVEN_BACK, end.cause)
    return evolve(given_back, delay=max(delay, end.retry_after or 0.0), trouble=trouble)


def _released(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    """Losing its crawler spends no attempt, but the number of releases is limited, and crawlers are protected."""
    if job.credential_refused:
        return _no_credential(job, policy, jitter, end)
    trouble = job.trouble
    if end.crawler is not None and end.cursor is not None:
        trouble = lose(trouble, end.crawler, end.cursor, job.now)
        if poisonous(trouble, end.disturbances):
            resolution = f"quarantined: {len(trouble.lost)} crawlers were lost while they worked on it, at one cursor"
            return Transition(
                Status.FAILED,
                job.attempts,
                job.releases + 1,
                0.0,
                Outcome.RELEASED,
                resolution,
                Cause.POISON,
                trouble,
            )
    return _release(evolve(job, trouble=trouble), policy, jitter, end)


def _release(job: Job, policy: RetryPolicy, jitter: float, end: End) -> Transition:
    releases = job.releases + 1
    done = evolve(_to(job, Status.QUEUED, Outcome.RELEASED, end.cause), releases=releases)
    if releases >= policy.max_releases:
        return evolve(done, status=Status.FAILED, resolution=f"dead letter: released {releases} times")
    return evolve(done, delay=max(policy.after_release(releases, jitter), end.retry_after or 0.0))


def _put_off(job: Job, policy: RetryPolicy, _jitter: float, end: End) -> Transition:
    """Something that all such jobs need, such as a token, is temporarily unavailable."""
    delay = max(policy.base, policy.put_off)
    return evolve(_to(job, Status.QUEUED, Outcome.RETURNED, end.cause), delay=delay)


def _no_credential(job: Job, _policy: RetryPolicy, _jitter: float, _end: End) -> Transition:
    """Wait for the credential to be renewed, unless it was already, while the crawler still had the old token."""
    if job.credential_valid:
        return _to(job, Status.QUEUED, Outcome.CREDENTIAL, Cause.CREDENTIAL)
    waiting = _to(job, Status.WAITING_CREDENTIAL, Outcome.CREDENTIAL, Cause.CREDENTIAL)
    return evolve(waiting, resolution="waits until the account's credential is renewed")


def _recovered(job: Job, _policy: RetryPolicy, _jitter: float, _end: End) -> Transition:
    """Somebody takes a stuck job from its crawler: it is due at once, and nothing is counted."""
    return _to(job, Status.QUEUED, Outcome.RELEASED, Cause.STUCK)


def _paused(job: Job, _policy: RetryPolicy, _jitter: float, _end: End) -> Transition:
    """A job that a crawler holds is taken from it, with its cursor."""
    held = job.status in HELD
    return _to(job, Status.PAUSED, Outcome.RELEASED if held else None, Cause.PAUSED if held else None)


def _cancelled(job: Job, _policy: RetryPolicy, _jitter: float, _end: End) -> Transition:
    return _to(job, Status.CANCELLED, Outcome.CANCELLED if job.status in HELD else None, Cause.CANCELLED)


_LIVE = frozenset(Status) - TERMINAL

_ALLOWED: Mapping[Event, frozenset[Status]] = {
    Event.STARTED: HELD,
    Event.PROGRESSED: HELD,
    Event.COMPLETED: HELD,
    Event.FAILED: HELD,
    Event.FAILED_FOR_GOOD: HELD,
    Event.INCOMPLETE: HELD,
    Event.GIVEN_BACK: HELD,
    Event.CLAIMED: frozenset({Status.QUEUED}),
    Event.RELEASED: HELD,
    Event.RETURNED: frozenset({Status.ASSIGNED}),
    Event.PUT_OFF: frozenset({Status.ASSIGNED}),
    Event.TIMED_OUT: HELD,
    Event.NO_CREDENTIAL: HELD,
    Event.RENEWED: frozenset({Status.WAITING_CREDENTIAL}),
    Event.PAUSED: HELD | {Status.QUEUED},
    Event.RESUMED: frozenset({Status.PAUSED}),
    Event.CANCELLED: _LIVE,
    Event.RETRIED: frozenset({Status.FAILED, Status.CANCELLED}),
    Event.RECOVERED: HELD,
}

_CAUSES: Mapping[Event, Cause] = {
    Event.FAILED: Cause.JOB_ERROR,
    Event.FAILED_FOR_GOOD: Cause.JOB_ERROR,
    Event.RELEASED: Cause.CRAWLER_LOST,
    Event.PUT_OFF: Cause.CREDENTIAL,
}
"""The cause where no :class:`End` names one."""

_RULES: Mapping[Event, Callable[[Job, RetryPolicy, float, End], Transition]] = {
    Event.STARTED: lambda job, *_: _to(job, Status.RUNNING),
    Event.PROGRESSED: lambda job, *_: _to(job, job.status),
    Event.COMPLETED: lambda job, *_: evolve(
        _to(job, Status.COMPLETED, Outcome.COMPLETED, Cause.COMPLETED), trouble=NO_TROUBLE
    ),
    Event.FAILED: _failed,
    Event.FAILED_FOR_GOOD: _failed_for_good,
    Event.INCOMPLETE: _incomplete,
    Event.GIVEN_BACK: _given_back,
    Event.CLAIMED: lambda job, *_: _to(job, Status.ASSIGNED),
    Event.RELEASED: _released,
    Event.RETURNED: lambda job, _p, _j, end: _to(job, Status.QUEUED, Outcome.RETURNED, end.cause),
    Event.PUT_OFF: _put_off,
    Event.TIMED_OUT: _timed_out,
    Event.NO_CREDENTIAL: _no_credential,
    Event.RENEWED: lambda job, *_: _to(job, Status.QUEUED),
    Event.PAUSED: _paused,
    Event.RESUMED: lambda job, *_: _to(job, Status.QUEUED),
    Event.CANCELLED: _cancelled,
    Event.RETRIED: lambda *_: Transition(Status.QUEUED, 0, 0),
    Event.RECOVERED: _recovered,
}
