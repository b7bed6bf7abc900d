"""Once a turn of the reactor: one write for what a connection is sent, and one piece of news for what was handled."""

from collections import defaultdict
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
    """The messages of all connections that were answered in the present turn, counted and told together.

    What is read in one turn counts as read at once, when the first of it was: a turn is what the reactor found ready.
    """

    def __init__(self, flusher: Flusher, reactor: IReactorTime, telling: Telling) -> None:
        self._flusher = flusher
        self._reactor = reactor
        self._telling = telling
        self._counts: defaultdict[tuple[str, str, float], int] = defaultdict(int)
        """By type, outcome, and when they were read."""
        self.at_once: list[str] = []
        """The types of what was answered as it was read in the present turn, and is not counted yet."""
        self._turn: float | None = None

    def begin(self) -> float:
        """When what is being read counts as read, in reactor seconds."""
        if self._turn is None:
            self._turn = self._reactor.seconds()
            self._flusher.soon(self._end)
        return self._turn

    def count(self, type_: str, outcome: str, begun: float) -> None:
        """A message that was read when it was *begun* is answered."""
        if not self._counts:
            self._flusher.soon(self._tell)
        self._counts[type_, outcome, begun] += 1

    def _end(self) -> None:
        assert self._turn is not None
        for type_ in set(self.at_once):
            self._counts[type_, "ok", self._turn] += self.at_once.count(type_)
        self.at_once.clear()
        self._turn = None
        self._tell()

    def _tell(self) -> None:
        counts, self._counts = self._counts, defaultdict(int)
        now = self._reactor.seconds()
        alike: defaultdict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for (type_, outcome, begun), count in counts.items():
            alike[type_, outcome].append((now - begun, count))
        for (type_, outcome), seconds in alike.items():
            self._telling.tell(MessagesHandled(type_, outcome, seconds))
