"""The jobs that a crawler holds, from their arrival to the answer to their last report. Pure."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import attrs

from copilot_socket.client.problems import JobGone, Reason
from copilot_socket.client.rate_limits import RateLimits


@attrs.define(eq=False)
class Assignment:
    """One attempt of a job. It is *over* once its last report is made."""

    id: str
    entity_type: str
    entity_id: str
    started: bool = False
    over: bool = False
    stopping: Reason | None = None
    """Why it is to be given back."""
    processed: int = 0
    cursor: Mapping[str, Any] | None = None
    """The last one that this attempt has reported."""
    rate_limits: RateLimits = attrs.field(factory=RateLimits)

    def progressed(self, data: Mapping[str, Any]) -> None:
        """Note what a ``job_progress`` says. The cursor is copied: its owner may go on to change it."""
        self.processed = data["processed"]
        self.cursor = deepcopy(data.get("resumeState", self.cursor))


class Assignments:
    """The assignments by their ids."""

    def __init__(self) -> None:
        self._held: dict[str, Assignment] = {}
        self._processed = 0

    def __iter__(self) -> Iterator[Assignment]:
        return iter(list(self._held.values()))

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    @property
    def active(self) -> int:
        """How many are not over."""
        return sum(not each.over for each in self._held.values())

    @property
    def waiting(self) -> int:
        """How many have not been started."""
        return sum(not each.started and not each.over for each in self._held.values())

    @property
    def processed(self) -> int:
        """Entities processed so far, by jobs that are over and jobs that run."""
        return self._processed + sum(each.processed for each in self._held.values())

    @property
    def status(self) -> str:
        """The heartbeat's ``systemStatus``."""
        types = [each.entity_type for each in self._held.values() if each.started and not each.over]
        if not types:
            return "idle"
        return "discovering" if "areas" in types else "crawling"

    def add(self, fields: Mapping[str, Any]) -> Assignment:
        """Hold the job of a ``job_response``."""
        assignment = Assignment(fields["id"], fields["entityType"], fields["entityId"])
        self._held[assignment.id] = assignment
        return assignment

    def get(self, job_id: str) -> Assignment | None:
        """The assignment with this id."""
        return self._held.get(job_id)

    def runs(self, job_id: str) -> bool:
        """Whether the assignment with this id can be reported on."""
        return job_id in self._held and not self._held[job_id].over

    def running(self, job_id: str) -> Assignment:
        """The assignment with this id, which can be reported on. Raises :class:`JobGone`."""
        if not self.runs(job_id):
            raise JobGone("stale_assignment", "the job is over, or no longer assigned to this crawler")
        return self._held[job_id]

    def forget(self, job_id: str) -> Assignment | None:
        """It is no longer held."""
        assignment = self._held.pop(job_id, None)
        if assignment is not None:
            self._processed += assignment.processed
        return assignment
