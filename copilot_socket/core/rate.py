"""Limits how often something may happen."""


class Rate:
    """*per_second* times a second on average, and as often at once after a second without any.

    A token bucket, in the form of the generic cell rate algorithm (ITU-T I.371): one time instead of a count.
    """

    def __init__(self, per_second: int) -> None:
        self._interval = 1 / per_second
        self._due = float("-inf")
        """When all that was counted would be over at an even pace."""

    def wait(self, now: float) -> float:
        """Seconds from *now* until it may happen again; 0 if it may."""
        # Half an interval keeps rounding from costing the last one of a burst.
        return max(0.0, self._due - now - 1 + self._interval / 2)

    def count(self, now: float) -> None:
        """It happens."""
        self._due = max(self._due, now) + self._interval
