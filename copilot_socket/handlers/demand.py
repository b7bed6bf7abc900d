"""How many jobs to claim beside a batch of reports, for crawlers that have just ended theirs and are about to ask.

Crawlers differ. One that works on a job for minutes needs the next one when the end of that is stored. One whose jobs
are over in a moment would spend its time waiting for commits: it is given the next one before, and so many are
claimed for all of these together that there is one when they ask.
"""

from collections import deque
from collections.abc import Collection, Mapping

from copilot_socket.core.jobs import commands_for
from copilot_socket.handlers.crawlers import Crawler, Registry
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.standing import MAX_CLAIM, Standing
from copilot_socket.store.turns import NONE_AHEAD, Ahead

MAX_UNSTORED = 8
"""Ends of jobs that a crawler may have told and not seen stored, to be given the next job all the same."""

EntityTypes = tuple[str, ...]


def runs_ahead(standing: Standing) -> bool:
    """Whether its crawler can be given a job before what it said is stored.

    It must hear of that by acks. To one that does not, the next job says that the end of the one before is stored.
    """
    crawler = standing.crawler
    return "ack" in standing.link.capabilities and crawler.ending < MAX_UNSTORED and not crawler.plain


class Demand:
    """Counts who is about to ask, and remembers what has been claimed for that."""

    def __init__(self, registry: Registry, reserve: Reserve) -> None:
        self._registry = registry
        self._reserve = reserve
        self._asked: deque[tuple[EntityTypes, int]] = deque()
        self.hungry: dict[str, Standing] = {}
        """Requests of crawlers that have reports on their way to the database, by the crawlers' keys."""

    @property
    def in_flight(self) -> bool:
        """Whether claims are on their way."""
        return bool(self._asked)

    def wants(self, endings: Mapping[str, Collection[str]]) -> Ahead:
        """What to claim beside the end of these assignments, by the keys of the crawlers that tell it."""
        wanted: dict[EntityTypes, int] = {}
        more: dict[EntityTypes, int] = {}
        for key, assignments in endings.items():
            crawler = self._registry.get(key)
            if crawler is None or not crawler.present:
                continue
            types, standing = crawler.entity_types, self.hungry.get(key)
            wanted[types] = wanted.get(types, 0) + _next(crawler, standing, len(assignments))
            if standing is not None and crawler.quick and runs_ahead(standing):
                more[types] = more.get(types, 0) + min(standing.limit, max(0, crawler.room))
        if not wanted:
            return NONE_AHEAD
        # All in one statement take the same commands; who takes others is served by a round of claiming.
        types = max(wanted, key=lambda each: wanted[each])
        coming = sum(count for each, count in self._asked if each == types) + self._reserve.count(types)
        number = min(wanted[types] + max(0, more.get(types, 0) - coming), MAX_CLAIM)
        ahead = Ahead(number, commands_for(types))
        if ahead:
            self._asked.append((types, number))
        return ahead

    def came(self) -> tuple[EntityTypes, int]:
        """The claims asked for first are here, or will never be: for whom they were, and how many."""
        return self._asked.popleft() if self._asked else ((), 0)


def _next(crawler: Crawler, standing: Standing | None, ended: int) -> int:
    """How many jobs take the places of *ended* ones."""
    if standing is not None and not crawler.quick:
        return min(standing.limit, ended)
    return ended if standing is not None or crawler.prompt else 0
