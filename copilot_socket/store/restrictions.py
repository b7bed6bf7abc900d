"""Pauses and limits, as people set them and as nodes read them (docs/protocol.md, "Pauses")."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.task import deferLater

from copilot_socket.core.acts import Act
from copilot_socket.core.caps import Caps
from copilot_socket.core.pauses import Pause, Pauses, Scope
from copilot_socket.core.preconditions import Precondition
from copilot_socket.store.audit import record
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.shown.restrictions import Pause as ShownPause
from copilot_socket.store.single import ONE_HOST, ONE_PAUSE, Single
from copilot_socket.store.sql import sql

SLICE = 2000
"""Jobs that one transaction looks at to mark them, and marks or unmarks: some 20 ms."""
PATIENCE = 10.0
"""Seconds in which all nodes must act on a change, or the answer says which do not."""
FIRST_LOOK, LAST_LOOK = 0.01, 0.25
"""Seconds between looks at what nodes have seen, at first, and at most."""


@attrs.frozen
class Restrictions:
    """What is in force. ``changes_in``: seconds until time changes it; None: never."""

    revision: int
    pauses: Pauses
    caps: Caps
    changes_in: float | None


@attrs.frozen
class NewPause:
    """A pause to add. ``ends_at``: ISO 8601 with an offset; None: until somebody ends it."""

    scope: Scope
    target: str | None
    reason: str | None
    author: str
    ends_at: str | None


@attrs.frozen
class Added:
    """A pause that was added: its record, the number of the change, and the pauses that were over by then."""

    record: dict[str, Any]
    revision: int
    expired: list[Pause]


class NothingMatches(Exception):
    """The pause would cover nothing."""


class PauseExists(Exception):
    """There is a pause of the same scope and target."""

    def __init__(self, pause: str) -> None:
        super().__init__(f"pause {pause} covers this already")
        self.pause = pause


class RestrictionStore:
    """Reads and writes over the pool, for *node*. Each change is numbered; nodes say up to which they act on them."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    # -- for nodes

    async def read(self) -> Restrictions:
        """What is in force now."""
        [(revision, pauses, caps, changes_in)] = await self._database.query(sql("restrictions"))
        return Restrictions(
            revision,
            Pauses(Pause(number, Scope(scope), target) for number, scope, target in pauses),
            Caps({(scope, target): most for scope, target, most in caps}),
            changes_in,
        )

    async def seen(self, revision: int) -> None:
        """This node acts on all changes up to *revision*."""
        await self._database.query(sql("restrictions_seen"), {"node": self._node, "revision": revision})

    async def unseen(self, revision: int) -> list[str]:
        """The live nodes that do not act on change *revision* yet."""
        return [row[0] for row in await self._database.query(sql("restrictions_unseen"), {"revision": revision})]

    async def expire(self) -> list[Pause]:
        """End the pauses whose time is over; return them."""
        return list(map(_pause, await self._database.query(sql("pauses_expire"))))

    # -- marks of jobs under a path

    async def mark(self, limit: int = SLICE) -> bool:
        """Mark the jobs of one slice that the pause of a path prefix covers; whether there are more slices."""

        async def work(tx: Transaction) -> bool:
            rows = await tx.query(sql("pause_to_mark"))
            if not rows:
                return False
            pause, target, after = rows[0]
            await tx.query(sql("pause_mark"), {"id": pause, "target": target, "after": after, "limit": limit})
            return True

        return await self._database.transaction(work)

    async def mark_these(self, jobs: Mapping[str, str]) -> None:
        """Mark *jobs*, each with the pause that covers it."""
        await self._database.query(sql("pause_mark_these"), {"job": list(jobs), "pause": list(jobs.values())})

    async def unmark(self, limit: int = SLICE) -> int:
        """Let go a slice of the jobs whose pause has ended; their number."""
        [(count, _)] = await self._database.query(sql("pause_unmark"), {"limit": limit})
        return int(count)

    # -- for people

    async def pause(self, new: NewPause, act: Act) -> Added:
        """Add a pause, by *act*. Raises NothingMatches or PauseExists."""
        like = {"scope": str(new.scope), "target": new.target}
        [(matches,)] = await self._database.query(sql("pause_matches"), like)
        if not matches:
            raise NothingMatches

        async def work(tx: Transaction) -> Added:
            [(revision, _)] = await tx.query(sql("restrictions_change"))
            expired = await tx.query(sql("pauses_expire"))
            added = await tx.query(
                sql("pause_add"), {**like, "reason": new.reason, "author": new.author, "ends_at": new.ends_at}
            )
            if not added:
                raise PauseExists((await tx.query(sql("pause_like"), like))[0][0])
            pause = _record(added[0])
            await record(tx, _on(act, pause, "reason", "author", "ends_at"))
            return Added(pause, revision, list(map(_pause, expired)))

        return await self._database.transaction(work)

    async def acted_on(self, revision: int, patience: float = PATIENCE) -> list[str]:
        """Wait until all live nodes act on change *revision*; those that do not within *patience* seconds."""
        reactor, wait = self._database.reactor, FIRST_LOOK
        give_up = reactor.seconds() + patience
        while waiting := await self.unseen(revision):
            if reactor.seconds() > give_up:
                break
            await deferLater(reactor, wait)
            wait = min(2 * wait, LAST_LOOK)
        return waiting

    async def end(
        self, pause: str | None, act: Act, precondition: Precondition | None = None
    ) -> dict[str, Any] | None:
        """End a pause, or that of everything (None), by *act*; its record, None if there is none.

        Raises :class:`.PreconditionFailed`.
        """

        def recorded(row: Row) -> Act:
            return _on(act, _record(row))

        rows, _ = await self._changed(ONE_PAUSE, {"id": pause}, precondition, sql("pause_end"), {}, recorded)
        return _record(rows[0]) if rows else None

    async def host_known(self, origin: str) -> bool:
        """Whether some account is at this host."""
        [(known,)] = await self._database.query(sql("pause_matches"), {"scope": str(Scope.HOST), "target": origin})
        return bool(known)

    async def limit_host(
        self, origin: str, max_running: int | None, act: Act, precondition: Precondition | None = None
    ) -> int | None:
        """Limit the running jobs of a host, or not, by *act*. That of an account: :meth:`.Accounts.change`.

        Returns the number of the change, None for an unknown host. Raises :class:`.PreconditionFailed`.
        """

        def recorded(row: Row) -> Act | None:
            return act.change(origin, max_running=(row[0], max_running))

        params = {"max_running": max_running}
        rows, revision = await self._changed(
            ONE_HOST, {"origin": origin}, precondition, sql("limit_host"), params, recorded
        )
        return revision if rows else None

    async def _changed(
        self,
        single: Single,
        key: Mapping[str, str | None],
        precondition: Precondition | None,
        statement: str,
        params: Mapping[str, Any],
        recorded: Callable[[Row], Act | None],
    ) -> tuple[Sequence[Row], int]:
        async def work(tx: Transaction) -> tuple[Sequence[Row], int]:
            [(revision, _)] = await tx.query(sql("restrictions_change"))
            if precondition is not None:
                await single.require(tx, precondition, key)
            rows = await tx.query(statement, {**key, **params})
            await record(tx, *map(recorded, rows))
            return rows, revision

        return await self._database.transaction(work)


def _record(row: Row) -> dict[str, Any]:
    """As it is shown."""
    return dict(zip(columns(ShownPause), row, strict=True))


def _on(act: Act, pause: Mapping[str, Any], *names: str) -> Act:
    """*act* on what *pause* covers."""
    given = {name: pause[name] for name in names if pause[name] is not None}
    return act.on(pause["target"], {"pause": pause["id"], "scope": pause["scope"], **given})


def _pause(row: Row) -> Pause:
    return Pause(row[0], Scope(row[1]), row[2])
