"""Jobs that are the node's: claimed a little ahead of the requests that they are for."""

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.store.turns import Claimed

PATIENCE = 0.1
"""Seconds that a job waits for somebody to ask; then it goes back."""

Kept = tuple[float, Claimed]
"""When a job came into the reserve, in reactor seconds, and the job."""


class Reserve:
    """What is kept, by the entity types of those it is for. ``on_unwanted`` is told of jobs that nobody asked for."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._kept: dict[tuple[str, ...], deque[Kept]] = {}
        self._known: set[str] = set()
        self._timer: IDelayedCall | None = None
        self.on_unwanted: Callable[[Sequence[Claimed]], None] = lambda _jobs: None

    def __contains__(self, assignment: str) -> bool:
        """Whether *assignment* is known to be the node's, or about to be put down to a crawler or to go back."""
        return assignment in self._known

    def count(self, entity_types: tuple[str, ...]) -> int:
        """How many jobs are kept for crawlers that take *entity_types*."""
        return len(self._kept.get(entity_types, ()))

    def keep(self, entity_types: tuple[str, ...], jobs: Sequence[Claimed]) -> None:
        """Keep *jobs*, which were claimed for crawlers that take *entity_types*, until one asks."""
        if not jobs:
            return
        now = self._reactor.seconds()
        self._known.update([job.assignment for job in jobs])
        self._kept.setdefault(entity_types, deque()).extend([(now, job) for job in jobs])
        if self._timer is None:
            self._timer = self._reactor.callLater(PATIENCE, self._look)

    def take(self, entity_types: tuple[str, ...], most: int) -> list[Claimed]:
        """What has been kept longest for crawlers that take *entity_types*, up to *most* jobs."""
        kept = self._kept.get(entity_types)
        if not kept:
            return []
        return [kept.popleft()[1] for _ in range(min(most, len(kept)))]

    def drop(self, assignment: str) -> None:
        """The try is over: somebody has cancelled the job, perhaps."""
        if assignment not in self._known:
            return
        self.forget(assignment)
        for entity_types, kept in self._kept.items():
            self._kept[entity_types] = deque([each for each in kept if each[1].assignment != assignment])

    def forget(self, assignment: str) -> None:
        """*assignment* is the node's no more."""
        self._known.discard(assignment)

    def stop(self) -> None:
        """Give everything back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_back(lambda _since: True)

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        self._give_back(lambda since: now - since >= PATIENCE)
        left = [kept[0][0] for kept in self._kept.values() if kept]
        if left:
            self._timer = self._reactor.callLater(max(0.0, min(left) + PATIENCE - now), self._look)

    def _give_back(self, due: Callable[[float], bool]) -> None:
        unwanted: list[Claimed] = []
        for kept in self._kept.values():
            while kept and due(kept[0][0]):
                unwanted.append(kept.popleft()[1])
        if unwanted:
            self.on_unwanted(unwanted)
