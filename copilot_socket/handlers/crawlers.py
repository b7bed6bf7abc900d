"""The crawlers of this node: their connections, the assignments that they hold, and their state.

Liveness, leases and room belong to the crawler, never to a connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
from twisted.internet.defer import DeferredLock

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.identity import Identity
from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Reply
from copilot_socket.handlers.activity import SMALL, Activity, activity_of


class Link(Protocol):
    """A connection, as the handlers use it."""

    id: str
    crawler: "Crawler"
    capabilities: frozenset[str]
    opened_at: float
    awaited_since: float
    """Since when its first message has been awaited, in seconds of the reading clock."""
    spoken: bool
    """Whether it has received a valid message."""
    admitted: bool
    """Whether its crawler may do anything at all."""
    identity: Identity
    """Who is at the other end."""
    requests: int
    """How many ``job_request``s it has received."""

    @property
    def held_back(self) -> bool:
        """Whether the node does not read from it: there may be messages that are not read yet."""

    def enter(self) -> bool:
        """Serve its crawler, which is admitted; False if the connection is one too many, and is being refused."""

    def push(self, reply: Reply) -> None:
        """Send *reply* now, ahead of answers that wait for a commit."""

    def close(self, reason: str) -> None:
        """Close the connection, for *reason*, once its output is sent."""


@attrs.define
class Held:
    """An assignment that the crawler holds. ``sent_at`` in reactor seconds; None unless this node has sent it."""

    sent_at: float | None
    reported: bool
    waits: bool = False
    """It is claimed but not sent yet; it may wait for a token."""
    over: bool = False
    """Its end is committed; the acknowledgement is not sent yet."""
    token: str = attrs.field(default="", repr=False)
    """The access token sent with it, where this node has it; masked in its reports."""

    def sent_before(self, time: float) -> bool:
        """Whether the crawler may have received it before *time*, in reactor seconds."""
        return not self.waits and (self.sent_at is None or self.sent_at < time)


@attrs.define(eq=False)
class Crawler:
    """A crawler with at least one connection to this node, or whose last one has just closed."""

    key: str
    crawler_id: str
    plain: bool
    max_jobs: int
    entity_types: tuple[str, ...]
    last_seen: float = 0.0
    """In seconds of the reading clock (:mod:`copilot_socket.core.reading_clock`)."""
    version: str | None = None
    """What its last ``hello`` said."""
    mode: Mode = Mode.SERVING
    """Whether it may be given work."""
    present: bool = False
    """It has sent a valid message and is not silent: its lease is being renewed."""
    silent_since: float | None = None
    links: list[Link] = attrs.field(factory=list)
    held: dict[str, Held] = attrs.field(factory=dict)
    fenced: set[str] = attrs.field(factory=set)
    """Assignments that the server ended while a plain crawler ran them: it may be running them still."""
    request_link: Link | None = None
    """The connection of its last ``job_request``."""
    requests: int = 0
    """How many ``job_request``s it has sent."""
    sent_at: float = 0.0
    reported_since_request: bool = False
    _heartbeat: Message | Activity | None = None
    """The last heartbeat; a small one is converted only when it is read."""
    arriving: int = 0
    """Arrivals and hellos in progress: until they end, what it holds is unknown."""
    held_lock: DeferredLock = attrs.field(factory=DeferredLock)
    """Serialises reads and releases of what it holds: the result of an older read must not undo a later release."""
    adopting: int = 0
    """How many of its uncommitted reports name assignments that it is not known to hold."""
    last_change: int = 0
    """The number (see :meth:`begin`) of the last report that may change what it holds."""
    _over: int = 0
    """How many of the assignments in ``held`` are over."""
    _begun: int = 0
    _under_way: OrderedDict[int, None] = attrs.field(factory=OrderedDict)
    """Numbers of what is not committed yet, in order; an OrderedDict finds the first in constant time."""
    _settling: deque[tuple[int, Callable[[], None]]] = attrs.field(factory=deque)

    @property
    def commands(self) -> bool:
        """Whether it takes ``job_cancel`` and ``job_pause``, over some connection."""
        return any("commands" in link.capabilities for link in self.links)

    def command(self, reply: Reply) -> bool:
        """Send *reply* over the connections that take commands; whether there are any."""
        links = [link for link in self.links if "commands" in link.capabilities]
        for link in links:
            link.push(reply)
        return bool(links)

    @property
    def room(self) -> int:
        """How many more jobs it may hold."""
        return self.max_jobs - len(self.held) + self._over - len(self.fenced)

    def hear_heartbeat(self, message: Message) -> None:
        """Replace the activity with that of the heartbeat *message*."""
        self._heartbeat = message if message.size <= SMALL else activity_of(message)

    @property
    def activity(self) -> Activity | None:
        """The activity in its last heartbeat, if there was one."""
        if isinstance(self._heartbeat, Message):
            self._heartbeat = activity_of(self._heartbeat)
        return self._heartbeat

    # -- assignments

    def hold(self, held: dict[str, Held]) -> None:
        """Replace the assignments that it holds with *held*."""
        self.held = held
        self._over = sum(each.over for each in held.values())

    def over(self, assignment: str) -> None:
        """The end of *assignment* is committed, which makes room."""
        held = self.held.get(assignment)
        if held is not None and not held.over:
            held.over = True
            self._over += 1

    def drop(self, assignment: str) -> bool:
        """Forget *assignment*, which is over or another crawler's; return whether it was held."""
        held = self.held.pop(assignment, None)
        if held is not None and held.over:
            self._over -= 1
        return held is not None

    def fence(self, assignment: str) -> bool:
        """Forget *assignment*, whose attempt the server has ended; return whether it was held.

        A plain crawler receives no ``job_cancel`` and may run it still: it takes up room until its end is reported.
        """
        held = self.held.get(assignment)
        if held is not None and self.plain and held.sent_at is not None and not held.over:
            self.fenced.add(assignment)
        return self.drop(assignment)

    # -- uncommitted reports and arrivals

    @property
    def pending(self) -> int:
        """How many reports and arrivals are not committed yet."""
        return len(self._under_way)

    @property
    def sure(self) -> bool:
        """Whether no uncommitted report or arrival can change what it holds."""
        if not self._under_way:
            return True
        return not self.arriving and next(iter(self._under_way)) > self.last_change

    def begin(self) -> int:
        """A report or arrival is about to be stored; the number to call :meth:`end` with."""
        self._begun += 1
        self._under_way[self._begun] = None
        return self._begun

    def end(self, number: int) -> None:
        """What got *number* from :meth:`begin` is committed or refused, perhaps before what began earlier."""
        del self._under_way[number]
        while self._settling and self._settling[0][0] < next(iter(self._under_way), self._begun + 1):
            self._settling.popleft()[1]()

    def when_settled(self, work: Callable[[], None]) -> None:
        """Call *work* once all reports and arrivals begun so far are committed; immediately, if they are."""
        if self._under_way:
            self._settling.append((self._begun, work))
        else:
            work()


