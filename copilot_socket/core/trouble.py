"""What has gone wrong with a job so far: when a cause that spends no attempt is taken for a fault of the job.

An outage of GitLab costs nobody a job, and a job that only pretends to meet one must not run for ever. Both are
decided here, from the job's own history (docs/protocol.md, "Causes").
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from attrs import evolve

from copilot_socket.core.ends import SPENDING, Cause
from copilot_socket.core.retry import RetryPolicy

MOST_ALONE = 5
"""Times that a job may find GitLab unavailable while other jobs of its host succeed."""
MOST_WAITING = 86_400.0
"""Seconds that a job may find GitLab unavailable, or be asked to wait."""
MOST_INFERRED = 10
"""Causes in a row that may be inferred."""
MOST_REFUSED = 3
"""Fresh tokens in a row that may be refused for a job."""
MOST_LOST = 3
"""Crawlers that may be lost at one cursor of a job."""
APART = 60.0
"""Seconds: a crawler that is lost so near to another one, or to a node's start or stop, says nothing of its job."""


@attrs.frozen
class Trouble:
    """The counters, each of ends in a row. Kept with the job until it completes or is retried by hand."""

    waits: int = 0
    """``gitlab_unavailable`` and ``rate_limited``."""
    waiting_since: float | None = None
    """When the first of these was; in seconds since the epoch, by the database."""
    alone: int = 0
    """``gitlab_unavailable`` while other jobs of the host succeeded."""
    inferred: int = 0
    """Ends whose cause the crawler did not name."""
    credential: int = 0
    """``credential``, each with another token."""
    token_generation: int | None = None
    """The token of the last one of these."""
    cursor: str | None = None
    """The cursor at which crawlers were lost."""
    lost: tuple[tuple[str, float], ...] = ()
    """The crawlers lost there, each once, and when."""

    def to_json(self) -> dict[str, Any] | None:
        """As stored: what differs from a job without trouble, None where nothing does."""
        return attrs.asdict(self, filter=lambda field, value: value != field.default) or None

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> "Trouble":
        """What :meth:`to_json` has made; what it can't have made, as another program may write it, is left out."""
        if stored is None:
            return NO_TROUBLE
        try:
            return cls(
                **{
                    field.name: _READ[field.name](stored[field.name])
                    for field in attrs.fields(cls)
                    if field.name in stored
                }
            )
        except (ValueError, TypeError, OverflowError):
            return NO_TROUBLE


NO_TROUBLE = Trouble()


def _natural(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 10**9:
        raise ValueError
    return value


def _lost(value: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(crawler), float(at)) for crawler, at in value)[-2 * MOST_LOST :]


_READ: Mapping[str, Callable[[Any], Any]] = {
    "waits": _natural,
    "waiting_since": float,
    "alone": _natural,
    "inferred": _natural,
    "credential": _natural,
    "token_generation": _natural,
    "cursor": str,
    "lost": _lost,
}


@attrs.frozen
class End:
    """The end of an attempt: its cause, and what bears on how that is taken.

    ``retry_after``: seconds that GitLab or the crawler asked to wait. ``others_succeed``: other jobs of the same host
    have succeeded during the attempt. ``host_held``: its host was held back. ``token_generation``: which token of the
    account the crawler had. ``crawler`` and ``cursor`` are of a crawler that was lost while it reported on the job;
    ``disturbances`` as in :func:`poisonous`.
    """

    cause: Cause
    inferred: bool = False
    retry_after: float | None = None
    others_succeed: bool = False
    host_held: bool = False
    token_generation: int | None = None
    crawler: str | None = None
    cursor: str | None = None
    disturbances: tuple[tuple[str, float], ...] = ()


@attrs.frozen
class Judgement:
    """The cause as it is taken, the job's trouble from now on, and the seconds that the job waits at least."""

    cause: Cause
    trouble: Trouble
    delay: float = 0.0


def judge(end: End, trouble: Trouble, policy: RetryPolicy, jitter: float, now: float) -> Judgement:
    """What *end* means for a job with *trouble*. *now* in seconds since the epoch, *jitter* in [0, 1)."""
    counted = _counted(end, trouble, now)
    cause = end.cause
    if cause in SPENDING or _too_often(counted, cause, now):
        return Judgement(cause if cause in SPENDING else Cause.JOB_ERROR, counted)
    delay = 0.0
    if cause in (Cause.GITLAB_UNAVAILABLE, Cause.RATE_LIMITED):
        delay = max(policy.while_unavailable(counted.waits, jitter), end.retry_after or 0.0)
    return Judgement(cause, counted, delay)


def lose(trouble: Trouble, crawler: str, cursor: str, now: float) -> Trouble:
    """The job's *trouble* after *crawler*, which reported on it, was lost at *cursor*. A new cursor counts afresh."""
    before = trouble.lost if trouble.cursor == cursor else ()
    lost = tuple(each for each in before if each[0] != crawler)
    return evolve(trouble, cursor=cursor, lost=(*lost, (crawler, now))[-2 * MOST_LOST :])


def poisonous(trouble: Trouble, disturbances: Iterable[tuple[str, float]]) -> bool:
    """Whether the job is to blame for the crawlers lost with it.

    *disturbances*: when crawlers were lost, and nodes started or stopped, each with its name; times in seconds since
    the epoch. The job's own losses do not excuse it.
    """
    victims = {crawler for crawler, _ in trouble.lost}
    others = [when for name, when in disturbances if name not in victims]
    return sum(all(abs(at - when) > APART for when in others) for _crawler, at in trouble.lost) >= MOST_LOST


def _counted(end: End, trouble: Trouble, now: float) -> Trouble:
    counted = trouble
    if not end.host_held:  # a probe that fails says nothing of its job
        counted = evolve(trouble, inferred=trouble.inferred + 1 if end.inferred else 0)
    since = now if trouble.waiting_since is None else trouble.waiting_since
    match end.cause:
        case Cause.GITLAB_UNAVAILABLE:
            alone = trouble.alone + end.others_succeed
            return evolve(counted, waits=trouble.waits + 1, waiting_since=since, alone=alone, credential=0)
        case Cause.RATE_LIMITED:
            return evolve(counted, waits=trouble.waits + 1, waiting_since=since, credential=0)
        case Cause.CREDENTIAL:
            fresh = end.token_generation is None or end.token_generation != trouble.token_generation
            counted = evolve(counted, credential=trouble.credential + fresh, token_generation=end.token_generation)
            return evolve(counted, waits=0, waiting_since=None, alone=0)
    return evolve(counted, waits=0, waiting_since=None, alone=0, credential=0)


def _too_often(trouble: Trouble, cause: Cause, now: float) -> bool:
    if trouble.inferred >= MOST_INFERRED:
        return True
    waited = 0.0 if trouble.waiting_since is None else now - trouble.waiting_since
    match cause:
        case Cause.GITLAB_UNAVAILABLE:
            return trouble.alone >= MOST_ALONE or waited >= MOST_WAITING
        case Cause.RATE_LIMITED:
            return waited >= MOST_WAITING
        case Cause.CREDENTIAL:
            return trouble.credential >= MOST_REFUSED
    return False
