"""Other nodes that claim from the same queue: all reach for the best jobs, and pass over those that are locked."""

from twisted.internet.interfaces import IReactorTime

MEMORY = 1.0
"""Seconds for which a node remembers that another was faster."""
SHARE = 2
"""Jobs that are looked at beside each that is wanted: as many as two other nodes are likely to have locked."""


class Rivals:
    """Whether there are some, by what became of claims."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._until = float("-inf")

    def met(self) -> None:
        """Another node was faster for something that was to be claimed here."""
        self._until = self._reactor.seconds() + MEMORY

    def spare(self, wanted: int) -> int:
        """How many jobs are to be looked at beside *wanted* ones: none while there is nobody else."""
        return SHARE * wanted if self._reactor.seconds() < self._until else 0
