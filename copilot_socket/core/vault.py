"""Tokens at rest: encrypted if there is a key.

A stored token that begins with ``fernet:`` is encrypted; any other is the token itself, behind the prefix ``plain:``
if it begins with one of the two prefixes.
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
    """A token can't be decrypted, or a key is invalid. The message names the variable at fault and never a token."""


class Vault:
    """Encrypts with the first of *keys* (Fernet keys, newest first), decrypts with any. Raises :class:`VaultError`.

    The latest :data:`CACHED_TOKENS` decrypted tokens stay in memory, since each claim needs its account's token.
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
        """The token stored as *stored*. Raises :class:`VaultError` if no key decrypts it."""
        if stored.startswith(ENCRYPTED):
            return self._decrypted(stored)
        return stored.removeprefix(PLAIN)

    def opens(self, stored: str) -> bool:
        """Whether the token stored as *stored* can be decrypted. It is not cached."""
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
    """A new random key for a :class:`Vault`."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - see below

    return Fernet.generate_key().decode("ascii")


def check_keys(keys: Sequence[str]) -> None:
    """Raise :class:`VaultError` unless *keys* are Fernet keys, at least one."""
    if not keys:
        raise VaultError("there is no key")
    _cipher(keys)


def _cipher(keys: Sequence[str]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - slow to import, and needed only with keys

    try:
        return MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        raise VaultError("COPILOT_SECRET_KEY holds something that is not a Fernet key") from None
