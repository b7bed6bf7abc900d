"""The reading clock, which silence is measured with.

It runs only while this node reads from crawlers: a node that was suspended, overloaded or waiting for its database
received nothing, and must not conclude that every crawler is dead.
"""

import attrs


@attrs.define
class ReadingClock:
    """Counts the seconds in which the node was reading, by ticks that are due every *interval* seconds."""

    interval: float
    reading: bool = True
    now: float = 0.0
    _last: float | None = None

    def tick(self, clock: float) -> float:
        """Advance to *clock* (monotonic seconds); return this clock's time.

        A late tick means that the node was blocked in between: at most two intervals count.
        """
        if self._last is not None and self.reading:
            self.now += min(max(clock - self._last, 0.0), 2 * self.interval)
        self._last = clock
        return self.now

    def pause(self, clock: float) -> None:
        """The node stops reading."""
        self.tick(clock)
        self.reading = False

    def resume(self, clock: float) -> None:
        """The node reads again."""
        self.tick(clock)
        self.reading = True
