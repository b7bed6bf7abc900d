"""Counts handled messages: one state event for each type and outcome, once a turn of the reactor."""

from collections import defaultdict

from twisted.internet.interfaces import IReactorTime

from copilot_socket.event_bus import EventBus, MessagesHandled
from copilot_socket.wire.turn import TurnBatcher


class HandledCounter:
    """Counts the messages of all connections that are answered in a turn, and publishes the counts at its end.

    All messages of a turn count as read when its first one was, since the reactor found them ready together.
    """

    def __init__(self, batcher: TurnBatcher, reactor: IReactorTime, bus: EventBus) -> None:
        self._batcher = batcher
        self._reactor = reactor
        self._bus = bus
        self._counts: defaultdict[tuple[str, str, float], int] = defaultdict(int)
        """Messages by type, outcome and reading time."""
        self.immediate: list[str] = []
        """Types of the messages answered without waiting in this turn, not counted yet."""
        self._turn: float | None = None

    def begin(self) -> float:
        """Begin counting, once a turn; returns when this turn's messages were read, in reactor seconds."""
        if self._turn is None:
            self._turn = self._batcher.read_at
            self._batcher.write(self._end)
        return self._turn

    def count(self, type_: str, outcome: str, begun: float) -> None:
        """Count an answered message, read at *begun* (reactor seconds); *outcome*: ``ok`` or an error code."""
        if not self._counts:
            self._batcher.write(self._publish)
        self._counts[type_, outcome, begun] += 1

    def _end(self) -> None:
        assert self._turn is not None
        for type_ in set(self.immediate):
            self._counts[type_, "ok", self._turn] += self.immediate.count(type_)
        self.immediate.clear()
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
