"""Lanes of accounts: how many jobs each has, and what holds them back (core/why.py)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from copilot_socket.core.jobs import Status
from copilot_socket.core.pauses import Pause, Pauses, Scope
from copilot_socket.core.why import CapFacts, CrawlerFacts, Facts, JobFacts, PauseFacts, lane_held, unserved
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Record
from copilot_socket.store.sql import sql

_RUNNING = (Status.ASSIGNED, Status.RUNNING)
_ANY_TIME = datetime.fromtimestamp(0, UTC)
SUSPECTED = "crawler_suspected"
"""A reason for a job to wait, but lanes go on: such crawlers are given work."""


async def lanes_of(database: Database, accounts: Sequence[str]) -> Mapping[str, list[Record]]:
    """Of each of these accounts, its lanes with jobs that are live, by command."""
    given = {"accounts": list(accounts)}
    counts: dict[str, dict[str, dict[str, int]]] = {account: {} for account in accounts}
    for account, command, state, jobs in await database.query(sql("lane_counts"), given):
        counts[account].setdefault(command, {})[state] = jobs
    holds = await _Holds.read(database, accounts)
    return {account: list(_lanes(account, commands, holds)) for account, commands in counts.items()}


def _lanes(account: str, commands: Mapping[str, Mapping[str, int]], holds: "_Holds") -> Iterator[Record]:
    for command, states in sorted(commands.items()):
        ready, scheduled, path_paused = (states.get(state, 0) for state in ("queued", "scheduled", "path_paused"))
        waiting = states.get(Status.WAITING_CREDENTIAL, 0)
        running = sum(states.get(state, 0) for state in _RUNNING)
        queued = ready + scheduled + path_paused
        if queued or waiting or running:
            yield {
                "command": command,
                "queued": queued,
                "scheduled": scheduled,
                "running": running,
                "waiting_credential": waiting,
                "held": holds.why(account, command, paths=bool(path_paused and not ready))
                if queued or waiting
                else None,
            }


@attrs.frozen
class _Holds:
    """What may hold back lanes of some accounts."""

    accounts: Mapping[str, tuple[Any, ...]]
    caps: Mapping[str, Sequence[CapFacts]]
    """Those of accounts and hosts that are reached, by account."""
    pauses: Pauses
    described: Mapping[str, PauseFacts]
    crawlers: Sequence[CrawlerFacts]
    _unserved: dict[str, list[str]] = attrs.field(factory=dict)
    """By command: the same for all accounts."""

    @classmethod
    async def read(cls, database: Database, accounts: Sequence[str]) -> "_Holds":
        given = {"accounts": list(accounts)}
        caps: dict[str, list[CapFacts]] = {account: [] for account in accounts}
        for account, *cap in await database.query(sql("lane_caps"), given):
            caps[account].append(CapFacts(*cap))
        pauses = await database.query(sql("why_pauses"))
        return cls(
            {account: tuple(row) for account, *row in await database.query(sql("lane_accounts"), given)},
            caps,
            Pauses(Pause(pause[0], Scope(pause[1]), pause[2]) for pause in pauses),
            {pause[0]: PauseFacts(*pause[1:]) for pause in pauses},
            [
                CrawlerFacts(name, tuple(types), mode, room, suspected)
                for name, types, mode, room, suspected in await database.query(sql("why_crawlers"))
            ],
        )

    def why(self, account: str, command: str, *, paths: bool) -> str | None:
        """Why nothing of the lane is sent; *paths*: all that is due is under paused paths. None: its turn comes."""
        if account not in self.accounts:  # it was deleted meanwhile
            return None
        host, status, error, lacks_token, next_refresh_at, held_since, next_probe_at = self.accounts[account]
        job = JobFacts(
            "", Status.QUEUED, command, None, account, host, _ANY_TIME, 0.0, None, None, status, error, lacks_token,
            next_refresh_at, False,
        )  # fmt: skip
        facts = Facts(
            job, None, self.pauses, self.described, held_since, next_probe_at, self.caps[account], self.crawlers
        )
        texts = [reason.text for reason in lane_held(facts)]
        texts += ["its paths are paused"] if paths else []
        if command not in self._unserved:
            reasons = unserved(command, self.crawlers)
            self._unserved[command] = [reason.text for reason in reasons if reason.code != SUSPECTED]
        return "; ".join([*texts, *self._unserved[command]]) or None
