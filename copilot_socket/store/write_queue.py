"""The queue of writes, and the choice of the next batch. No reactor, no I/O.

Writes of one crawler are stored in the order in which they came. A discovery is not part of a batch: it is
stored beside them, over a connection of its own, and later writes of its crawler wait until it is stored.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import attrs

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Discovered, Report
from copilot_socket.store.writes import Write

MAX_BATCH = 1000
"""Writes of a batch, at most."""
MIN_BATCH = 64
"""Writes of a batch, at least, where as many wait: fewer are not worth a statement of their own."""
MAX_BATCH_SIZE = 4 << 20
"""Bytes of the messages of a batch of several writes, at most: a statement of this size takes 0.1 s."""
HIGH_WATER, LOW_WATER = 8000, 2000
"""Writes at which the queue is full, and at which it is low again."""
HIGH_SIZE, LOW_SIZE = 8 << 20, 2 << 20
"""The same in bytes of messages, which take up to eight times as much memory as Python objects."""


class Unstorable(Exception):
    """The write was refused for its data; the rest of its batch is committed."""


class Outcome(Protocol):
    """Receives the outcome of a write: a Deferred, for example."""

    def callback(self, verdict: Verdict) -> None:
        """The write is committed, with this verdict."""

    def errback(self, error: Unstorable) -> None:
        """The write is refused."""


Entry = tuple[Write, Outcome]
Discovery = tuple[Report, Outcome]


@attrs.define
class Batch:
    """Writes that are written together; ``discoveries`` are written after them."""

    entries: list[Entry] = attrs.field(factory=list)
    discoveries: list[Discovery] = attrs.field(factory=list)


class WriteQueue:
    """Writes that are not committed yet."""

    def __init__(self) -> None:
        self._next: deque[Entry] = deque()
        self._behind: dict[str, deque[Entry]] = {}
        """Key of a crawler with a discovery in progress → its writes that wait for that."""
        self.count = 0
        """Writes that are not committed, including those taken."""
        self.size = 0
        """Bytes of the messages of these writes."""

    def __len__(self) -> int:
        """The number of writes that may be taken."""
        return len(self._next)

    @property
    def full(self) -> bool:
        """Whether no more writes should be added for now."""
        return self.count >= HIGH_WATER or self.size >= HIGH_SIZE

    @property
    def low(self) -> bool:
        """Whether writes may be added again after the queue was full."""
        return self.count <= LOW_WATER and self.size <= LOW_SIZE

    def put(self, write: Write, outcome: Outcome) -> None:
        """Add *write*."""
        self.count += 1
        self.size += write.size
        waiting = self._behind.get(write.crawler) if self._behind else None
        (self._next if waiting is None else waiting).append((write, outcome))

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
            write, outcome = entry
            crawler = write.crawler
            if self._behind and crawler in self._behind:
                self._behind[crawler].append(queue.popleft())
                continue
            if isinstance(write, Report):
                if isinstance(write.body, Discovered):
                    queue.popleft()
                    self._behind[crawler] = deque()
                    batch.discoveries.append((write, outcome))
                    continue
                if owners.setdefault(write.assignment, crawler) != crawler:
                    break
                size += write.size
                if size > MAX_BATCH_SIZE and batch.entries:
                    break
            batch.entries.append(queue.popleft())
        return batch

    def done(self, writes: Sequence[Write]) -> None:
        """Count *writes* as committed or refused."""
        self.count -= len(writes)
        self.size -= sum([write.size for write in writes])

    def go_on(self, crawler: str) -> None:
        """Count the discovery of *crawler* as stored or refused: the writes that wait for it may be taken."""
        self._next.extend(self._behind.pop(crawler))
