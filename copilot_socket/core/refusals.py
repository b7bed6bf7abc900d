"""Why a report was not applied, decided from what the database holds of the attempt that it names."""

import re

import attrs

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.reports import Completed, Failed, GivenBack, Incomplete

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ASSIGNMENT = re.compile(rf"([0-7][{_DIGITS}]{{9}})[{_DIGITS}]{{16}}\.[1-9][0-9]{{0,9}}\.[0-9a-f]{{12}}")
"""``<ULID>.<try>.<random>``; the group is the ULID's time."""


@attrs.frozen
class Known:
    """What the database holds of an attempt, by its assignment id.

    ``live``: it is under way. ``outcome``: how it ended. ``job_exists``: its job, with all its attempts, is stored.
    ``refused``: the error of a discovery of it that was refused without its crawler's knowledge.
    """

    live: bool
    outcome: str | None
    job_exists: bool
    refused: str | None = None


def refusal(change: Change, known: Known, *, now: float, max_job_age: float) -> Verdict:
    """Why *change* was not applied. *now* in seconds since the epoch, by the database's clock.

    *max_job_age*: seconds after which cleanup deletes finished jobs together with their attempts. An id in
    this server's form that was made before that may name a deleted attempt: it is stale, not unknown.
    """
    if known.live:
        return Verdict.UNAUTHORIZED
    if known.outcome is None:
        deleted = not known.job_exists and _made_before(change.assignment, now - max_job_age)
        return Verdict.STALE if deleted else Verdict.UNKNOWN
    ended = {Completed: "completed", Failed: "failed", Incomplete: "failed", GivenBack: "given_back"}.get(
        type(change.ending)
    )
    if ended == "completed" and known.refused is not None:
        ended = "failed"
    # A refused credential turns the failure that followed it into an outcome of its own.
    same = ended == known.outcome or (isinstance(change.ending, Failed) and known.outcome == "credential")
    return Verdict.REPEATED if same else Verdict.STALE


def _made_before(assignment: str, time: float) -> bool:
    """Whether *assignment* has this server's form and its job was created before *time* (seconds since the epoch)."""
    found = _ASSIGNMENT.fullmatch(assignment)
    if found is None:
        return False
    milliseconds = 0
    for digit in found[1]:
        milliseconds = milliseconds << 5 | _DIGITS.index(digit)
    return milliseconds / 1000 < time
