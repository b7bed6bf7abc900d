"""The clock that silence is measured with.

A crawler is silent only while this node was reading. A node that was stopped, swamped or waiting for its
database hears nothing either, and must not take that for the death of every crawler.
"""

import attrs


@attrs.define
class ReadingClock:
    """Counts the seconds in which the node was reading, from ticks that come every *interval* seconds."""

    interval: float
    reading: bool = True
    now: float = 0.0
    _last: float | None = None

    def tick(self, clock: float) -> float:
        """Take note of *clock* (monotonic seconds) and return this clock's time.

        A tick that comes late says that the node stood still in between: at most two intervals count.
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
