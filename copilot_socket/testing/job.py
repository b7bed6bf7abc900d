"""A job of the server for tests, as a test sees it."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from copilot_socket.core import transitions
from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import ENTITY_TYPES, HELD, Event, Status
from copilot_socket.core.replies import Job as Sent
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.trouble import NO_TROUBLE, End, Trouble


class Desk(Protocol):
    """The server, as its jobs see it."""

    def wait(self, condition: Callable[[], Any], what: str, timeout: float) -> None:
        """Wait until *condition* returns something true."""

    def do(self, change: Callable[[Any], Any]) -> Any:
        """Have the rules changed."""


@attrs.define(eq=False)
class Job:
    """What was submitted, and what has become of it."""

    id: str
    command: str
    entity_id: str
    full_path: str | None = None
    area_type: str | None = None
    branch: str | None = None
    status: Status = Status.QUEUED
    """``queued``, ``assigned``, ``running``, ``completed``, ``failed``, ``cancelled``, ``paused`` …"""
    resume_state: dict[str, Any] | None = None
    """The last cursor that was stored."""
    progress: dict[str, Any] = attrs.field(factory=dict)
    """The fields of all reports, merged: ``processed``, ``finalCounts``, …"""
    error: str | None = None
    """Of the last failure."""
    cause: Cause | None = None
    """Why the last attempt ended."""
    attempts: int = 0
    """How many attempts have counted against the job."""
    tries: int = 0
    """How many attempts there were."""
    releases: int = 0
    delay: float = 0.0
    """Seconds that the job waits after its last attempt."""
    max_attempts: int = 3
    assignment: str | None = None
    """The id of the present attempt, which its crawler knows as the job's."""
    outcomes: list[str] = attrs.field(factory=list)
    """How its attempts have ended, in order."""
    pausing: bool = False
    """Its crawler was asked to give it back."""
    reported: bool = False
    """Whether anything was reported on the present attempt."""
    token: str = attrs.field(default="", repr=False)
    """The token that its crawler was given last."""
    token_refused: bool = False
    spawned_by: "Job | None" = attrs.field(default=None, repr=False)
    trouble: Trouble = attrs.field(default=NO_TROUBLE, repr=False)
    desk: Desk | None = attrs.field(default=None, repr=False)

    @property
    def entity_type(self) -> str:
        """What crawlers know of the command."""
        return ENTITY_TYPES[self.command]

    @property
    def counts(self) -> dict[str, Any]:
        """The final counts of a completed job."""
        counts: dict[str, Any] = self.progress.get("finalCounts", {})
        return counts

    @property
    def held(self) -> bool:
        """Whether a crawler has it."""
        return self.status in HELD

    def wait(self, *statuses: str, timeout: float = 10.0) -> "Job":
        """Wait until the job has one of *statuses*; returns it. Raises ``AssertionError`` after *timeout* seconds."""
        assert self.desk is not None
        self.desk.wait(lambda: self.status in statuses, f"{self} is {' or '.join(statuses)}", timeout)
        return self

    def cancel(self) -> None:
        """Cancel it, as a person would."""
        assert self.desk is not None
        self.desk.do(lambda rules: rules.cancel(self))

    def pause(self) -> None:
        """Pause it: its crawler is asked to give it back."""
        assert self.desk is not None
        self.desk.do(lambda rules: rules.pause(self))

    def resume(self) -> None:
        """Resume it."""
        assert self.desk is not None
        self.desk.do(lambda rules: rules.resume(self))

    # -- called by the rules

    def sent(self, gitlab_url: str) -> Sent:
        """The job as it goes over the wire."""
        assert self.assignment is not None
        return Sent(
            id=self.assignment,
            entity_type=self.entity_type,
            entity_id=self.entity_id,
            gitlab_url=gitlab_url,
            access_token=self.token,
            command=self.command,
            try_=self.tries,
            resume_state=self.resume_state,
            full_path=self.full_path,
            area_type=self.area_type,
            branch=self.branch,
        )

    def apply(self, event: Event, now: float, policy: RetryPolicy, end: End | None = None) -> bool:
        """Change the state as the server does; whether the event was allowed."""
        state = transitions.Job(
            self.status,
            self.attempts,
            self.max_attempts,
            self.releases,
            credential_refused=self.token_refused,
            pausing=self.pausing,
            trouble=self.trouble,
            now=now,
        )
        change = transitions.decide(state, event, policy, 0.5, end)
        if isinstance(change, transitions.Refusal):
            return False
        self.status, self.attempts, self.releases = change.status, change.attempts, change.releases
        self.delay, self.trouble = change.delay, change.trouble
        if change.outcome is not None:
            self.outcomes.append(str(change.outcome))
            self.cause, self.assignment, self.pausing, self.token_refused = change.cause, None, False, False
        return True


def new_job(
    command: str, full_path: str | None, entity_id: str | None, cursor: Mapping[str, Any] | None, **more: Any
) -> Job:
    """A job to be added. *command* may be an entity type instead. Raises ``ValueError``."""
    commands = {**{entity: name for name, entity in ENTITY_TYPES.items()}, **{name: name for name in ENTITY_TYPES}}
    if command not in commands:
        raise ValueError(f"there is no command {command!r}: use one of {', '.join(ENTITY_TYPES)}")
    state = None if cursor is None else dict(cursor)
    job_id = f"job{secrets.token_hex(4)}"
    return Job(job_id, commands[command], entity_id or full_path or "acme", full_path, resume_state=state, **more)
