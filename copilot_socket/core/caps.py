"""Caps: how many jobs of an account or host may run at a time, by limits and budgets (docs/protocol.md, "Limits")."""

import zlib
from collections.abc import Iterator, Mapping

from copilot_socket.core.pauses import Scope

_Key = tuple[str, str]
"""A scope, ``account`` or ``host``, and its target."""


class Caps:
    """The caps in force: scope and target → jobs."""

    def __init__(self, most: Mapping[_Key, int]) -> None:
        self._most = most
        self._hosts = frozenset(target for scope, target in most if scope == Scope.HOST)

    def __bool__(self) -> bool:
        return bool(self._most)

    def allowed(self, scope: Scope, target: str) -> int | None:
        """How many jobs may run: 0 for none, None for any number."""
        return self._most.get((str(scope), target))

    def closed(self, scope: Scope) -> Iterator[str]:
        """The targets of which no job may run."""
        return (target for (kind, target), most in self._most.items() if kind == scope and not most)

    def locks(self, accounts: Mapping[str, str | None]) -> list[int]:
        """The locks that a claim from *accounts* needs, in the order in which all nodes take them; none: no cap.

        *accounts*: each with its origin, None where that is not known; such a claim locks all hosts.
        """
        hosts = self._hosts if None in accounts.values() else self._hosts.intersection(accounts.values())
        keys = {(str(Scope.HOST), host) for host in hosts}
        keys |= {key for account in accounts if (key := (str(Scope.ACCOUNT), account)) in self._most}
        return sorted(map(_lock, keys))


def _lock(key: _Key) -> int:
    """A number that is the same at all nodes, in the range of an integer of PostgreSQL."""
    return zlib.crc32(" ".join(key).encode()) - 2**31
