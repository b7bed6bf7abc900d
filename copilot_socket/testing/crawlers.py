"""Crawlers, as the server for tests knows them."""

from typing import Protocol

import attrs

from copilot_socket.core.jobs import PLAIN_ENTITY_TYPES
from copilot_socket.core.replies import Reply
from copilot_socket.testing.job import Job


class Link(Protocol):
    """A connection, as the rules see it."""

    id: str
    crawler: "Crawler | None"
    capabilities: frozenset[str]
    requested: bool
    """Whether it has brought a ``job_request``."""
    leaving: bool
    """Whether its crawler was asked to exit."""

    def push(self, reply: Reply) -> None:
        """Send *reply*."""


@attrs.define(eq=False)
class Crawler:
    """Whoever said one ``hello``, perhaps over several connections; each plain connection is one."""

    name: str
    plain: bool
    max_jobs: int
    entity_types: tuple[str, ...] = PLAIN_ENTITY_TYPES
    links: list[Link] = attrs.field(factory=list)
    held: list[Job] = attrs.field(factory=list)
    wanted: int = 0
    """The limit of its request that waits."""
    asked: Link | None = None
    """Where its last request was made."""
    gone_at: float | None = None
    """When its last connection ended."""

    @property
    def commands(self) -> bool:
        """Whether it understands commands on jobs."""
        return any("commands" in link.capabilities for link in self.links)
