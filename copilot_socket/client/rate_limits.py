"""What the crawler of one job says of GitLab's rate limits. Pure."""

from collections.abc import Mapping
from typing import Any

INTERVAL = 1.0
"""Seconds between two messages about one limit. A crawler may say it after every response."""

State = Mapping[str, Any]
"""The ``data`` of a message."""


class RateLimits:
    """Of each limit, by its name, the latest state is sent, at most once every :data:`INTERVAL`."""

    def __init__(self) -> None:
        self._latest: dict[str, State] = {}
        """States that have not been sent yet."""
        self._next: dict[str, float] = {}
        """When a state may be sent again."""

    @property
    def deadline(self) -> float | None:
        """When :meth:`due` has something to send next."""
        return min((self._next[name] for name in self._latest), default=None)

    def say(self, data: State, now: float) -> list[State]:
        """Take a new state; what is to be sent at once."""
        self._latest[data.get("name", "")] = data
        return self.due(now)

    def due(self, now: float) -> list[State]:
        """What is to be sent now."""
        names = [name for name in self._latest if self._next.get(name, now) <= now]
        self._next.update(dict.fromkeys(names, now + INTERVAL))
        return [self._latest.pop(name) for name in names]

    def flush(self) -> list[State]:
        """What has not been sent yet: the job is over."""
        rest = list(self._latest.values())
        self._latest.clear()
        return rest
