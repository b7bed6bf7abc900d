"""How attempts of crawlers ended, counted by slices of time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from copilot_socket.core.ends import SPENDING, Cause

SLICE = 300
"""Seconds of a slice."""
SLICES = 12
"""Slices that are kept while the database is away: an hour."""


class Key(NamedTuple):
    """What is counted. ``at``: the beginning of the slice, in seconds since the epoch; ``crawler``: its identity."""

    at: int
    crawler: str
    cause: Cause


@attrs.define
class Ends:
    """How many ``attempts`` ended; ``ran`` of them lasted ``seconds`` together."""

    attempts: int = 0
    ran: int = 0
    seconds: float = 0.0


class CrawlerEnds:
    """Counts until they are stored, and for the rest of their slice: what is stored replaces what was before."""

    def __init__(self) -> None:
        self._counts: dict[Key, Ends] = {}
        self._changed: set[Key] = set()
        """Those that are not stored as they are now."""

    def add(self, at: float, crawler: str, cause: Cause, seconds: float | None) -> None:
        """Count an attempt that ended at the time *at*, after *seconds*, if that is known."""
        key = Key(int(at // SLICE * SLICE), crawler, cause)
        ends = self._counts.get(key)
        if ends is None:
            ends = self._counts[key] = Ends()
        ends.attempts += 1
        if seconds is not None:
            ends.ran += 1
            ends.seconds += max(seconds, 0.0)
        self._changed.add(key)

    def take(self, now: float) -> dict[Key, Ends]:
        """What is to be stored; afterwards it counts as stored. Counts of former slices are forgotten then."""
        taken = {key: attrs.evolve(self._counts[key]) for key in self._changed}
        self._changed.clear()
        # The last slice stays: the clocks may differ by a little from one time to the next.
        oldest = now // SLICE * SLICE - SLICE
        self._counts = {key: ends for key, ends in self._counts.items() if key.at >= oldest}
        return taken

    def put_back(self, taken: Mapping[Key, Ends], now: float) -> None:
        """Storing what was *taken* has failed; it is kept for an hour."""
        for key, ends in taken.items():
            if key.at >= now - SLICES * SLICE:
                self._counts.setdefault(key, ends)
                self._changed.add(key)


def summed_up(ends: Sequence[tuple[str, int, int, float]]) -> dict[str, Any]:
    """Of one crawler: cause, attempts, how many have a known duration, and these seconds, as they are shown."""
    ran = sum(each[2] for each in ends)
    return {
        "ended": {cause: attempts for cause, attempts, *_ in ends},
        "completed": sum(attempts for cause, attempts, *_ in ends if cause == Cause.COMPLETED),
        "failed": sum(attempts for cause, attempts, *_ in ends if cause in SPENDING),
        "seconds": round(sum(each[3] for each in ends) / ran, 3) if ran else None,
    }