class Fences:
    """Fenced attempts of plain crawlers without a connection, kept for *grace* seconds: they may still run."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._kept: dict[str, tuple[float, set[str]]] = {}

    def keep(self, crawler: Crawler, now: float) -> None:
        """*crawler* has lost a connection, perhaps its last one."""
        if crawler.fenced and not crawler.links:
            self._kept = {key: each for key, each in self._kept.items() if now - each[0] <= self._grace}
            self._kept[crawler.key] = now, crawler.fenced

    def restore(self, crawler: Crawler, now: float) -> None:
        """*crawler* has a connection again."""
        since, fenced = self._kept.pop(crawler.key, (now, set()))
        if now - since <= self._grace:
            crawler.fenced |= fenced


class Registry:
    """The crawlers of this node, by identity."""

    def __init__(self) -> None:
        self._crawlers: dict[str, Crawler] = {}
        self.ending: set[str] = set()
        """Assignments whose release or return is on its way to the database; nobody holds them any more."""

    def __iter__(self) -> Iterator[Crawler]:
        return iter(list(self._crawlers.values()))

    def __len__(self) -> int:
        return len(self._crawlers)

    def get(self, key: str) -> Crawler | None:
        """The crawler with identity *key*, if it is connected to this node."""
        return self._crawlers.get(key)

    def present(self) -> list[Crawler]:
        """The crawlers whose leases this node renews."""
        return [crawler for crawler in self._crawlers.values() if crawler.present]

    def links(self) -> list[Link]:
        """The connections of all crawlers."""
        return [link for crawler in self._crawlers.values() for link in crawler.links]

    def join(self, link: Link, crawler: Crawler) -> Crawler:
        """Add *link* to *crawler*, or to the registered crawler with the same identity; return that crawler."""
        crawler = self._crawlers.setdefault(crawler.key, crawler)
        crawler.links.append(link)
        link.crawler = crawler
        return crawler

    def leave(self, link: Link) -> Crawler:
        """Remove *link* from its crawler, which is dropped with its last connection; return the crawler."""
        crawler = link.crawler
        crawler.links.remove(link)
        if not crawler.links:
            self._crawlers.pop(crawler.key, None)
        return crawler

    def holder(self, assignment: str) -> Crawler | None:
        """The crawler that holds *assignment* here, if any."""
        return next((crawler for crawler in self._crawlers.values() if assignment in crawler.held), None)
