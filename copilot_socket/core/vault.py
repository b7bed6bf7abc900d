"""Tokens at rest: encrypted when there is a key.

A stored token says by its beginning what it is: ``fernet:`` is encrypted, anything else is the token itself
(``plain:`` stands before a token that would be mistaken for an encrypted one).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

ENCRYPTED = "fernet:"
PLAIN = "plain:"
CACHED_TOKENS = 1024


class VaultError(Exception):
    """A token can't be decrypted, or a key is none. Says which variable to mend and never holds a token."""


class Vault:
    """Encrypts with the first of *keys* (Fernet keys, newest first), decrypts with any. Raises :class:`VaultError`.

    Decrypted tokens stay in memory (the latest 1,024), since one account's token is asked for with every claim.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet = _cipher(keys) if keys else None
        self._decrypted = lru_cache(CACHED_TOKENS)(self._decrypt)

    def encrypt(self, token: str) -> str:
        """The form in which *token* is stored."""
        if self._fernet is not None:
            return ENCRYPTED + self._fernet.encrypt(token.encode()).decode()
        return PLAIN + token if token.startswith((ENCRYPTED, PLAIN)) else token

    def decrypt(self, stored: str) -> str:
        """The token that was stored as *stored*. Raises :class:`VaultError` if no key fits."""
        if stored.startswith(ENCRYPTED):
            return self._decrypted(stored)
        return stored.removeprefix(PLAIN)

    def opens(self, stored: str) -> bool:
        """Whether the token that was stored as *stored* can be decrypted. It does not stay in memory."""
        try:
            self._decrypt(stored)
        except VaultError:
            return False
        return True

    def _decrypt(self, stored: str) -> str:
        if self._fernet is None:
            raise VaultError("a stored token is encrypted, but COPILOT_SECRET_KEY is not set")
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - only where there are keys

        try:
            return self._fernet.decrypt(stored.removeprefix(ENCRYPTED)).decode()
        except (InvalidToken, UnicodeError):
            raise VaultError("no key in COPILOT_SECRET_KEY decrypts a stored token") from None


def new_key() -> str:
    """A key for a :class:`Vault`."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - see below

    return Fernet.generate_key().decode("ascii")


def check_keys(keys: Sequence[str]) -> None:
    """Raises :class:`VaultError` unless *keys* are Fernet keys, one at least."""
    if not keys:
        raise VaultError("there is no key")
    _cipher(keys)


def _cipher(keys: Sequence[str]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - slow to import, and needed only with keys

    try:
        return MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        raise VaultError("COPILOT_SECRET_KEY holds something that is not a Fernet key") from None
