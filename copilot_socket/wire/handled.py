"""What was handled: one state event for all messages of a type, once a turn of the reactor."""

from collections import defaultdict

from twisted.internet.interfaces import IReactorTime

from copilot_socket.event_bus import EventBus, MessagesHandled
from copilot_socket.wire.turn import TurnBatcher


class Handled:
    """The messages of all connections that were answered in the present turn, counted and published together.

    What is read in one turn counts as read at once, when the first of it was: a turn is what the reactor found ready.
    """

    def __init__(self, batcher: TurnBatcher, reactor: IReactorTime, bus: EventBus) -> None:
        self._batcher = batcher
        self._reactor = reactor
        self._bus = bus
        self._counts: defaultdict[tuple[str, str, float], int] = defaultdict(int)
        """By type, outcome, and when they were read."""
        self.at_once: list[str] = []
        """The types of what was answered as it was read in the present turn, and is not counted yet."""
        self._turn: float | None = None

    def begin(self) -> float:
        """When what is being dealt with counts as read, in reactor seconds."""
        if self._turn is None:
            self._turn = self._batcher.read_at
            self._batcher.write(self._end)
        return self._turn

    def count(self, type_: str, outcome: str, begun: float) -> None:
        """A message that was read when it was *begun* is answered."""
        if not self._counts:
            self._batcher.write(self._publish)
        self._counts[type_, outcome, begun] += 1

    def _end(self) -> None:
        assert self._turn is not None
        for type_ in set(self.at_once):
            self._counts[type_, "ok", self._turn] += self.at_once.count(type_)
        self.at_once.clear()
        self._turn = None
        self._publish()

    def _publish(self) -> None:
        counts, self._counts = self._counts, defaultdict(int)
        now = self._reactor.seconds()
        alike: defaultdict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for (type_, outcome, begun), count in counts.items():
            alike[type_, outcome].append((now - begun, count))
        for (type_, outcome), seconds in alike.items():
            self._bus.publish(MessagesHandled(type_, outcome, seconds))
