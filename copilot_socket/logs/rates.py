"""Rate limits for log lines: a number a second, or one a minute for each key. Suppressed lines are counted."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

MINUTE = 60.0
MAX_KEYS = 1000
"""Keys that are distinguished; further ones count as one."""


class Burst:
    """Lets *most* lines a second pass. *sum_up* is called with the number of the others at the end of the second."""

    def __init__(self, most: int, reactor: IReactorTime, sum_up: Callable[[int], None]) -> None:
        self._most = most
        self._reactor = reactor
        self._sum_up = sum_up
        self._ends = float("-inf")
        self._left = 0
        self._counted = 0
        self._timer: IDelayedCall | None = None

    def room(self, wanted: int = 1) -> int:
        """How many of *wanted* lines may be written now; the others are counted."""
        now = self._reactor.seconds()
        if now >= self._ends:
            self._ends, self._left = now + 1.0, self._most
        room = min(wanted, self._left)
        self._left -= room
        self._counted += wanted - room
        if self._counted and self._timer is None:
            self._timer = self._reactor.callLater(self._ends - now, self.over)
        return room

    def over(self) -> None:
        """End the second now: sum up what was counted."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._counted:
            counted, self._counted = self._counted, 0
            self._sum_up(counted)


class OncePerMinute:
    """Lets one line a minute pass for each key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, int]] = {}
        """Key → the end of its minute, and the number of lines counted; oldest first."""

    def counted(self, key: str) -> int | None:
        """The lines of *key* suppressed since the last one that passed; None if this one is suppressed, too."""
        now = self._clock()
        if key not in self._kept and len(self._kept) >= MAX_KEYS:
            self._forget(now)
            if len(self._kept) >= MAX_KEYS:
                key = ""
        until, count = self._kept.get(key, (now, 0))
        if now < until:
            self._kept[key] = until, count + 1
            return None
        self._kept.pop(key, None)
        self._kept[key] = now + MINUTE, 0
        return count

    def _forget(self, now: float) -> None:
        for key in [key for key, (until, _) in self._kept.items() if until <= now]:
            del self._kept[key]
