"""Tokens and sessions of the HTTP API. Only hashes are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.core.access import Grant, KnownLink, KnownSession, KnownToken, Role, Within, hash_of, new_token
from copilot_socket.core.acts import Act
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

SESSIONS = 100
"""Sessions of one token at a time; the oldest one ends when there are more."""
SESSION_SECONDS = 12 * 3600
"""How long a session lasts."""
LINKS = 20
"""Links of one maker at a time; the oldest one ends when there are more."""
LINK_SECONDS = 5 * 60
"""How long a link may be used, once."""


@attrs.frozen(kw_only=True)
class NewToken:
    """A token to make. ``expires_at`` is ISO 8601 with an offset; None: never."""

    name: str
    role: Role
    within: Within | None = None
    expires_at: str | None = None


@attrs.frozen
class Made:
    """A token or session that was made: its ``secret``, which is shown this once."""

    secret: str = attrs.field(repr=False)
    expires_at: datetime | None = None


class AccessStore:
    """Reads and writes over the pool. A trigger notifies the nodes (``copilot_access``)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, now: float) -> tuple[list[KnownToken], list[KnownSession], list[KnownLink]]:
        """All tokens, sessions and links that are in force; they expire by the clock that shows *now* (seconds)."""
        tokens = [
            KnownToken(
                bytes(hashed),
                Grant(f"token:{name}", Role.named(role), Within.of(accounts, users)),
                None if left is None else now + left,
            )
            for hashed, name, role, accounts, users, left in await self._database.query(sql("known_tokens"))
        ]
        sessions = [
            KnownSession(bytes(hashed), bytes(token), now + left, name)
            for hashed, token, left, name in await self._database.query(sql("known_sessions"))
        ]
        links = [
            KnownLink(bytes(hashed), None if token is None else bytes(token), name, now + left)
            for hashed, token, name, left in await self._database.query(sql("known_links"))
        ]
        return tokens, sessions, links

    async def add(self, new: NewToken, act: Act) -> Made | None:
        """Make a token, by *act*; None if there is one with this name."""
        secret = new_token()
        within = new.within
        params = {
            "name": new.name,
            "hash": hash_of(secret),
            "role": str(new.role),
            "accounts": None if within is None else _list(within.accounts),
            "users": None if within is None else _list(within.users),
            "created_by": act.actor.name,
            "expires_at": new.expires_at,
        }
        details = {name: params[name] for name in ("role", "accounts", "users", "expires_at") if params[name]}
        made = await self._recorded(sql("add_token"), params, act.on(new.name, details))
        return Made(secret) if made else None

    async def revoke(self, name: str, act: Act) -> bool:
        """Remove the token *name*, and end its sessions, by *act*; False if there is none."""
        return bool(await self._recorded(sql("revoke_token"), {"name": name}, act.on(name)))

    async def _recorded(self, statement: str, params: Mapping[str, Any], act: Act) -> Sequence[Row]:
        """The rows of *statement*; *act* is recorded if there are any."""

        async def work(tx: Transaction) -> Sequence[Row]:
            rows = await tx.query(statement, params)
            await record(tx, act if rows else None)
            return rows

        return await self._database.transaction(work)

    async def note_uses(self, hashes: Sequence[bytes]) -> None:
        """Record that the tokens with these *hashes* were used just now."""
        if hashes:
            await self._database.query(sql("note_uses"), {"hashes": list(hashes)})

    async def start_session(self, token: str, act: Act) -> Made:
        """Make a session of *token*, by *act*, which lasts for :data:`SESSION_SECONDS`."""
        secret = new_token()
        params = {
            "hash": hash_of(secret),
            "token_hash": hash_of(token),
            "seconds": SESSION_SECONDS,
            "others": SESSIONS - 1,
        }
        [(expires_at,)] = await self._recorded(sql("start_session"), params, act)
        return Made(secret, expires_at)

    async def make_link(self, token_hash: bytes | None, name: str | None, act: Act) -> Made:
        """Make a link that lasts for :data:`LINK_SECONDS`, by *act*: a session of this token, or a node's own (None).

        The session has the name of the token, or *name*.
        """
        code = new_token()
        params = {
            "hash": hash_of(code),
            "token_hash": token_hash,
            "name": name,
            "by": act.actor.name,
            "seconds": LINK_SECONDS,
            "others": LINKS - 1,
        }
        [(expires_at,)] = await self._recorded(sql("make_link"), params, act)
        return Made(code, expires_at)

    async def use_link(self, code: str, own: bytes | None, act: Act) -> Made | None:
        """Make a session of the link *code*, by *act*; None if it can't be used any more.

        *own*: the hash of the node's own token.
        """
        secret = new_token()
        params = {
            "link": hash_of(code),
            "own": own,
            "hash": hash_of(secret),
            "seconds": SESSION_SECONDS,
            "others": SESSIONS - 1,
        }
        rows = await self._recorded(sql("use_link"), params, act)
        return Made(secret, rows[0][0]) if rows else None

    async def end_session(self, secret: str, act: Act) -> None:
        """End a session, by *act*."""
        await self._recorded(sql("end_session"), {"hash": hash_of(secret)}, act)


def _list(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
