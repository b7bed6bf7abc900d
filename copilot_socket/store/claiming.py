"""Claims by the writer: the dispatcher's plan is run in the transaction that stores a batch, or in its own."""

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
"""Seconds between a claim that failed and the next one."""

Endings = Mapping[str, Collection[str]]
"""Key of a crawler → the assignments whose end it reports in a batch."""


class Claimant(Protocol):
    """The dispatcher, as the writer sees it: jobs are claimed in the transaction that stores reports."""

    def plan(self, endings: Endings) -> Plan:
        """Make the plan to claim by with a batch that holds *endings*."""

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """Record *claim*, the committed result of *plan*; called before the next plan is made."""

    def deliver(self, plan: Plan, claim: Claim) -> None:
        """Send the claimed jobs to their crawlers; called after :meth:`book`."""

    def outcome_unknown(self, plan: Plan) -> None:
        """The transaction of *plan* has an unknown outcome."""


class NoClaimant:
    """Claims nothing."""

    def plan(self, endings: Endings) -> Plan:
        """See :meth:`Claimant.plan`."""
        return NO_PLAN

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """See :meth:`Claimant.book`."""

    def deliver(self, plan: Plan, claim: Claim) -> None:
        """See :meth:`Claimant.deliver`."""

    def outcome_unknown(self, plan: Plan) -> None:
        """See :meth:`Claimant.unknown`."""


class Claiming:
    """The writer's side of claims. Errors of the claimant are logged; reports are stored all the same."""

    log = Logger()

    def __init__(self, batches: Batches, reactor: IReactorTime) -> None:
        self._batches = batches
        self._reactor = reactor
        self._refused = ""
        """The error logged last for a refused claim."""
        self.claimant: Claimant = NoClaimant()

    def plan(self, endings: Endings) -> Plan:
        """The claimant's plan for a batch that holds *endings*."""
        with self.log.failureHandler("Planning a claim failed"):
            return self.claimant.plan(endings)
        return NO_PLAN

    def book(self, written: Written, endings: Endings) -> None:
        """Have the claim of a committed batch recorded."""
        with self.log.failureHandler("Recording a claim failed"):
            self.claimant.book(written.plan, written.claim, endings)

    def deliver(self, written: Written) -> None:
        """Have the claimed jobs of a committed batch sent."""
        if written.plan:
            with self.log.failureHandler("Delivering claimed jobs failed"):
                self.claimant.deliver(written.plan, written.claim)

    def failed(self, plan: Plan, error: Exception) -> None:
        """Have it recorded that *plan* claimed nothing, or that its outcome is unknown."""
        if not plan:
            return
        with self.log.failureHandler("Recording a failed claim failed"):
            if unknown_outcome(error):
                self.claimant.outcome_unknown(plan)
            self.claimant.book(plan, NOTHING_CLAIMED, {})

    async def alone(self, plan: Plan) -> list[Written]:
        """Claim by *plan* without a batch. A claim that fails is planned again after :data:`CLAIM_RETRY` seconds."""
        try:
            claim = await self._batches.claim(plan)
        except Exception as error:
            if remedy(error) is Remedy.REFUSE and plan.allotments:
                return [each for part in plan.apart() for each in await self._part(part)]
            self.failed(plan, error)
            self.log.emit(level(error, LogLevel.warn), "A claim failed and will be repeated: {error}", error=error)
            await deferLater(self._reactor, CLAIM_RETRY)
            return []
        return [Written([], [], plan, claim)]

    async def _part(self, plan: Plan) -> list[Written]:
        """Claim by a part of a plan that PostgreSQL has refused, so that one faulty job does not block others."""
        try:
            claim = await self._batches.claim(plan)
        except Exception as error:
            if remedy(error) is not Remedy.REFUSE:
                if unknown_outcome(error):
                    self.claimant.outcome_unknown(plan)
                return [Written([], [], plan, NOTHING_CLAIMED)]  # recorded after the parts before it
            why = str(error).split("\n", 1)[0]
            if why != self._refused:
                self.log.error("The database refuses a claim: {error}", error=why)
            self._refused = why
            claim = Claim(
                settled=[Settled(each, tried=True, exhausted=False, beaten=True) for each in plan.allotments]
            )
        return [Written([], [], plan, claim)]
