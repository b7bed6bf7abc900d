"""Claims for the node beside a batch of reports: for crawlers that have just ended their jobs and are about to ask.

Crawlers differ. One that works on a job for minutes needs the next one when the end of that is stored. One whose jobs
are over in a moment would spend its time waiting for commits: it is given the next one before, and so many are
claimed for all of these together that there is one when they ask (docs/adr/0011).
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from copilot_socket.handlers.crawlers import Crawler, Registry
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.rivals import Rivals
from copilot_socket.handlers.standing import MAX_CLAIM, Standing
from copilot_socket.store.claims import Claims
from copilot_socket.store.turns import NONE_AHEAD, Ahead, Claim, Claimed

MAX_UNSTORED, TIMES_ITS_JOBS = 16, 2
"""Ends of jobs that a crawler may have told and not seen stored, to be given the next job all the same: so many, or
so many times the jobs that it may hold."""

EntityTypes = tuple[str, ...]


def runs_ahead(standing: Standing) -> bool:
    """Whether its crawler can be given a job before what it said is stored.

    It must hear of that by acks. To one that does not, the next job says that the end of the one before is stored.
    """
    crawler = standing.crawler
    most = max(MAX_UNSTORED, TIMES_ITS_JOBS * crawler.max_jobs)
    return "ack" in standing.link.capabilities and crawler.ending < most and not crawler.plain


class ClaimsAhead:
    """Says how many, and keeps what comes of it: the writer's :class:`~copilot_socket.store.writer.Claimant`.

    ``on_kept`` is told the entity types that there is something for, and whether the queue has no more.
    """

    def __init__(self, registry: Registry, reserve: Reserve, rivals: Rivals, claims: Claims) -> None:
        self._registry = registry
        self._reserve = reserve
        self._rivals = rivals
        self._claims = claims
        self._coming: Counter[EntityTypes] = Counter()
        """How many jobs are being claimed."""
        self._stopped = False
        self._looking = False
        self.in_doubt = False
        """Whether something was committed is not known."""
        self.hungry: dict[str, Standing] = {}
        """Requests of crawlers that have reports on their way to the database, by the crawlers' keys."""
        self.on_kept: Callable[[EntityTypes, bool], None] = lambda _types, _all: None
        self.on_more: Callable[[], None] = lambda: None
        """Called where another node was faster, or something is in doubt: there may be more."""

    def stop(self) -> None:
        """Claim no more."""
        self._stopped = True

    def wants(self, endings: Mapping[str, Collection[str]]) -> Ahead:
        """What to claim beside the end of these assignments, by the keys of the crawlers that tell it."""
        if self._stopped or self.in_doubt or self._looking:
            return NONE_AHEAD
        wanted: Counter[EntityTypes] = Counter()
        missing: Counter[EntityTypes] = Counter()
        hungry: Counter[EntityTypes] = Counter()
        for key, assignments in endings.items():
            crawler = self._registry.get(key)
            if crawler is None or not crawler.present:
                continue
            types, standing = crawler.entity_types, self.hungry.get(key)
            wanted[types] += _next(crawler, standing, len(assignments))
            if standing is not None and crawler.quick and runs_ahead(standing):
                missing[types] += min(standing.limit, max(0, crawler.room))
                hungry[types] += 1
        if not wanted:
            return NONE_AHEAD
        # All in one statement take the same commands; who takes others is served by a round of claiming.
        types = max(wanted, key=lambda each: wanted[each])
        kept = self._reserve.count(types)
        # Whoever is hungry though jobs were claimed for it has done all that it had: so one more each time.
        more = max(0, missing[types] - self._coming[types] - kept, hungry[types] - kept)
        number = min(wanted[types] + more, MAX_CLAIM)
        ahead = Ahead(number, types, self._rivals.spare(number))
        if ahead:
            self._coming[types] += ahead.number
        return ahead

    def claimed(self, ahead: Ahead, claim: Claim) -> None:
        """*claim* came of the wish *ahead*: it is committed."""
        self._coming[ahead.entity_types] -= ahead.number
        self._reserve.keep(ahead.entity_types, claim.jobs)
        self.on_kept(ahead.entity_types, len(claim.jobs) < ahead.number)
        if claim.contended:
            self._rivals.met()
            self.on_more()

    def doubt(self, ahead: Ahead) -> None:
        """Whether anything came of the wish *ahead* is not known; a look will tell."""
        self._coming[ahead.entity_types] -= ahead.number
        self.in_doubt = True
        self.on_more()

    async def unheard(self) -> Sequence[Claimed]:
        """What is the node's by the database, and not known of here. Meanwhile nothing is claimed."""
        if self._coming.total() or self._looking:
            return ()
        self._looking = True
        try:
            jobs = [job for job in await self._claims.reserved() if job.assignment not in self._reserve]
        finally:
            self._looking = False
        self.in_doubt = False
        return jobs


def _next(crawler: Crawler, standing: Standing | None, ended: int) -> int:
    """How many jobs take the places of *ended* ones."""
    if standing is not None and not crawler.quick:
        return min(standing.limit, ended)
    return ended if standing is not None or crawler.prompt else 0
