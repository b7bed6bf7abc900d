"""The made-up GitLab's tokens: bearer tokens that expire, and the refresh-token grant that replaces them."""

from collections.abc import Callable
from random import Random
from typing import Literal

import attrs

State = Literal["valid", "expired", "revoked", "unknown"]


@attrs.frozen
class Pair:
    """An access token and the refresh token that replaces it; ``lifetime`` in seconds."""

    access_token: str
    refresh_token: str
    lifetime: int
    created_at: float


@attrs.define
class _Access:
    expires_at: float
    revoked: bool = False


class TokenBook:
    """Who may come in. *now* gives seconds, *lifetime* (seconds) is a new token's."""

    def __init__(self, now: Callable[[], float], seed: int = 1, lifetime: int = 7200) -> None:
        self._now = now
        self._random = Random(f"tokens {seed}")
        self._lifetime = lifetime
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, str] = {}
        self._successors: dict[str, Pair] = {}
        self.refreshes = 0

    def issue(self, expired: bool = False) -> Pair:
        """A new pair; with *expired* its access token's time is already over."""
        now = self._now()
        lifetime = 0 if expired else self._lifetime
        pair = Pair(self._secret("glat"), self._secret("glrt"), lifetime, now)
        self._access[pair.access_token] = _Access(now + lifetime)
        self._refresh[pair.refresh_token] = pair.access_token
        return pair

    def state(self, access_token: str) -> State:
        """What this access token is worth now."""
        access = self._access.get(access_token)
        if access is None:
            return "unknown"
        if access.revoked:
            return "revoked"
        return "expired" if access.expires_at <= self._now() else "valid"

    def refresh(self, refresh_token: str) -> Pair | None:
        """Replace both tokens, or None when *refresh_token* is not good any more.

        To use one a second time revokes what it was replaced by, as with GitLab: somebody has stolen it.
        """
        access_token = self._refresh.pop(refresh_token, None)
        if access_token is None:
            if refresh_token in self._successors:
                self._withdraw(self._successors[refresh_token])
            return None
        self._access[access_token].revoked = True
        self.refreshes += 1
        pair = self._successors[refresh_token] = self.issue()
        return pair

    def _withdraw(self, pair: Pair) -> None:
        self._refresh.pop(pair.refresh_token, None)
        self._access[pair.access_token].revoked = True

    def revoke(self, access_token: str) -> None:
        """Make this access token worthless; its refresh token still works."""
        self._access[access_token].revoked = True

    def _secret(self, prefix: str) -> str:
        return f"{prefix}-{self._random.getrandbits(160):040x}"
