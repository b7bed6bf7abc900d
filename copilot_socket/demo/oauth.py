"""The tokens of the made-up GitLab: bearer tokens that expire, and the refresh-token grant."""

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
    """Issues and validates tokens. *now* returns seconds; *lifetime*: seconds of a new token."""

    def __init__(self, now: Callable[[], float], seed: int = 1, lifetime: int = 7200) -> None:
        self._now = now
        self._random = Random(f"tokens {seed}")
        self._lifetime = lifetime
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, str] = {}
        self._successors: dict[str, Pair] = {}
        self.refreshes = 0

    def issue(self, expired: bool = False) -> Pair:
        """A new pair; with *expired*, its access token has already expired."""
        now = self._now()
        lifetime = 0 if expired else self._lifetime
        pair = Pair(self._secret("glat"), self._secret("glrt"), lifetime, now)
        self._access[pair.access_token] = _Access(now + lifetime)
        self._refresh[pair.refresh_token] = pair.access_token
        return pair

    def state(self, access_token: str) -> State:
        """The state of *access_token* now."""
        access = self._access.get(access_token)
        if access is None:
            return "unknown"
        if access.revoked:
            return "revoked"
        return "expired" if access.expires_at <= self._now() else "valid"

    def refresh(self, refresh_token: str) -> Pair | None:
        """A new pair that replaces the old one, or None if *refresh_token* is not valid.

        Using one a second time revokes its successors, as in GitLab, since it may have been stolen.
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
        """Revoke this access token; its refresh token stays valid."""
        self._access[access_token].revoked = True

    def _secret(self, prefix: str) -> str:
        return f"{prefix}-{self._random.getrandbits(160):040x}"
