"""Who is connected to this node: crawlers, their connections, what they hold and what they asked for.

Liveness, leases and room belong to the crawler, never to a connection.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

import attrs

from copilot_socket.core.messages import Heartbeat, Message
from copilot_socket.core.replies import Reply


class Link(Protocol):
    """What the handlers need of a connection."""

    id: str
    crawler: "Crawler"
    capabilities: frozenset[str]
    opened_at: float
    spoken: bool
    """Whether a valid message has come over it."""
    requests: int
    """How many ``job_request``s have come over it."""

    def push(self, reply: Reply) -> None:
        """Send *reply* now, ahead of answers that wait for a commit."""

    def close(self, reason: str) -> None:
        """End the connection once all that was sent is out."""


@attrs.define
class Held:
    """An assignment that the crawler holds, as far as this node knows. ``sent_at`` in reactor seconds."""

    sent_at: float | None
    reported: bool
    ending: bool = False
    """Its end has been told, and counted as room."""


@attrs.define(eq=False)
class Crawler:
    """A crawler with at least one connection to this node, or that had one a moment ago."""

    key: str
    crawler_id: str
    plain: bool
    max_jobs: int
    entity_types: tuple[str, ...]
    last_seen: float = 0.0
    """In seconds of attention (:mod:`copilot_socket.core.attention`)."""
    present: bool = False
    """It has spoken and is not silent: its lease is being renewed."""
    silent_since: float | None = None
    links: list[Link] = attrs.field(factory=list)
    held: dict[str, Held] = attrs.field(factory=dict)
    reserved: int = 0
    """Jobs claimed for it that are not sent yet."""
    asking: int = 0
    """Jobs that it has asked for by a request which waits until its reports are stored."""
    offered: bool = False
    """It stands by for a job that is being stored."""
    prompt: bool = False
    """It asks for the next job as soon as one has ended."""
    ended_at: float = float("-inf")
    """When its last job ended, in reactor seconds."""
    sent_at: float = 0.0
    reported_since_request: bool = False
    heartbeat: Message | None = None
    """The last one."""
    pending: int = 0
    """Reports and arrivals that are not committed yet."""
    _settling: list[Callable[[], None]] = attrs.field(factory=list)

    @property
    def room(self) -> int:
        """How many more jobs it may be given."""
        return self.max_jobs - len(self.held) - self.reserved

    @property
    def system_status(self) -> str | None:
        """How it says it is."""
        return None if self.heartbeat is None else cast(Heartbeat, self.heartbeat.data).system_status

    @property
    def activity(self) -> dict[str, object]:
        """What else it said of itself, for people."""
        if self.heartbeat is None:
            return {}
        data = cast(Heartbeat, self.heartbeat.data)
        return {
            "activeJobs": data.active_jobs,
            "totalProcessed": data.total_processed,
            "memoryUsage": data.memory_usage,
            "uptime": data.uptime,
        }

    def count_endings(self, assignments: Iterable[str]) -> int:
        """How many of *assignments* it holds, so that their end makes room; each counts once, however often told."""
        count = 0
        for name in assignments:
            held = self.held.get(name)
            if held is not None and not held.ending:
                held.ending = True
                count += 1
        return count

    def begin(self) -> None:
        """Something that bears on what it holds is on its way to the database."""
        self.pending += 1

    def end(self) -> None:
        """And has arrived there."""
        self.pending -= 1
        if self.pending == 0 and self._settling:
            settling, self._settling = self._settling, []
            for work in settling:
                work()

    def when_settled(self, work: Callable[[], None]) -> None:
        """Call *work* once everything that it has said so far is committed; now, if it is."""
        if self.pending == 0:
            work()
        else:
            self._settling.append(work)


class Registry:
    """The crawlers of this node, by identity."""

    def __init__(self) -> None:
        self._crawlers: dict[str, Crawler] = {}

    def __iter__(self) -> Iterator[Crawler]:
        return iter(list(self._crawlers.values()))

    def __len__(self) -> int:
        return len(self._crawlers)

    def get(self, key: str) -> Crawler | None:
        """The crawler with identity *key*, if it is here."""
        return self._crawlers.get(key)

    def name_of(self, key: str) -> str:
        """The ``crawler_id`` of the crawler with identity *key*; of a plain one that is not here any more, *key*."""
        crawler = self._crawlers.get(key)
        return key.removeprefix("hello:") if crawler is None else crawler.crawler_id

    def present(self) -> list[Crawler]:
        """Those whose leases this node renews."""
        return [crawler for crawler in self._crawlers.values() if crawler.present]

    def links(self) -> list[Link]:
        """All connections."""
        return [link for crawler in self._crawlers.values() for link in crawler.links]

    def join(self, link: Link, crawler: Crawler) -> Crawler:
        """Give *link* to the crawler that it speaks for: one that is here already, or *crawler*."""
        crawler = self._crawlers.setdefault(crawler.key, crawler)
        crawler.links.append(link)
        link.crawler = crawler
        return crawler

    def leave(self, link: Link) -> Crawler:
        """Take *link* from its crawler, which is forgotten when it has no other and nothing hangs on it."""
        crawler = link.crawler
        crawler.links.remove(link)
        if not crawler.links:
            self._crawlers.pop(crawler.key, None)
        return crawler

    def ended(self, assignment: str) -> Crawler | None:
        """Forget *assignment*, which is over; the crawler that held it here."""
        for crawler in self._crawlers.values():
            if crawler.held.pop(assignment, None) is not None:
                return crawler
        return None
