"""Who is connected to this node: crawlers, their connections, what they hold and what they asked for.

Liveness, leases and room belong to the crawler, never to a connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
from twisted.internet.defer import DeferredLock

from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Reply
from copilot_socket.handlers.activity import SMALL, Activity, activity_of


class Link(Protocol):
    """What the handlers need of a connection."""

    id: str
    crawler: "Crawler"
    capabilities: frozenset[str]
    opened_at: float
    awaited_since: float
    """When its first message began to be waited for, in seconds of the reading clock."""
    spoken: bool
    """Whether a valid message has come over it."""
    requests: int
    """How many ``job_request``s have come over it."""

    @property
    def held_back(self) -> bool:
        """Whether the node does not read from it, so that it may have sent something that is not known yet."""

    def push(self, reply: Reply) -> None:
        """Send *reply* now, ahead of answers that wait for a commit."""

    def close(self, reason: str) -> None:
        """End the connection once all that was sent is out."""


def name_of(key: str) -> str:
    """What people are shown for the crawler with identity *key*, everywhere: its ``crawlerId``, or else its process.

    Where the process can't be told, it is the connection.
    """
    kind, _, rest = key.partition(":")
    if kind != "pid":
        return rest if kind == "hello" else f"{kind} {rest}"
    _boot, _namespace, pid, _start_time, uid = rest.rsplit(":", 4)
    return f"pid {pid} (uid {uid})"


@attrs.define
class Held:
    """An assignment that the crawler holds, as far as is known here. ``sent_at`` in reactor seconds, or not yet."""

    sent_at: float | None
    reported: bool
    waits: bool = False
    """It is claimed and not sent yet: for a token, perhaps."""
    over: bool = False
    """Its end is committed, which the crawler is about to be told."""
    token: str = attrs.field(default="", repr=False)
    """The token that it was given, if that was here: no report may repeat it."""


@attrs.define(eq=False)
class Crawler:
    """A crawler with at least one connection to this node, or that had one a moment ago."""

    key: str
    crawler_id: str
    plain: bool
    max_jobs: int
    entity_types: tuple[str, ...]
    last_seen: float = 0.0
    """In seconds of the reading clock (:mod:`copilot_socket.core.reading_clock`)."""
    present: bool = False
    """It has spoken and is not silent: its lease is being renewed."""
    silent_since: float | None = None
    links: list[Link] = attrs.field(factory=list)
    held: dict[str, Held] = attrs.field(factory=dict)
    fenced: set[str] = attrs.field(factory=set)
    """Assignments whose attempts were ended here while a plain crawler was at work on them, as it may be still."""
    asked_on: Link | None = None
    """The connection over which it last asked for work."""
    asked: int = 0
    """How often it has asked."""
    sent_at: float = 0.0
    reported_since_request: bool = False
    _heartbeat: Message | Activity | None = None
    """The last one; a small one is encoded only when it is read."""
    arriving: int = 0
    """Arrivals and hellos under way: meanwhile it is not known what it holds."""
    held_lock: DeferredLock = attrs.field(factory=DeferredLock)
    """Serialises reading what it holds and releasing it: an older answer must not undo what a newer one led to."""
    adopting: int = 0
    """How many of its reports that are under way name assignments which it was not known to hold."""
    last_change: int = 0
    """The number, as of :meth:`begin`, of the last report that may change what it holds."""
    _over: int = 0
    """How many of those that it holds are over."""
    _begun: int = 0
    _under_way: OrderedDict[int, None] = attrs.field(factory=OrderedDict)
    """What is on its way to the database, in the order in which it began; the oldest is taken out in no time."""
    _settling: deque[tuple[int, Callable[[], None]]] = attrs.field(factory=deque)

    @property
    def room(self) -> int:
        """How many more jobs it may be given."""
        return self.max_jobs - len(self.held) + self._over - len(self.fenced)

    def hear_heartbeat(self, message: Message) -> None:
        """Replace the activity by that of the heartbeat *message*."""
        self._heartbeat = message if message.size <= SMALL else activity_of(message)

    @property
    def activity(self) -> Activity | None:
        """That of its last heartbeat, if there was one."""
        if isinstance(self._heartbeat, Message):
            self._heartbeat = activity_of(self._heartbeat)
        return self._heartbeat

    # -- what it holds

    def hold(self, held: dict[str, Held]) -> None:
        """It holds *held*, and nothing else."""
        self.held = held
        self._over = sum(each.over for each in held.values())

    def over(self, assignment: str) -> None:
        """That *assignment* has ended is committed, which makes room."""
        held = self.held.get(assignment)
        if held is not None and not held.over:
            held.over = True
            self._over += 1

    def drop(self, assignment: str) -> bool:
        """Forget *assignment*, which is over or another's; whether it held that."""
        held = self.held.pop(assignment, None)
        if held is not None and held.over:
            self._over -= 1
        return held is not None

    def fence(self, assignment: str) -> bool:
        """Forget *assignment*, whose attempt was not ended by the crawler; whether it held that.

        One that can't be told may be at work on it still, and is given nothing else meanwhile.
        """
        held = self.held.get(assignment)
        if held is not None and self.plain and held.sent_at is not None and not held.over:
            self.fenced.add(assignment)
        return self.drop(assignment)

    # -- what is on its way to the database

    @property
    def pending(self) -> int:
        """How many reports and arrivals are not committed yet."""
        return len(self._under_way)

    @property
    def sure(self) -> bool:
        """Whether nothing that it has said so far can change what it holds."""
        if not self._under_way:
            return True
        return not self.arriving and next(iter(self._under_way)) > self.last_change

    def begin(self) -> int:
        """Something that bears on what it holds is on its way to the database; a number for :meth:`end`."""
        self._begun += 1
        self._under_way[self._begun] = None
        return self._begun

    def end(self, number: int) -> None:
        """And has arrived there; it may have overtaken what began before it."""
        del self._under_way[number]
        while self._settling and self._settling[0][0] < next(iter(self._under_way), self._begun + 1):
            self._settling.popleft()[1]()

    def when_settled(self, work: Callable[[], None]) -> None:
        """Call *work* once everything that it has said so far is committed, whatever it says later; now, if it is."""
        if self._under_way:
            self._settling.append((self._begun, work))
        else:
            work()


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
        """The ``crawler_id`` of the crawler with identity *key*, whether it is still here or not."""
        return name_of(key)

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
        """Forget *assignment*, whose attempt was ended; the crawler that held it here."""
        for crawler in self._crawlers.values():
            if crawler.fence(assignment):
                return crawler
        return None
