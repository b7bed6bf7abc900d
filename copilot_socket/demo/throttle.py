"""The rate limit of the made-up GitLab: so many requests in each window of time. Pure."""

from collections.abc import Mapping

import attrs


@attrs.define
class Throttle:
    """Allows *limit* requests in each window of *seconds*."""

    limit: int
    seconds: float
    refused: int = 0
    _window: int = -1
    _used: int = 0

    def count(self, now: float) -> tuple[bool, Mapping[str, str]]:
        """Count a request at *now* (seconds since 1970): whether it is allowed, and the headers that say so."""
        window = int(now // self.seconds)
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        end = (window + 1) * self.seconds
        headers = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self._used)),
            "RateLimit-Reset": str(round(end)),
            "RateLimit-Name": "throttle_authenticated_api",
        }
        if self._used <= self.limit:
            return True, headers
        self.refused += 1
        return False, {**headers, "Retry-After": str(max(1, round(end - now)))}
