"""The queue of operations to be written, and the choice of the next batch. No reactor, no I/O.

Operations of one crawler are written in the order in which they came. A discovery is not part of a batch: it is
written beside them, over a connection of its own, and later operations of its crawler wait until it is stored.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import attrs

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Discovered, Report
from copilot_socket.store.operations import Operation

MAX_BATCH = 1000
"""Operations of a batch, at most."""
MIN_BATCH = 64
"""Operations of a batch, at least, where as many wait: fewer are not worth a statement of their own."""
MAX_BATCH_SIZE = 4 << 20
"""Bytes of the messages of a batch of several operations, at most: a statement of this size takes 0.1 s."""
HIGH_WATER, LOW_WATER = 8000, 2000
"""Operations at which the queue is full, and at which it is low again."""
HIGH_SIZE, LOW_SIZE = 8 << 20, 2 << 20
"""The same in bytes of messages, which take up to eight times as much memory as Python objects."""


class Unstorable(Exception):
    """The operation was refused for its data; the rest of its batch is committed."""


class Outcome(Protocol):
    """Receives the outcome of an operation: a Deferred, for example."""

    def callback(self, verdict: Verdict) -> None:
        """The operation is committed, with this verdict."""

    def errback(self, error: Unstorable) -> None:
        """The operation is refused."""


Entry = tuple[Operation, Outcome]
Discovery = tuple[Report, Outcome]


@attrs.define
class Batch:
    """Operations that are written together; ``discoveries`` are written after them."""

    entries: list[Entry] = attrs.field(factory=list)
    discoveries: list[Discovery] = attrs.field(factory=list)


class WriteQueue:
    """Operations that are not committed yet."""

    def __init__(self) -> None:
        self._next: deque[Entry] = deque()
        self._behind: dict[str, deque[Entry]] = {}
        """Key of a crawler with a discovery in progress → its operations that wait for that."""
        self.count = 0
        """Operations that are not committed, including those taken."""
        self.size = 0
        """Bytes of the messages of these operations."""

    def __len__(self) -> int:
        """The number of operations that may be taken."""
        return len(self._next)

    @property
    def full(self) -> bool:
        """Whether no more operations should be added for now."""
        return self.count >= HIGH_WATER or self.size >= HIGH_SIZE

    @property
    def low(self) -> bool:
        """Whether operations may be added again after the queue was full."""
        return self.count <= LOW_WATER and self.size <= LOW_SIZE

    def put(self, operation: Operation, outcome: Outcome) -> None:
        """Add *operation*."""
        self.count += 1
        self.size += operation.size
        waiting = self._behind.get(operation.crawler) if self._behind else None
        (self._next if waiting is None else waiting).append((operation, outcome))

    def take(self) -> Batch:
        """Take the next batch: half of the queue, so that one half is written while the other is answered.

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
        """Count *operations* as committed or refused."""
        self.count -= len(operations)
        self.size -= sum([operation.size for operation in operations])

    def go_on(self, crawler: str) -> None:
        """Count the discovery of *crawler* as stored or refused: the operations that wait for it may be taken."""
        self._next.extend(self._behind.pop(crawler))
