"""What waits to be written, and what goes into the next batch. No reactor, no I/O.

Operations of one crawler are written in the order in which they came. A discovery is not part of a batch: it is
written beside them, over a connection of its own, and what its crawler says behind it waits until it is stored.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import attrs

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Discovered, Report
from copilot_socket.store.operations import Operation

MAX_BATCH = 1000
"""Operations of a batch at most."""
MIN_BATCH = 64
"""Operations that a batch takes at least, where so many wait: fewer are not worth a statement of their own."""
MAX_BATCH_SIZE = 4 << 20
"""Bytes of the messages of a batch, from which on it takes no more: so large a statement is written in 0.1 s."""
HIGH_WATER, LOW_WATER = 8000, 2000
"""Operations from which on the queue is full, and down to which it has to be written then."""
HIGH_SIZE, LOW_SIZE = 8 << 20, 2 << 20
"""The same in bytes of their messages, of which counts take up to eight times as much as Python objects."""


class Unstorable(Exception):
    """The database refuses this operation for its data; the rest of its batch is committed."""


class Outcome(Protocol):
    """Who waits for an operation: a Deferred, for example."""

    def callback(self, verdict: Verdict) -> None:
        """It is committed, with this verdict."""

    def errback(self, error: Unstorable) -> None:
        """The database refuses it."""


Entry = tuple[Operation, Outcome]
Discovery = tuple[Report, Outcome]


@attrs.define
class Batch:
    """What is written together; ``discoveries`` come after everything that was taken before or with them."""

    entries: list[Entry] = attrs.field(factory=list)
    discoveries: list[Discovery] = attrs.field(factory=list)


class WriteQueue:
    """Operations that are not committed yet."""

    def __init__(self) -> None:
        self._next: deque[Entry] = deque()
        self._behind: dict[str, deque[Entry]] = {}
        """What waits for a discovery of its crawler, by the crawler's key."""
        self.count = 0
        """Operations that are not committed, those that were taken included."""
        self.size = 0
        """Bytes of their messages."""

    def __len__(self) -> int:
        """How many may be taken now."""
        return len(self._next)

    @property
    def full(self) -> bool:
        """Whether no more should be put in for now."""
        return self.count >= HIGH_WATER or self.size >= HIGH_SIZE

    @property
    def low(self) -> bool:
        """Whether enough has been written since it was full."""
        return self.count <= LOW_WATER and self.size <= LOW_SIZE

    def put(self, operation: Operation, outcome: Outcome) -> None:
        """Take in *operation*."""
        self.count += 1
        self.size += operation.size
        waiting = self._behind.get(operation.crawler) if self._behind else None
        (self._next if waiting is None else waiting).append((operation, outcome))

    def take(self) -> Batch:
        """The next batch: half of what waits, so that the database works on one half while the other is answered.

        Reports of two crawlers on one assignment never share a batch: they can't be folded.
        """
        batch = Batch()
        owners: dict[str, str] = {}
        size = 0
        queue = self._next
        for _ in range(min(len(queue), max(MIN_BATCH, len(queue) // 2), MAX_BATCH)):
            entry = queue[0]
            operation, outcome = entry
            crawler = operation.crawler
            if self._behind and crawler in self._behind:
                self._behind[crawler].append(queue.popleft())
                continue
            if isinstance(operation, Report):
                if isinstance(operation.body, Discovered):
                    queue.popleft()
                    self._behind[crawler] = deque()
                    batch.discoveries.append((operation, outcome))
                    continue
                if owners.setdefault(operation.assignment, crawler) != crawler:
                    break
                size += operation.size
                if size > MAX_BATCH_SIZE and batch.entries:
                    break
            batch.entries.append(queue.popleft())
        return batch

    def done(self, operations: Sequence[Operation]) -> None:
        """*operations* are committed, or refused."""
        self.count -= len(operations)
        self.size -= sum([operation.size for operation in operations])

    def go_on(self, crawler: str) -> None:
        """The discovery of *crawler* is stored: what waits behind it may be taken."""
        self._next.extend(self._behind.pop(crawler))
