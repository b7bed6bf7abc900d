"""The group commit: one queue, one batch in flight, and the writes that arrive meanwhile in the next."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.folding import Verdict
from copilot_socket.event_bus import EventBus, FlowChanged
from copilot_socket.store.batches import Batches, Written
from copilot_socket.store.claiming import Claimant, Claiming, Endings
from copilot_socket.store.discoveries import Discoveries, slices
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, remedy, unknown_outcome
from copilot_socket.store.turns import NO_PLAN, Plan
from copilot_socket.store.write_queue import Batch, Discovery, Entry, Outcome, Unstorable, WriteQueue
from copilot_socket.store.writes import Folded, Write

__all__ = ["Outcome", "Unstorable", "Writer"]

T = TypeVar("T")

FOLD_AHEAD = 200
"""Writes in the queue from which on the next batch is folded while one is written, and sent right after that.

To fold many writes takes as long as to write them. With fewer it is better that others join the batch meanwhile.
"""
WAIT_FIRST, WAIT_MOST = 0.05, 2.0
"""Seconds before a batch is written again while the database is away: at first, and at most."""
_CALLING_BACK_FAILED = "Calling back the outcome of a write failed"

Prepared = tuple[Batch, Folded | None]
Committed = tuple[list[Entry], Written, Endings]


class Writer:
    """Stores writes in the order in which they are queued. Never drops one: while the database is away it waits.

    Publishes :class:`~copilot_socket.event_bus.FlowChanged` when no more should be queued, and when there is room
    again.
    """

    log = Logger()

    def __init__(self, batches: Batches, discoveries: Discoveries, reactor: IReactorTime, bus: EventBus) -> None:
        self._batches = batches
        self._claiming = Claiming(batches, reactor)
        self._discoveries = discoveries
        self._reactor = reactor
        self._bus = bus
        self._queue = WriteQueue()
        self._running: Deferred[None] | None = None
        self._discovering = 0
        """The number of discoveries that are being stored."""
        self._prepared: Prepared | None = None
        """The next batch, folded while another is being written."""
        self._awake = False
        """Whether jobs may be there to claim."""
        self._sent: Deferred[list[Committed]] | None = None
        """The batch that is being written while the one before it is answered."""
        self._flowing = True
        self._idle_waiters: list[Deferred[None]] = []
        self._round_waiters: list[Deferred[None]] = []
        self.away_since: float | None = None
        """Reactor time at which the database was found to be away; None: it is not."""

    @property
    def waiting(self) -> int:
        """The number of writes that are not committed yet."""
        return self._queue.count

    @property
    def flowing(self) -> bool:
        """Whether writes may be submitted: see :class:`~copilot_socket.event_bus.FlowChanged`."""
        return self._flowing

    def submit(self, write: Write) -> "Deferred[Verdict]":
        """Queue *write*; fires with its verdict after the commit, or fails with :class:`Unstorable`."""
        d: Deferred[Verdict] = Deferred()
        self.enqueue(write, d)
        return d

    def enqueue(self, write: Write, outcome: Outcome) -> None:
        """Queue *write*; *outcome* is called back after commit or rejection."""
        self._queue.put(write, outcome)
        if self._running is None:
            self._start()
        if self._queue.full:
            self._flow(False)

    def drained(self) -> "Deferred[None]":
        """Fires once the queue is empty and nothing is in flight."""
        d: Deferred[None] = Deferred()
        self._idle_waiters.append(d)
        self._notify_idle()
        return d

    def round_over(self) -> "Deferred[None]":
        """Fires once the batch that is being written is answered and its claim delivered: now, if there is none."""
        d: Deferred[None] = Deferred()
        if self._running is None:
            d.callback(None)
        else:
            self._round_waiters.append(d)
        return d

    def claim_for(self, claimant: Claimant) -> None:
        """Claim jobs by the plans of *claimant* from now on."""
        self._claiming.claimant = claimant

    def wake(self) -> None:
        """Make a plan and claim by it, with the next batch or alone: there may be jobs to claim."""
        self._awake = True
        self._start()

    # -- batches

    def _start(self) -> None:
        if self._running is None and (self._queue or self._prepared or self._sent or self._awake):
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self._running = None
        self.log.failure("The writer failed", failure)
        self._start()

    async def _run(self) -> None:
        # Wait one turn of the reactor: the writes of one read go into one batch.
        await deferLater(self._reactor, 0)
        while (writing := self._sent or self._send()) is not None:
            self._sent = None
            committed = await writing
            self._book(committed)
            waiters, self._round_waiters = self._round_waiters, []
            # The next statement is sent before this batch is answered: the database works meanwhile.
            self._sent = self._send()
            self._answer(committed)
            for waiter in waiters:
                waiter.callback(None)
            if len(self._queue) >= FOLD_AHEAD and self._prepared is None:
                self._prepared = self._prepare()
        self._running = None
        self._notify_idle()

    def _notify_idle(self) -> None:
        waiters: list[Deferred[None]] = []
        if self._running is None:
            waiters, self._round_waiters = self._round_waiters, []
            if not self._discovering:
                waiters, self._idle_waiters = waiters + self._idle_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _send(self) -> "Deferred[list[Committed]] | None":
        """Start to write the next batch, or to claim alone; None if there is nothing to do."""
        self._awake = False
        if self._prepared is None and not self._queue:
            plan = self._claiming.plan({})
            return Deferred.fromCoroutine(self._claim(plan)) if plan else None
        (batch, folded), self._prepared = self._prepared or self._prepare(), None
        return Deferred.fromCoroutine(self._write(batch, folded))

    def _prepare(self) -> Prepared:
        """Take the next batch, and fold it."""
        batch = self._queue.take()
        folded = None
        with suppress(Exception):  # raised again, and handled, when the batch is written
            folded = _folded(batch.entries)
        return batch, folded

    async def _write(self, batch: Batch, folded: Folded | None) -> list[Committed]:
        committed = []
        if batch.entries:
            plan = NO_PLAN if folded is None else self._claiming.plan(folded.endings)
            committed = await self._commit(batch.entries, folded, plan)
        for discovery in batch.discoveries:
            self._discover(discovery)
        return committed

    async def _claim(self, plan: Plan) -> list[Committed]:
        return [([], written, {}) for written in await self._claiming.alone(plan)]

    async def _commit(
        self, entries: list[Entry], folded: Folded | None = None, plan: Plan = NO_PLAN
    ) -> list[Committed]:
        async def write() -> Written:
            nonlocal folded, plan
            try:
                folded = folded or _folded(entries)
                return await self._batches.write(folded, plan)
            except Exception as error:
                self._claiming.failed(plan, error)
                if folded is not None and unknown_outcome(error):
                    folded.outcome_unknown = True
                planned, plan = plan, NO_PLAN
                if planned and folded is not None and remedy(error) is Remedy.REFUSE:
                    return await self._batches.write(folded)  # the fault may be that of a job to claim
                raise

        try:
            written = await self._until_stored(write, self._database_away)
        except Exception as error:
            return await self._halve(entries, error)
        self._database_back()
        assert folded is not None
        committed: list[Committed] = [(entries, written, folded.endings)]
        return committed + await self._claim(plan) if plan and not written.plan else committed

    async def _until_stored(self, write: Callable[[], Awaitable[T]], away: Callable[[Exception], None]) -> T:
        """Call *write* until it succeeds; return its result. Raises an error only where the data are refused.

        *away* is called with each error that is due to the database being away.
        """
        wait = WAIT_FIRST
        while True:
            try:
                return await write()
            except Exception as error:
                what = remedy(error)
                if what is Remedy.REFUSE:
                    raise
                if what is Remedy.WAIT:
                    away(error)
                    await deferLater(self._reactor, wait)
                    wait = min(wait * 2, WAIT_MOST)

    async def _halve(self, entries: list[Entry], error: Exception) -> list[Committed]:
        if len(entries) > 1:
            middle = len(entries) // 2
            return [*await self._commit(entries[:middle]), *await self._commit(entries[middle:])]
        self._refuse(entries[0], error)
        return []

    # -- discoveries

    def _discover(self, discovery: Discovery) -> None:
        """Store *discovery* beside the batches; until then they take no further writes of its crawler."""
        self._discovering += 1
        d = Deferred.fromCoroutine(self._store(discovery))
        d.addErrback(lambda failure: self.log.failure("Storing a discovery failed", failure))
        d.addBoth(self._discovered, discovery[0].crawler)

    async def _store(self, discovery: Discovery) -> None:
        report, outcome = discovery
        verdict = Verdict.STORED
        try:
            for part in slices(report):
                # Batches are written meanwhile: it may be only this discovery that fails, on a lock for example.
                verdict = await self._until_stored(partial(self._discoveries.store, part), self._delayed)
                if verdict is not Verdict.STORED:
                    break
        except Exception as error:
            self._refuse(discovery, error)
            return
        self._queue.done([report])
        self._flow_if_low()
        outcome.callback(verdict)

    def _discovered(self, _result: None, crawler: str) -> None:
        self._discovering -= 1
        self._queue.go_on(crawler)
        self._start()
        self._notify_idle()

    # -- answers

    def _book(self, committed: list[Committed]) -> None:
        for _entries, written, endings in committed:
            self._claiming.book(written, endings)

    def _answer(self, committed: list[Committed]) -> None:
        """Publish the state events of *committed*, call back the outcomes, and deliver the claims."""
        for entries, written, _endings in committed:
            self._queue.done([write for write, _ in entries])
            for event in written.events:
                self._bus.publish(event)
            for (_, outcome), verdict in zip(entries, written.verdicts, strict=True):
                with self.log.failureHandler(_CALLING_BACK_FAILED):
                    outcome.callback(verdict)
            self._claiming.deliver(written)
        self._flow_if_low()

    def _refuse(self, entry: "Entry | Discovery", error: Exception) -> None:
        write, outcome = entry
        self._queue.done([write])
        what, why = type(write).__name__, str(error).split("\n", 1)[0]
        if isinstance(error, DATABASE_ERRORS):
            self.log.error("The database refuses {write}: {error}", write=what, error=why)
        else:
            self.log.failure("{write} could not be stored", Failure(error), write=what)
        with self.log.failureHandler(_CALLING_BACK_FAILED):
            outcome.errback(Unstorable(why))

    def _database_away(self, error: Exception) -> None:
        if self.away_since is None:
            self.away_since = self._reactor.seconds()
            self.log.error("The database is away; reading from crawlers is paused: {error}", error=error)
        self._flow(False)

    def _delayed(self, error: Exception) -> None:
        self.log.debug("Storing a discovery failed and will be repeated: {error}", error=error)

    def _database_back(self) -> None:
        if self.away_since is not None:
            seconds = self._reactor.seconds() - self.away_since
            self.away_since = None
            self.log.info("The database is back after {seconds:.1f} s", seconds=seconds)

    def _flow_if_low(self) -> None:
        if self._queue.low and self.away_since is None:
            self._flow(True)

    def _flow(self, flowing: bool) -> None:
        if flowing != self._flowing:
            self._flowing = flowing
            self._bus.publish(FlowChanged(flowing))


def _folded(entries: list[Entry]) -> Folded:
    return Folded([write for write, _ in entries])
