"""Who may do what over the HTTP port (docs/http.md, "Access"): roles, what a token is limited to, known tokens."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from enum import IntEnum

import attrs

CONFIGURED = "COPILOT_HTTP_TOKEN"
"""The name of the token of the configuration, which has the role ``admin``."""
_RANDOM_BYTES = 32
_PREFIX = "cps_"
"""Lets scanners of source code and logs recognize a token."""


class Role(IntEnum):
    """What somebody may do; each role includes those before it."""

    READ = 1
    """See everything but tokens and the audit log."""
    OPERATE = 2
    """See the audit log; act on jobs, pauses, crawlers and limits."""
    APP = 3
    """Store accounts and their credentials."""
    ADMIN = 4
    """Manage tokens."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, name: str) -> "Role":
        """The role *name*, as ``operate``. Raises KeyError."""
        return cls[name.upper()]


ROLES = tuple(str(role) for role in Role)


@attrs.frozen
class Within:
    """The accounts and users that a token is limited to: it sees and changes nothing else. None: all of them."""

    accounts: frozenset[str] | None = None
    users: frozenset[str] | None = None

    @classmethod
    def of(cls, accounts: Iterable[str] | None, users: Iterable[str] | None) -> "Within | None":
        """The limits as they are requested and stored; None: no limits."""
        if accounts is None and users is None:
            return None
        return cls(None if accounts is None else frozenset(accounts), None if users is None else frozenset(users))

    def covers_job(self, account: str | None, user: str | None) -> bool:
        """Whether a job of *account* and *user* is within."""
        return (self.accounts is None or account in self.accounts) and (self.users is None or user in self.users)

    def covers_account(self, account: str | None) -> bool:
        """Whether all of *account* is within; None stands for all accounts. Of a user, only jobs are."""
        return self.users is None and self.accounts is not None and account in self.accounts


@attrs.frozen
class Grant:
    """What a token, a session or a local user may do. ``name`` is that of an :class:`.Actor`."""

    name: str
    role: Role
    within: Within | None = None
    """None: everything."""

    @property
    def own(self) -> bool:
        """Whether it is that of the node's own token, or of its own user on ``http.sock``."""
        return self.name == f"token:{CONFIGURED}" or self.name.startswith("uid:")


@attrs.frozen
class KnownToken:
    """A token, as stored. ``expires``: seconds, by the clock of :meth:`TokenBook.find`; None: never."""

    hash: bytes
    grant: Grant
    expires: float | None


@attrs.frozen
class KnownSession:
    """A browser's session: the token with ``token_hash`` in another form, under its name or another ``name``."""

    hash: bytes
    token_hash: bytes
    expires: float
    name: str | None = None


@attrs.frozen
class KnownLink:
    """A one-time link, which becomes a session; without ``token_hash`` one of the node's own token."""

    hash: bytes
    token_hash: bytes | None
    name: str | None
    expires: float


def new_token() -> str:
    """A new random token of 256 bits."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_of(token: str) -> bytes:
    """The form in which a token is stored and looked up: SHA-256, as it is too random to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class TokenBook:
    """All tokens that are accepted: the one of the configuration, and those last read from the database.

    A look-up by hash says nothing by its duration: who knows a hash knows no token.
    """

    def __init__(self, configured: str | None) -> None:
        self._configured: Mapping[bytes, KnownToken] = {}
        self.own: bytes | None = None
        """The hash of the one of the configuration."""
        if configured is not None:
            hashed = self.own = hash_of(configured)
            self._configured = {hashed: KnownToken(hashed, Grant(f"token:{CONFIGURED}", Role.ADMIN), None)}
        self._tokens = self._configured
        self._sessions: Mapping[bytes, KnownSession] = {}
        self._links: Mapping[bytes, KnownLink] = {}
        self._used: set[bytes] = set()
        self.read = False
        """Whether the database's were read: before that an unknown token may be a good one."""

    def replace(
        self, tokens: Iterable[KnownToken], sessions: Iterable[KnownSession], links: Iterable[KnownLink] = ()
    ) -> None:
        """Accept *tokens*, *sessions* and *links* in place of those of before."""
        self._links = {each.hash: each for each in links}
        self._tokens = {**{each.hash: each for each in tokens}, **self._configured}
        self._sessions = {each.hash: each for each in sessions}
        self.read = True

    def find(self, secret: str, now: float) -> Grant | None:
        """What the bearer of the token *secret* may do; None for an unknown or expired one."""
        return self._grant(hash_of(secret), now)

    def find_session(self, secret: str, now: float) -> Grant | None:
        """The same for a session, which ends with its token."""
        session = self._sessions.get(hash_of(secret))
        if session is None or session.expires <= now:
            return None
        return self._grant(session.token_hash, now, session.name)

    def find_link(self, code: str, now: float) -> Grant | None:
        """What the session may do that the link *code* becomes."""
        link = self._links.get(hash_of(code))
        hashed = None if link is None else link.token_hash or self.own
        if link is None or hashed is None or link.expires <= now:
            return None
        return self._grant(hashed, now, link.name)

    def token_of(self, grant: Grant, token: str | None, session: str | None, now: float) -> bytes | None:
        """The hash of the token by which somebody has *grant*, who has sent *token* or *session*."""
        if token is not None and self.find(token, now) == grant:
            return hash_of(token)
        if session is not None and self.find_session(session, now) == grant:
            return self._sessions[hash_of(session)].token_hash
        return None

    def _grant(self, hashed: bytes, now: float, name: str | None = None) -> Grant | None:
        known = self._tokens.get(hashed)
        if known is None or (known.expires is not None and known.expires <= now):
            return None
        self._used.add(hashed)
        return known.grant if name is None else attrs.evolve(known.grant, name=name)

    def take_used(self) -> list[bytes]:
        """The hashes of the tokens used since the last call."""
        used, self._used = self._used, set()
        return sorted(used - self._configured.keys())

    def put_back(self, used: Iterable[bytes]) -> None:
        """Return the hashes *used*, which could not be recorded, with the next ones."""
        self._used.update(used)
