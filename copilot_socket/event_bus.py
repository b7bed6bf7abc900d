"""In-process event bus: state events are published after their commit; metrics, logs and live events subscribe."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args

from twisted.logger import Logger

from copilot_socket.core.records import record
from copilot_socket.core.reports import job_of


@record
class JobChanged:
    """A job entered *status*, and that is committed. ``assignment`` is the attempt concerned, if there is one.

    ``crawler`` is its crawler's identity, as leases name it; ``error`` what the crawler said of a failure; ``delay``
    the seconds until the job falls due.
    """

    job_id: str
    status: str
    event: str
    assignment: str | None = None
    crawler: str | None = None
    reason: str | None = None
    outcome: str | None = None
    account: str | None = None
    command: str | None = None
    full_path: str | None = None
    error: str | None = None
    delay: float = 0.0


@record
class DiscoveryStored:
    """What a crawler discovered is committed, or a part of it: so many areas, and so many jobs that are new.

    ``crawler`` is its identity, as leases name it; ``lanes``: accounts and commands of the jobs.
    """

    job_id: str
    assignment: str
    crawler: str
    areas: int
    jobs: int
    lanes: frozenset[tuple[str, str]] = frozenset()


@record
class MessageRefused:
    """A crawler's message was answered with an error of *code*. ``error`` says more, but nothing of the message."""

    connection: str
    crawler: str
    type: str
    code: str
    error: str | None


@record
class JobsReported:
    """Jobs entered *status* as their crawlers reported, and that is committed: one event for all, for they are many.

    ``attempts``: the assignment of each, its crawler's identity and its account.
    """

    status: str
    event: str
    attempts: Sequence[tuple[str, str, str]]
    outcome: str | None = None

    def each(self) -> list[JobChanged]:
        """The same as one change after the other."""
        return [
            JobChanged(job_of(assignment), self.status, self.event, assignment, crawler, None, self.outcome, account)
            for assignment, crawler, account in self.attempts
        ]


@record
class JobSent:
    """A job went out to a crawler, ``waited`` seconds after it was due (None: sent before)."""

    job_id: str
    assignment: str
    crawler: str
    waited: float | None
    account: str
    command: str
    full_path: str | None


@record
class JobCreated:
    """A job was put in, over HTTP or by a crawler's discovery, and that is committed."""

    job_id: str
    account: str
    command: str
    full_path: str | None


@record
class JobProgressed:
    """What a crawler reported of its attempt of a job is committed: ``progress``, as merged into the job's.

    ``crawler`` is its identity, as leases name it.
    """

    job_id: str
    assignment: str
    crawler: str
    account: str
    progress: dict[str, Any]


@record
class ConnectionChanged:
    """A connection opened, said who it is, or closed."""

    connection: str
    crawler: str
    event: str
    reason: str | None = None


@record
class HeartbeatHeard:
    """A crawler said how it is, over one of its connections; ``activity`` is what else it said of itself."""

    connection: str
    crawler: str
    system_status: str | None
    activity: dict[str, object]


@record
class CrawlerChanged:
    """A crawler came, came back, fell silent or left."""

    crawler: str
    event: str


@record
class MessagesHandled:
    """Messages of one type were dealt with; ``outcome`` is ``ok`` or an error code.

    ``seconds``: how long they took, and how many took that long.
    """

    type: str
    outcome: str
    seconds: list[tuple[float, int]]

    @property
    def count(self) -> int:
        """How many they were."""
        return sum([count for _, count in self.seconds])


@record
class ErrorsSent:
    """``count`` errors of one code were sent that are no message's outcome: to bad elements, and past the limit."""

    code: str
    count: int = 1


@record
class TokenRefreshed:
    """An account's token was ``refreshed``, ``refused`` for good, or the refresh ``failed`` for now."""

    account: str
    outcome: str


@record
class FlowChanged:
    """The writer takes operations, or, as its queue is full or the database away, should be given no more for now."""

    flowing: bool


@record
class NodeStarted:
    """The node reads from crawlers."""


StateEvent = (
    JobChanged
    | JobsReported
    | JobSent
    | JobCreated
    | JobProgressed
    | ConnectionChanged
    | HeartbeatHeard
    | CrawlerChanged
    | MessagesHandled
    | MessageRefused
    | DiscoveryStored
    | ErrorsSent
    | TokenRefreshed
    | FlowChanged
    | NodeStarted
)

ON_DEMAND = frozenset({JobCreated, JobProgressed, HeartbeatHeard})
"""So frequent, and of use to so few, that they are published only while somebody subscribes to them by name."""

Subscriber = Callable[[StateEvent], None]


def one_by_one(event: StateEvent) -> Sequence[StateEvent]:
    """*event*, taken apart where it is about several jobs."""
    return event.each() if isinstance(event, JobsReported) else (event,)


class EventBus:
    """Hands each event to its subscribers; one that fails disturbs neither the others nor the publisher."""

    log = Logger()

    def __init__(self) -> None:
        self._subscribers: dict[type[StateEvent], list[Subscriber]] = {kind: [] for kind in get_args(StateEvent)}

    def subscribe(self, subscriber: Subscriber, kinds: Collection[type[StateEvent]] | None = None) -> None:
        """Call *subscriber* with events of *kinds* from now on; None: all but those on demand."""
        for kind in self._subscribers.keys() - ON_DEMAND if kinds is None else kinds:
            self._subscribers[kind].append(subscriber)

    def subscribe_by_type(self, subscribers: Mapping[type[StateEvent], Callable[[Any], None]]) -> None:
        """Call each of *subscribers* with events of its type from now on."""
        for kind, subscriber in subscribers.items():
            self._subscribers[kind].append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Call *subscriber* no more. Not to be used while it is called."""
        for subscribers in self._subscribers.values():
            if subscriber in subscribers:
                subscribers.remove(subscriber)

    def subscribers(self, kind: type[StateEvent]) -> Collection[Subscriber]:
        """Who subscribes to events of *kind*, now and later: while it is empty none need be made."""
        return self._subscribers[kind]

    def publish(self, event: StateEvent) -> None:
        """Call everyone who subscribes to events of this kind."""
        for subscriber in self._subscribers[type(event)]:
            try:
                subscriber(event)
            except Exception:
                self.log.failure("A subscriber failed on {kind}", kind=type(event).__name__)
