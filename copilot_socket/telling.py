"""The one place where changes of state are told. Metrics and logs listen here; live events will."""

from collections.abc import Callable

from twisted.logger import Logger

from copilot_socket.core.records import record


@record
class JobChanged:
    """A job entered *status*, and that is committed. ``assignment`` is the try concerned, if there is one."""

    job_id: str
    status: str
    event: str
    assignment: str | None = None
    crawler: str | None = None
    reason: str | None = None
    outcome: str | None = None


@record
class JobSent:
    """A job went out to a crawler, ``waited`` seconds after it was due (None: sent before)."""

    job_id: str
    assignment: str
    crawler: str
    waited: float | None


@record
class ConnectionChanged:
    """A connection opened, said who it is, or closed."""

    connection: str
    crawler: str
    event: str
    reason: str | None = None


@record
class CrawlerChanged:
    """A crawler came, came back, fell silent or left."""

    crawler: str
    event: str


@record
class MessagesHandled:
    """``count`` messages of one type were dealt with in ``seconds`` each; ``outcome`` is ``ok`` or an error code."""

    type: str
    outcome: str
    seconds: float
    count: int = 1


@record
class TokenRefreshed:
    """An account's token was ``refreshed``, ``refused`` for good, or the refresh ``failed`` for now."""

    account: str
    outcome: str


News = JobChanged | JobSent | ConnectionChanged | CrawlerChanged | MessagesHandled | TokenRefreshed


class Telling:
    """Hands each piece of news to every listener; one that fails disturbs neither the others nor the teller."""

    log = Logger()

    def __init__(self) -> None:
        self._listeners: list[Callable[[News], None]] = []

    def listen(self, listener: Callable[[News], None]) -> None:
        """Have *listener* called with everything that is told from now on."""
        self._listeners.append(listener)

    def tell(self, news: News) -> None:
        """Tell *news* to everyone."""
        for listener in self._listeners:
            try:
                listener(news)
            except Exception:
                self.log.failure("A listener failed on {news}", news=news)
