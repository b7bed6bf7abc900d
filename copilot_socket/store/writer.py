"""The group commit: one queue, one batch in flight, everything that came in meanwhile in the next."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Report
from copilot_socket.store.batches import Batches, Written
from copilot_socket.store.faults import DatabaseAway, Remedy, remedy
from copilot_socket.store.operations import Folded, Operation
from copilot_socket.store.turns import NONE_AHEAD, NOTHING_CLAIMED, Ahead, Claim
from copilot_socket.telling import Telling

MAX_BATCH = 1000
MIN_BATCH = 64
"""Operations that a batch takes at least, where so many wait: fewer are not worth a statement of their own."""
FOLD_AHEAD = 200
"""Operations that have to wait for the next batch to be folded, and sent at once, when the database has done one.

To fold many takes as long as to write them. Of fewer it is worth more that others join them meanwhile.
"""
HIGH_WATER = 8000
LOW_WATER = 2000
WAIT_FIRST, WAIT_MOST = 0.05, 2.0


class Unstorable(Exception):
    """The database refuses this operation for its data; the rest of its batch is committed."""


class Outcome(Protocol):
    """Who waits for an operation: a Deferred, for example."""

    def callback(self, verdict: Verdict) -> None:
        """It is committed, with this verdict."""

    def errback(self, error: Unstorable) -> None:
        """The database refuses it."""


Batch = list[tuple[Operation, Outcome]]
Committed = tuple[Batch, Written]
Prepared = tuple[Batch, Folded | None]


class Claimant(Protocol):
    """Who hands out jobs: for crawlers that end theirs the next are claimed in the same transaction."""

    def wants(self, endings: Mapping[str, Collection[str]]) -> Ahead:
        """What to claim beside the completion of these assignments, by the keys of the crawlers that say so."""

    def claimed(self, ahead: Ahead, claim: Claim) -> None:
        """*claim* came of the wish *ahead*: it is committed."""

    def doubt(self, ahead: Ahead) -> None:
        """Whether anything came of the wish *ahead* is not known."""


class NoClaimant:
    """Claims nothing."""

    def wants(self, endings: Mapping[str, Collection[str]]) -> Ahead:
        """Nothing."""
        return NONE_AHEAD

    def claimed(self, ahead: Ahead, claim: Claim) -> None:
        """There is nothing."""

    def doubt(self, ahead: Ahead) -> None:
        """There is none."""


class Writer:
    """Stores operations in the order submitted. Never drops one: while the database is away it waits.

    ``on_flow`` is told ``False`` when no more should be submitted (the queue is full, or the database is away), and
    ``True`` when there is room again.
    """

    log = Logger()

    def __init__(self, batches: Batches, reactor: IReactorTime, telling: Telling) -> None:
        self._batches = batches
        self._reactor = reactor
        self._telling = telling
        self._queue: deque[tuple[Operation, Outcome]] = deque()
        self._running: Deferred[None] | None = None
        self._taken = 0
        self._prepared: Prepared | None = None
        """The next batch, folded while another is being written; it waits for that."""
        self._sent: Deferred[list[Committed]] | None = None
        """The batch that is being written while the one before is answered."""
        self._flowing = True
        self._idle_waiters: list[Deferred[None]] = []
        self.away_since: float | None = None
        self.claimant: Claimant = NoClaimant()
        self.on_flow: Callable[[bool], None] = lambda _flowing: None

    @property
    def waiting(self) -> int:
        """How many operations are not committed yet."""
        return len(self._queue) + self._taken

    def submit(self, operation: Operation) -> "Deferred[Verdict]":
        """Queue *operation*; fires with its verdict after the commit, or fails with :class:`Unstorable`."""
        d: Deferred[Verdict] = Deferred()
        self.enqueue(operation, d)
        return d

    def enqueue(self, operation: Operation, outcome: Outcome) -> None:
        """Queue *operation*; *outcome* is told what became of it."""
        self._queue.append((operation, outcome))
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(self._broken)
        elif len(self._queue) >= HIGH_WATER:
            self._flow(False)

    def drained(self) -> "Deferred[None]":
        """Fires once the queue is empty and nothing is in flight."""
        d: Deferred[None] = Deferred()
        if self._running is None:
            d.callback(None)
        else:
            self._idle_waiters.append(d)
        return d

    async def _run(self) -> None:
        # One turn of the reactor first: what one read brought goes into one batch.
        await deferLater(self._reactor, 0)
        while (writing := self._sent or self._send()) is not None:
            self._sent = None
            committed = await writing
            # The statement is on its way: the answers to the batch before go out while the database works.
            if self._sent is None:
                self._sent = self._send()
            if len(self._queue) <= LOW_WATER and self.away_since is None:
                self._flow(True)
            self._answer(committed)
            if len(self._queue) >= FOLD_AHEAD and self._prepared is None:
                self._prepared = self._prepare()
        self._running = None
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _send(self) -> "Deferred[list[Committed]] | None":
        """Have the next batch written, if there is something to write."""
        if self._prepared is None and not self._queue:
            return None
        (batch, folded), self._prepared = self._prepared or self._prepare(), None
        ahead = NONE_AHEAD if folded is None else self._wants(folded)
        return Deferred.fromCoroutine(self._write(batch, folded, ahead))

    def _prepare(self) -> Prepared:
        """Take the next batch, and fold it."""
        batch = self._take()
        self._taken += len(batch)
        folded = None
        with suppress(ValueError, TypeError):  # the same happens when it is written, and is dealt with there
            folded = _folded(batch)
        return batch, folded

    async def _write(self, batch: Batch, folded: Folded | None, ahead: Ahead) -> list[Committed]:
        def on_stored() -> None:
            if self._prepared is not None:
                self._sent = self._send()

        try:
            return await self._commit(batch, folded, ahead, on_stored)
        finally:
            self._taken -= len(batch)

    def _take(self) -> Batch:
        """The next batch: half of what waits, so that the database works on one half while the other is answered.

        Reports of two crawlers on one assignment never share a batch: they can't be folded.
        """
        batch: Batch = []
        owners: dict[str, str] = {}
        queue = self._queue
        for _ in range(min(len(queue), max(MIN_BATCH, len(queue) // 2), MAX_BATCH)):
            operation = queue[0][0]
            if isinstance(operation, Report):
                crawler = operation.crawler
                if owners.setdefault(operation.assignment, crawler) != crawler:
                    break
            batch.append(queue.popleft())
        return batch

    async def _commit(
        self,
        batch: Batch,
        folded: Folded | None = None,
        ahead: Ahead = NONE_AHEAD,
        on_stored: Callable[[], None] = lambda: None,
    ) -> list[Committed]:
        wait = WAIT_FIRST
        while True:
            try:
                folded = folded or _folded(batch)
                written = await self._batches.write(folded, ahead, on_stored)
            except (psycopg2.Error, DatabaseAway, ValueError, TypeError) as error:
                what = remedy(error)
                self._not_claimed(ahead, in_doubt=what is Remedy.WAIT)
                ahead = NONE_AHEAD
                if what is Remedy.REFUSE:
                    return await self._halve(batch, error)
                if what is Remedy.WAIT:
                    self._lost(error)
                    await deferLater(self._reactor, wait)
                    wait = min(wait * 2, WAIT_MOST)
            except Exception:
                self._not_claimed(ahead, in_doubt=True)
                raise
            else:
                break
        self._found()
        return [(batch, written)]

    def _answer(self, committed: list[Committed]) -> None:
        """Tell everyone what became of these batches."""
        for batch, written in committed:
            for news in written.news:
                self._telling.tell(news)
            if written.ahead:
                with self.log.failureHandler("Handing over what was claimed failed"):
                    self.claimant.claimed(written.ahead, written.claim)
            for (_, outcome), verdict in zip(batch, written.verdicts, strict=True):
                try:
                    outcome.callback(verdict)
                except Exception:
                    self.log.failure("Telling what became of an operation failed")

    def _not_claimed(self, ahead: Ahead, in_doubt: bool) -> None:
        if not ahead:
            return
        with self.log.failureHandler("Telling that nothing was claimed failed"):
            if in_doubt:
                self.claimant.doubt(ahead)
            else:
                self.claimant.claimed(ahead, NOTHING_CLAIMED)

    def _wants(self, batch: Folded) -> Ahead:
        """What to claim beside *batch*, which is stored whatever the claimant does."""
        with self.log.failureHandler("Asking what to claim failed"):
            return self.claimant.wants(batch.endings)
        return NONE_AHEAD

    async def _halve(self, batch: Batch, error: Exception) -> list[Committed]:
        if len(batch) == 1:
            self.log.error(
                "The database refuses {operation}: {error}", operation=type(batch[0][0]).__name__, error=error
            )
            batch[0][1].errback(Unstorable(str(error).split("\n", 1)[0]))
            return []
        middle = len(batch) // 2
        return [*await self._commit(batch[:middle]), *await self._commit(batch[middle:])]

    def _lost(self, error: Exception) -> None:
        if self.away_since is None:
            self.away_since = self._reactor.seconds()
            self.log.error("The database is away, reading from crawlers stops: {error}", error=error)
        self._flow(False)

    def _found(self) -> None:
        if self.away_since is not None:
            seconds = self._reactor.seconds() - self.away_since
            self.away_since = None
            self.log.info("The database is back after {seconds:.1f} s", seconds=seconds)

    def _flow(self, flowing: bool) -> None:
        if flowing != self._flowing:
            self._flowing = flowing
            self.on_flow(flowing)

    def _broken(self, failure: Failure) -> None:
        self._running = None
        self.log.failure("The writer failed", failure)
        if self.waiting or self._sent is not None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(self._broken)


def _folded(batch: Batch) -> Folded:
    return Folded([operation for operation, _ in batch])
