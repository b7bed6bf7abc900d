"""What the handler of one job says of GitLab's rate limits."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INTERVAL = 1.0
"""Seconds between two messages about one limit. A handler may say it after every response."""


class RateLimits:
    """Sends the latest state of each limit, by its name, at most once every :data:`INTERVAL`."""

    def __init__(self, clock: IReactorTime, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._clock = clock
        self._send = send
        self._latest: dict[str, Mapping[str, Any]] = {}
        """States that have not been sent yet."""
        self._timers: dict[str, IDelayedCall] = {}

    def say(self, data: Mapping[str, Any]) -> None:
        """Send *data*, the ``data`` of a message, now or when its limit's interval is over."""
        name = data.get("name", "")
        self._latest[name] = data
        if name not in self._timers:
            self._send_latest(name)

    def close(self, *, flush: bool) -> None:
        """The job is over. *flush*: send now what has not been sent yet."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if flush:
            for data in self._latest.values():
                self._send(data)
        self._latest.clear()

    def _send_latest(self, name: str) -> None:
        self._timers.pop(name, None)
        data = self._latest.pop(name, None)
        if data is not None:
            self._timers[name] = self._clock.callLater(INTERVAL, self._send_latest, name)
            self._send(data)
