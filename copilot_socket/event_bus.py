"""In-process event bus: state events are published after their commit; metrics, logs and live events subscribe."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args

from twisted.logger import Logger

from copilot_socket.core.records import record
from copilot_socket.core.reports import job_of


@record
class JobChanged:
    """A job entered *status*; the change is committed. ``assignment``: the attempt concerned, if there is one.

    ``crawler`` is the identity of its crawler, as leases name it; ``error`` the error that the crawler reported;
    ``delay`` the seconds until the job falls due; ``cause`` why the attempt ended, ``ran`` seconds after its claim;
    ``fingerprint`` that of the error which was logged; ``failures`` how many count against the job now.
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
    cause: str | None = None
    fingerprint: str | None = None
    ran: float | None = None
    user: str | None = None
    failures: int | None = None


@record
class DiscoveryStored:
    """A discovery, or a part of one, is committed. ``areas`` and ``jobs`` are counts, ``jobs`` of new jobs only.

    ``crawler`` is its identity, as leases name it; ``lanes`` are the accounts and commands of the new jobs.
    """

    job_id: str
    assignment: str
    crawler: str
    areas: int
    jobs: int
    lanes: frozenset[tuple[str, str]] = frozenset()


@record
class MessageRefused:
    """A crawler's message was answered with an error. ``error`` has details, but quotes nothing of the message."""

    connection: str
    crawler: str
    type: str
    code: str
    error: str | None


@record
class JobsReported:
    """Jobs entered *status* by reports of a committed batch: one event for all of them, since they are frequent.

    ``attempts``: assignment, crawler's identity and account of each; ``ran``: of those that ended, the seconds since
    their claims.
    """

    status: str
    event: str
    attempts: Sequence[tuple[str, str, str]]
    outcome: str | None = None
    ran: Sequence[float] = ()

    def each(self) -> list[JobChanged]:
        """The same as single changes, in order."""
        return [
            JobChanged(
                job_of(assignment),
                self.status,
                self.event,
                assignment,
                crawler,
                None,
                self.outcome,
                account,
                cause=self.outcome,
            )
            for assignment, crawler, account in self.attempts
        ]


@record
class JobSent:
    """A job was sent to a crawler, ``waited`` seconds after it was due; None if it had been sent before."""

    job_id: str
    assignment: str
    crawler: str
    waited: float | None
    account: str
    command: str
    full_path: str | None


@record
class ConnectionChanged:
    """A connection was ``opened``, ``identified`` (by ``hello``) or ``closed``. ``reason``: why, or where from."""

    connection: str
    crawler: str
    event: str
    reason: str | None = None


@record
class HeartbeatHeard:
    """A crawler sent a heartbeat over one of its connections. ``activity``: its other fields, masked and bounded."""

    connection: str
    crawler: str
    system_status: str | None
    activity: dict[str, object]


@record
class CrawlerChanged:
    """A crawler ``came`` (perhaps again), ``fell silent`` or ``left``."""

    crawler: str
    event: str


@record
class MessagesHandled:
    """Messages of one type were handled; ``outcome`` is ``ok`` or an error code.

    ``seconds``: pairs of a duration in seconds and the number of messages that took it.
    """

    type: str
    outcome: str
    seconds: list[tuple[float, int]]

    @property
    def count(self) -> int:
        """The number of messages."""
        return sum([count for _, count in self.seconds])


@record
class ErrorsSent:
    """``count`` errors of one code were sent that are no message's outcome, e.g. for bad elements of a list."""

    code: str
    count: int = 1


@record
class TokenRefreshed:
    """An account's token was ``refreshed``, ``refused`` for good, or the refresh ``failed`` for now."""

    account: str
    outcome: str


@record
class HostChanged:
    """The jobs of a GitLab host are ``held`` back, or ``released``."""

    origin: str
    event: str


@record
class RateLimited:
    """GitLab has answered 429 to a job's crawler, or, ``blocked``, a 403 that means its address.

    ``retry_after``: seconds for which GitLab asked to send no requests.
    """

    origin: str
    account: str
    retry_after: float | None
    blocked: bool = False


@record
class BudgetChanged:
    """A budget of requests is ``closed``, ``throttled`` or ``open``: that of a host where ``account`` is None.

    ``jobs_allowed`` jobs may run at a time until ``until``, in seconds since the epoch.
    """

    origin: str
    account: str | None
    name: str | None
    event: str
    jobs_allowed: int | None = None
    until: float | None = None


@record
class PauseChanged:
    """A pause was ``added``, ``ended`` by somebody, or has ``expired``."""

    pause: str
    event: str
    scope: str
    target: str | None = None
    author: str | None = None
    reason: str | None = None


@record
class Refused:
    """``actor`` was refused ``what`` it asked for, at the ``door`` ``http`` or ``wire``; ``reason`` is a short code.

    ``actor`` and ``address`` are those of an :class:`.Actor`.
    """

    door: str
    reason: str
    actor: str
    address: str | None
    what: str


@record
class CountsRepaired:
    """``counters`` counters of jobs were wrong, and are right again."""

    counters: int


@record
class WebhookTried:
    """A message to a webhook was ``delivered``, is to be ``retried``, or has ``failed`` for good; ``error`` says why.

    ``gone``: the receiver wants nothing any more, and the webhook is made inactive.
    """

    webhook: str
    event: str
    outcome: str
    error: str | None = None


@record
class FlowChanged:
    """Whether the writer accepts writes; not ``flowing`` while its queue is full or the database is unavailable."""

    flowing: bool


@record
class NodeStarted:
    """The node has started to read from crawlers."""


StateEvent = (
    JobChanged
    | JobsReported
    | JobSent
    | ConnectionChanged
    | HeartbeatHeard
    | CrawlerChanged
    | MessagesHandled
    | MessageRefused
    | DiscoveryStored
    | ErrorsSent
    | TokenRefreshed
    | HostChanged
    | PauseChanged
    | Refused
    | RateLimited
    | BudgetChanged
    | CountsRepaired
    | WebhookTried
    | FlowChanged
    | NodeStarted
)

Subscriber = Callable[[StateEvent], None]


class EventBus:
    """Calls the subscribers of each event; one that fails is logged and affects neither others nor the publisher."""

    log = Logger()

    def __init__(self) -> None:
        self._subscribers: dict[type[StateEvent], list[Subscriber]] = {kind: [] for kind in get_args(StateEvent)}

    def subscribe(self, subscriber: Subscriber, kinds: Collection[type[StateEvent]] | None = None) -> None:
        """Call *subscriber* with events of *kinds* from now on; None: all."""
        for kind in self._subscribers if kinds is None else kinds:
            self._subscribers[kind].append(subscriber)

    def subscribe_by_type(self, subscribers: Mapping[type[StateEvent], Callable[[Any], None]]) -> None:
        """Call each of *subscribers* with events of its type from now on."""
        for kind, subscriber in subscribers.items():
            self._subscribers[kind].append(subscriber)

    def publish(self, event: StateEvent) -> None:
        """Call the subscribers to events of this type, in the order of subscription."""
        for subscriber in self._subscribers[type(event)]:
            try:
                subscriber(event)
            except Exception:
                self.log.failure("A subscriber failed on {kind}", kind=type(event).__name__)
