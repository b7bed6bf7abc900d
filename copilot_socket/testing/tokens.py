"""The tokens that a server for tests gives out."""

from itertools import count


class Tokens:
    """There is one that is valid, until the test says otherwise."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.current = self._next()
        """What new jobs are sent with."""
        self.refreshes = 0
        """How many new tokens were given out."""
        self.refused = False
        """Whether requests for a new token are in vain."""
        self._expired: set[str] = set()

    def _next(self) -> str:
        return f"token-{next(self._numbers)}"

    def valid(self, token: str) -> bool:
        """Whether a GitLab would accept *token*."""
        return token == self.current and token not in self._expired

    def expire(self) -> None:
        """Let the present token expire: nobody knows yet but GitLab."""
        self._expired.add(self.current)

    def refresh(self, old: str) -> str:
        """The token that replaces *old*; empty if there is none."""
        if self.refused:
            return ""
        if old == self.current:
            self.current = self._next()
            self.refreshes += 1
        return self.current
