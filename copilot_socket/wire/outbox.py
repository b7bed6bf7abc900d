"""Replies in the order of their messages: acks and errors wait for the pending replies before them."""

from collections import deque
from collections.abc import Sequence

from copilot_socket.core.replies import Reply


class Owed:
    """The pending replies of all connections; ``total`` is the sum of their weights."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class Slot:
    """The replies to one message, None while they are pending. *weight*: pending replies that they count as."""

    __slots__ = ("replies", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.replies: Sequence[Reply] | None = None


class Outbox:
    """The pending replies of one connection, and the replies that wait behind them; all count in *owed* too."""

    def __init__(self, owed: Owed) -> None:
        self._owed = owed
        self._slots: deque[Slot] = deque()
        self.waiting = 0
        """The weight of all these replies."""

    def slot(self, weight: int = 1) -> Slot:
        """Append a slot for pending replies."""
        slot = Slot(weight)
        self._slots.append(slot)
        self.waiting += weight
        self._owed.total += weight
        return slot

    def fill(self, slot: Slot, replies: Sequence[Reply]) -> Sequence[Reply]:
        """Set the replies of *slot*, perhaps none; returns the replies that can be sent now."""
        slots = self._slots
        if slots and slots[0] is not slot:
            slot.replies = replies
            return ()
        self._owed.total -= slot.weight
        if not slots:  # the connection is lost
            return ()
        slots.popleft()
        self.waiting -= slot.weight
        if not slots or slots[0].replies is None:  # nearly always
            return replies
        ready = [*replies]
        while slots and slots[0].replies is not None:
            first = slots.popleft()
            self.waiting -= first.weight
            self._owed.total -= first.weight
            ready += first.replies  # type: ignore[arg-type]
        return ready

    def answer(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        """Append *replies*, which are not pending; returns the replies that can be sent now."""
        return self.fill(self.slot(len(replies)), replies) if self._slots else replies

    def drop(self) -> None:
        """Release everything, since the connection is lost. Pending replies count in *owed* until resolved."""
        slots, self._slots = self._slots, deque()
        self.waiting = 0
        self._owed.total -= sum(slot.weight for slot in slots if slot.replies is not None)
