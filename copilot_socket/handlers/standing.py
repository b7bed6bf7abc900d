"""Requests for work that stand, and what a round of claiming is to bring them, or has brought."""

from collections.abc import Iterable, Sequence

import attrs

from copilot_socket.handlers.crawlers import Crawler, Link
from copilot_socket.store.turns import Claimed

MAX_CLAIM = 500
"""Jobs that one round of claiming may take, for all crawlers together."""


@attrs.define(eq=False)
class Standing:
    """A crawler's request for work; ``answered`` once it was given at least an empty response."""

    crawler: Crawler
    link: Link
    limit: int
    answered: bool = False
    settled: bool = False
    """What its crawler had said before is stored."""


def by_entity_types(requests: Sequence[Standing]) -> dict[tuple[str, ...], list[Standing]]:
    """*requests* by what their crawlers take: those of one group are served by one claim."""
    groups: dict[tuple[str, ...], list[Standing]] = {}
    for request in requests:
        groups.setdefault(request.crawler.entity_types, []).append(request)
    return groups


def room_of(requests: Sequence[Standing]) -> dict[str, int]:
    """How many jobs each crawler is to get: what it asked for and has room for, all together ``MAX_CLAIM``."""
    room: dict[str, int] = {}
    left = MAX_CLAIM
    for item in requests:
        wanted = min(item.limit, item.crawler.room, left)
        if wanted > 0:
            room[item.crawler.key] = wanted
            left -= wanted
    return room


def never_sent(job: Claimed, crawler: Crawler) -> bool:
    """Whether *job*, claimed for *crawler*, has not gone out to it."""
    held = crawler.held.get(job.assignment)
    return held is None or held.sent_at is None


def fit(jobs: Iterable[Claimed], crawler: Crawler) -> tuple[list[Claimed], list[Claimed]]:
    """Those of *jobs* for which *crawler* has room, or of which it is known to have them, and the others."""
    fitting: list[Claimed] = []
    spare: list[Claimed] = []
    room = crawler.room
    for job in jobs:
        if job.assignment in crawler.held:
            fitting.append(job)
        elif room > 0:
            fitting.append(job)
            room -= 1
        else:
            spare.append(job)
    return fitting, spare


def by_crawler(jobs: Iterable[Claimed]) -> dict[str, list[Claimed]]:
    """*jobs* by the keys of the crawlers that they were claimed for."""
    theirs: dict[str, list[Claimed]] = {}
    for job in jobs:
        if job.crawler is not None:
            theirs.setdefault(job.crawler, []).append(job)
    return theirs
