"""Refusals, summed up by minute and written to ``audit_log`` (docs/adr/0017-audit-log.md)."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from copilot_socket import event_bus
from copilot_socket.core.actors import STRANGER
from copilot_socket.core.printing import printable
from copilot_socket.store.audit import LONGEST, AuditLog, Refusals

EACH = 5.0
"""Seconds between two writes of refusals."""
MINUTE = 60.0
"""Seconds between two rounds of summing rows up; and in which refusals of a kind are one row."""
MOST = 60
"""Kinds of refusals of strangers, and of all others, that are told apart at a door within a minute: whoever makes up
addresses or names fills neither memory nor the table."""
MOST_OF_ONE = 5
"""Kinds that are told apart of one actor, address and reason: what is asked for may be made up."""
OTHERS = "others"
"""The actor of all further ones of a door and reason."""


@attrs.define
class _Sum:
    """What is not written yet: none where ``count`` is 0. Times by the reactor."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0

    def add(self, count: int, first: float, last: float) -> None:
        self.first = min(first, self.first) if self.count else first
        self.last = max(last, self.last) if self.count else last
        self.count += count


_Kind = tuple[str, str, str, str | None, str]
"""Door, reason, actor, address, and what was asked for."""


class Audit:
    """Counts refusals by kind. What can't be written is kept, and written with the next ones."""

    def __init__(self, log: AuditLog, reactor: IReactorTime) -> None:
        self.sum_up = log.sum_up
        self._log = log
        self._reactor = reactor
        self._sums: dict[_Kind, _Sum] = {}
        self._minute_ends = 0.0
        self._one_at_a_time = DeferredLock()
        self.subscriptions: Mapping[type[event_bus.StateEvent], Callable[[Any], None]] = {
            event_bus.Refused: self._refused
        }
        """State event → the method that counts it."""

    def _refused(self, event: event_bus.Refused) -> None:
        now = self._reactor.seconds()
        if now >= self._minute_ends:
            self._minute_ends = now + MINUTE
            self._sums = {kind: each for kind, each in self._sums.items() if each.count}
        address = None if event.address is None else _cut(event.address)
        self._sum((event.door, event.reason, _cut(event.actor), address, _cut(event.what))).add(1, now, now)

    def _sum(self, kind: _Kind) -> _Sum:
        """That of *kind*; of a new one beyond the bounds that of all further ones."""
        if kind not in self._sums and sum(each[:4] == kind[:4] for each in self._sums) >= MOST_OF_ONE:
            kind = (*kind[:4], OTHERS)
        if kind not in self._sums and sum(_crowd(each) == _crowd(kind) for each in self._sums) >= MOST:
            kind = (*kind[:2], OTHERS, None, OTHERS)
        return self._sums.setdefault(kind, _Sum())

    async def store(self) -> None:
        """Write what was counted since the last time, after a write under way, which may fail and leave its own.

        Raises the database's error; nothing is forgotten then.
        """
        await self._one_at_a_time.run(self._store)

    async def _store(self) -> None:
        taken = {kind: attrs.evolve(each) for kind, each in self._sums.items() if each.count}
        if not taken:
            return
        for kind in taken:
            self._sums[kind].count = 0
        now = self._reactor.seconds()
        try:
            await self._log.refused(
                [Refusals(*kind, each.count, now - each.first, now - each.last) for kind, each in taken.items()]
            )
        except BaseException:
            for kind, each in taken.items():
                self._sum(kind).add(each.count, each.first, each.last)
            raise


def _crowd(kind: _Kind) -> tuple[str, bool]:
    """Those who share a bound: strangers at a door hide neither what known actors do, nor what is done at another."""
    return kind[0], kind[2] in (STRANGER, OTHERS)


def _cut(text: str) -> str:
    """*text*, which a stranger may have chosen, as the table takes it."""
    return printable(text[:LONGEST])[:LONGEST]
