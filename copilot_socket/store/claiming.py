"""Claims beside reports: the dispatcher's plan goes into the transaction that stores a batch, or stands alone."""

from collections.abc import Collection, Mapping
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.store.batches import Batches, Written
from copilot_socket.store.faults import Remedy, remedy, unknown_outcome
from copilot_socket.store.outage import level
from copilot_socket.store.turns import NO_PLAN, NOTHING_CLAIMED, Claim, Plan, Settled

CLAIM_RETRY = 0.2
"""Seconds before the next claim after one that failed."""

Endings = Mapping[str, Collection[str]]
"""The assignments that a batch says are over, by the keys of the crawlers that say so."""


class Claimant(Protocol):
    """Who dispatches jobs: they are claimed in the transaction that stores reports."""

    def plan(self, endings: Endings) -> Plan:
        """What to claim with a batch that holds *endings*."""

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """*claim* came of *plan* and is committed: note it before the next plan is made."""

    def deliver(self, plan: Plan, claim: Claim) -> None:
        """Send what was claimed."""

    def unknown(self, plan: Plan) -> None:
        """Whether anything came of *plan* is not known."""


class NoClaimant:
    """Claims nothing."""

    def plan(self, endings: Endings) -> Plan:
        """Nothing."""
        return NO_PLAN

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """There is nothing."""

    def deliver(self, plan: Plan, claim: Claim) -> None:
        """There is nothing."""

    def unknown(self, plan: Plan) -> None:
        """There is none."""


class Claiming:
    """The writer's side of claims. Whatever the claimant does, the reports of a batch are stored."""

    log = Logger()

    def __init__(self, batches: Batches, reactor: IReactorTime) -> None:
        self._batches = batches
        self._reactor = reactor
        self._refused = ""
        """The reason logged last for a refused claim."""
        self.claimant: Claimant = NoClaimant()

    def plan(self, endings: Endings) -> Plan:
        """What to claim beside a batch that holds *endings*."""
        with self.log.failureHandler("Planning what to claim failed"):
            return self.claimant.plan(endings)
        return NO_PLAN

    def book(self, written: Written, endings: Endings) -> None:
        """Have what was claimed noted, before the next plan is made."""
        with self.log.failureHandler("Noting what was claimed failed"):
            self.claimant.book(written.plan, written.claim, endings)

    def deliver(self, written: Written) -> None:
        """Have what was claimed sent."""
        if written.plan:
            with self.log.failureHandler("Delivering what was claimed failed"):
                self.claimant.deliver(written.plan, written.claim)

    def failed(self, plan: Plan, error: Exception) -> None:
        """Nothing came of *plan*, or that is not known."""
        if not plan:
            return
        with self.log.failureHandler("Noting that nothing was claimed failed"):
            if unknown_outcome(error):
                self.claimant.unknown(plan)
            self.claimant.book(plan, NOTHING_CLAIMED, {})

    async def alone(self, plan: Plan) -> list[Written]:
        """Claim without a batch. What fails is planned anew after a moment; reports find out about outages."""
        try:
            claim = await self._batches.claim(plan)
        except Exception as error:
            if remedy(error) is Remedy.REFUSE and plan.allotments:
                return [each for part in plan.apart() for each in await self._part(part)]
            self.failed(plan, error)
            self.log.emit(level(error, LogLevel.warn), "Claiming failed and is tried again: {error}", error=error)
            await deferLater(self._reactor, CLAIM_RETRY)
            return []
        return [Written([], [], plan, claim)]

    async def _part(self, plan: Plan) -> list[Written]:
        """Claim a part of what PostgreSQL has refused: a job that can't be claimed keeps nobody from others."""
        try:
            claim = await self._batches.claim(plan)
        except Exception as error:
            if remedy(error) is not Remedy.REFUSE:
                if unknown_outcome(error):
                    self.claimant.unknown(plan)
                return [Written([], [], plan, NOTHING_CLAIMED)]  # noted after the parts before it
            why = str(error).split("\n", 1)[0]
            if why != self._refused:
                self.log.error("The database refuses a claim: {error}", error=why)
            self._refused = why
            claim = Claim(
                settled=[Settled(each, tried=True, exhausted=False, beaten=True) for each in plan.allotments]
            )
        return [Written([], [], plan, claim)]
