"""The one place where changes of state are told. Metrics, logs and live events listen here."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args

from twisted.logger import Logger

from copilot_socket.core.records import record
from copilot_socket.core.reports import job_of


@record
class JobChanged:
    """A job entered *status*, and that is committed. ``assignment`` is the try concerned, if there is one.

    ``crawler`` is its crawler's identity, as leases name it; ``error`` what the crawler said of a failure.
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
    """Jobs entered *status* as their crawlers reported, and that is committed: told together, for they are many.

    ``tries``: the assignment of each, its crawler's identity and its account.
    """

    status: str
    event: str
    tries: Sequence[tuple[str, str, str]]
    outcome: str | None = None

    def each(self) -> list[JobChanged]:
        """The same as one change after the other."""
        return [
            JobChanged(job_of(assignment), self.status, self.event, assignment, crawler, None, self.outcome, account)
            for assignment, crawler, account in self.tries
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
    """What a crawler reported of its try of a job is committed: ``progress``, as merged into the job's.

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


News = (
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
)

ON_DEMAND = frozenset({JobCreated, JobProgressed, HeartbeatHeard})
"""So frequent, and of use to so few, that they are told only while someone has asked for them by name."""

Listener = Callable[[News], None]


def one_by_one(news: News) -> Sequence[News]:
    """*news*, taken apart where it tells of several jobs."""
    return news.each() if isinstance(news, JobsReported) else (news,)


class Telling:
    """Hands each piece of news to its listeners; one that fails disturbs neither the others nor the teller."""

    log = Logger()

    def __init__(self) -> None:
        self._audiences: dict[type[News], list[Listener]] = {kind: [] for kind in get_args(News)}

    def listen(self, listener: Listener, kinds: Collection[type[News]] | None = None) -> None:
        """Have *listener* called with the news of *kinds* that is told from now on; None: all but that on demand."""
        for kind in self._audiences.keys() - ON_DEMAND if kinds is None else kinds:
            self._audiences[kind].append(listener)

    def listen_by_kind(self, listeners: Mapping[type[News], Callable[[Any], None]]) -> None:
        """Have each of *listeners* called with the news of its kind that is told from now on."""
        for kind, listener in listeners.items():
            self._audiences[kind].append(listener)

    def ignore(self, listener: Listener) -> None:
        """Call *listener* no more. Not to be used while it is called."""
        for audience in self._audiences.values():
            if listener in audience:
                audience.remove(listener)

    def audience(self, kind: type[News]) -> Collection[Listener]:
        """Who listens to news of *kind*, now and later: empty while making it would be in vain."""
        return self._audiences[kind]

    def tell(self, news: News) -> None:
        """Tell *news* to everyone who listens to its kind."""
        for listener in self._audiences[type(news)]:
            try:
                listener(news)
            except Exception:
                self.log.failure("A listener failed on {news}", news=news)
