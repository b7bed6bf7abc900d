"""Secrets at rest: encrypted if there is a key, and bound to the place that they are stored in.

A stored secret that begins with ``fernet:`` is encrypted; any other is the secret itself, behind the prefix
``plain:`` if it begins with one of the two prefixes. Two forms are encrypted (docs/adr/0018):

- ``fernet:2:`` and the base64 of nonce and AES-256-GCM ciphertext, under a key derived from a Fernet key. The
  associated data are the secret's :class:`Place`, so that a copy in another row or column does not decrypt.
- ``fernet:`` and a Fernet token, bound to no place: written by former versions, still read, never written.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from functools import lru_cache
from secrets import token_bytes
from typing import TYPE_CHECKING, NamedTuple

import attrs

from copilot_socket.core.origins import origin

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCRYPTED = "fernet:"
# Begins with the former prefix: former versions take what does not for a plain token, and would send it to GitLab.
BOUND = "fernet:2:"
PLAIN = "plain:"
CACHED_TOKENS = 1024
_NONCE = 12
_PURPOSE = b"copilot-socket: secrets at rest, form 2"


class VaultError(Exception):
    """A token can't be decrypted, or a key is invalid. The message names the variable at fault and never a token."""


class Place(NamedTuple):
    """What a secret is bound to: the column of a row, and the origin of *url*, where it may be sent."""

    table: str
    row: str
    column: str
    url: str


def access_token(account: str, gitlab_url: str) -> Place:
    """The place of an account's access token."""
    return Place("accounts", account, "access_token", gitlab_url)


def refresh_token(account: str, gitlab_url: str) -> Place:
    """The place of an account's refresh token."""
    return Place("accounts", account, "refresh_token", gitlab_url)


def client_secret(of: str) -> Place:
    """The place of the OAuth client's secret for the origin *of*."""
    return Place("oauth_clients", of, "client_secret", of)


def webhook_secret(of: str, column: str) -> Place:
    """The place of the present or former secret, by *column*, of the webhook *of*. It is sent nowhere."""
    return Place("webhooks", of, column, "")


@attrs.frozen
class Opened:
    """A decrypted secret; ``key``: number of the key that decrypts it, 0 for the newest, None if it is plain."""

    secret: str = attrs.field(repr=False)
    key: int | None
    bound: bool


class Vault:
    """Encrypts with the first of *keys* (Fernet keys, newest first), decrypts with any. Raises :class:`VaultError`.

    The latest :data:`CACHED_TOKENS` decrypted tokens stay in memory, since each claim needs its account's token.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        keys = list(dict.fromkeys(keys))
        self._keys = _ciphers(keys) if keys else []
        self.fingerprints = tuple(map(fingerprint, keys))
        """Of the keys, newest first."""
        self._decrypted = lru_cache(CACHED_TOKENS)(self._decrypt)

    def encrypt(self, secret: str, place: Place) -> str:
        """The form in which *secret* is stored in *place*."""
        if self._keys:
            nonce = token_bytes(_NONCE)
            sealed = nonce + self._keys[0].aead.encrypt(nonce, secret.encode(), _associated(place))
            return BOUND + urlsafe_b64encode(sealed).decode()
        return PLAIN + secret if secret.startswith((ENCRYPTED, PLAIN)) else secret

    def decrypt(self, stored: str, place: Place) -> str:
        """The secret stored as *stored* in *place*. Raises :class:`VaultError` if no key decrypts it there."""
        if stored.startswith(ENCRYPTED):
            return self._decrypted(stored, place)
        return stored.removeprefix(PLAIN)

    def opens(self, stored: str, place: Place) -> bool:
        """Whether the secret stored as *stored* in *place* can be decrypted. It is not cached."""
        try:
            self.open(stored, place)
        except VaultError:
            return False
        return True

    def open(self, stored: str, place: Place) -> Opened:
        """The same as :meth:`decrypt`, not cached, and with the key."""
        if not stored.startswith(ENCRYPTED):
            return Opened(stored.removeprefix(PLAIN), None, bound=False)
        if not self._keys:
            raise VaultError("a stored token is encrypted, but COPILOT_SECRET_KEY is not set")
        bound = stored.startswith(BOUND)
        for number, key in enumerate(self._keys):
            secret = key.bound(stored, place) if bound else key.unbound(stored)
            if secret is not None:
                return Opened(secret, number, bound)
        raise VaultError("no key in COPILOT_SECRET_KEY decrypts a stored token")

    def _decrypt(self, stored: str, place: Place) -> str:
        return self.open(stored, place).secret


@attrs.frozen
class _Key:
    """The ciphers of one key."""

    fernet: "Fernet"
    aead: "AESGCM"

    def bound(self, stored: str, place: Place) -> str | None:
        """The secret, None if this key does not decrypt it in *place*."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only where there are keys

        try:
            sealed = urlsafe_b64decode(stored.removeprefix(BOUND))
            return self.aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], _associated(place)).decode()
        except (InvalidTag, Base64Error, ValueError):
            return None

    def unbound(self, stored: str) -> str | None:
        """The secret of the former form, None if this key does not decrypt it."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        try:
            return self.fernet.decrypt(stored.removeprefix(ENCRYPTED)).decode()
        except (InvalidToken, UnicodeError):
            return None


def _associated(place: Place) -> bytes:
    where = origin(place.url) or place.url
    return json.dumps([place.table, place.row, place.column, where]).encode()


def new_key() -> str:
    """A new random key for a :class:`Vault`."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - see below

    return Fernet.generate_key().decode("ascii")


def fingerprint(key: str) -> str:
    """Eight hexadecimal digits by which people and nodes tell keys apart; they reveal nothing of the key."""
    return hashlib.sha256(b"copilot-socket: fingerprint\0" + urlsafe_b64decode(key)).hexdigest()[:8]


def check_keys(keys: Sequence[str]) -> None:
    """Raise :class:`VaultError` unless *keys* are Fernet keys, at least one."""
    if not keys:
        raise VaultError("there is no key")
    _ciphers(keys)


def _ciphers(keys: Sequence[str]) -> "list[_Key]":
    # Slow to import, and needed only with keys.
    from cryptography.fernet import Fernet  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    def derived(key: str) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(urlsafe_b64decode(key))

    try:
        return [_Key(Fernet(key), AESGCM(derived(key))) for key in keys]
    except (ValueError, TypeError):
        raise VaultError("COPILOT_SECRET_KEY holds something that is not a Fernet key") from None
