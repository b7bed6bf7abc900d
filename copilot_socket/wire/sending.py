"""Once a turn of the reactor: one write for what a connection is sent, and one piece of news for what was handled."""

from collections import Counter, defaultdict
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from copilot_socket.telling import MessagesHandled, Telling


class Flusher:
    """Has everyone who asks flushed, once, after the present turn of the reactor; one timer for all of them."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._flushes: list[Callable[[], None]] = []

    def soon(self, flush: Callable[[], None]) -> None:
        """Call *flush* when the turn is over."""
        if not self._flushes:
            self._reactor.callLater(0, self._run)
        self._flushes.append(flush)

    def _run(self) -> None:
        flushes, self._flushes = self._flushes, []
        for flush in flushes:
            flush()


class Handled:
    """The messages of all connections that were answered in the present turn, counted and told together."""

    def __init__(self, flusher: Flusher, reactor: IReactorTime, telling: Telling) -> None:
        self._flusher = flusher
        self._reactor = reactor
        self._telling = telling
        self._begun: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        """When they were read, by type and outcome."""

    def count(self, type_: str, outcome: str, begun: float) -> None:
        """A message that was read when it was *begun* is answered."""
        if not self._begun:
            self._flusher.soon(self._tell)
        self._begun[type_, outcome].append(begun)

    def _tell(self) -> None:
        alike, self._begun = self._begun, defaultdict(list)
        now = self._reactor.seconds()
        for (type_, outcome), times in alike.items():
            seconds = [(now - begun, count) for begun, count in Counter(times).items()]
            self._telling.tell(MessagesHandled(type_, outcome, seconds))
