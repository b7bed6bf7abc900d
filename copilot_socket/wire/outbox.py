"""Answers in the order of the questions: acks and errors wait for those before them, pushes do not."""

from collections import deque
from collections.abc import Callable, Sequence

from copilot_socket.core.replies import Reply


class Slot:
    """The place of one answer."""

    __slots__ = ("done", "replies")

    def __init__(self) -> None:
        self.done = False
        self.replies: Sequence[Reply] = ()


class Outbox:
    """Sends through *write*."""

    def __init__(self, write: Callable[[Reply], None]) -> None:
        self._write = write
        self._slots: deque[Slot] = deque()

    @property
    def waiting(self) -> int:
        """How many answers are still owed."""
        return len(self._slots)

    def slot(self) -> Slot:
        """Keep a place for an answer that is not known yet."""
        slot = Slot()
        self._slots.append(slot)
        return slot

    def fill(self, slot: Slot, replies: Sequence[Reply]) -> None:
        """The answer for *slot*: any number of replies, sent once all earlier ones are."""
        slot.done, slot.replies = True, replies
        slots = self._slots
        while slots and slots[0].done:
            for reply in slots.popleft().replies:
                self._write(reply)

    def answer(self, replies: Sequence[Reply]) -> None:
        """An answer that is known at once, in its turn."""
        if self._slots:
            self.fill(self.slot(), replies)
        else:
            for reply in replies:
                self._write(reply)

    def push(self, reply: Reply) -> None:
        """Send *reply* now, whatever else waits."""
        self._write(reply)
