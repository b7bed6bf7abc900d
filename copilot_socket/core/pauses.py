"""Pauses: what people hold back, for a reason, and perhaps until a time (docs/protocol.md, "Pauses")."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import attrs

from copilot_socket.core.jobs import COMMANDS


class Scope(StrEnum):
    """What a pause covers: the values of ``pauses.scope``."""

    EVERYTHING = "everything"
    ACCOUNT = "account"
    HOST = "host"
    COMMAND = "command"
    PATH_PREFIX = "path_prefix"


@attrs.frozen
class Pause:
    """A pause. ``target``: the account's id, the host's origin, the command, or the path; None for everything."""

    id: str
    scope: Scope
    target: str | None = None


@attrs.frozen
class Work:
    """What a pause may cover a job by."""

    account: str
    host: str
    command: str
    full_path: str | None = None


class Pauses:
    """The pauses in force. A job is looked up in O(levels of its path), however many there are."""

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self._by_target = {(pause.scope, pause.target): pause for pause in pauses}

    def __iter__(self) -> Iterator[Pause]:
        return iter(self._by_target.values())

    def __bool__(self) -> bool:
        return bool(self._by_target)

    def covering(self, work: Work) -> Pause | None:
        """A pause that covers *work*, the widest first; None if none does."""
        return next(self.all_covering(work), None)

    def all_covering(self, work: Work) -> Iterator[Pause]:
        """The pauses that cover *work*, the widest first."""
        for scope, target in (
            (Scope.EVERYTHING, None),
            (Scope.HOST, work.host),
            (Scope.ACCOUNT, work.account),
            (Scope.COMMAND, work.command),
            *((Scope.PATH_PREFIX, prefix) for prefix in _prefixes(work.full_path)),
        ):
            pause = self._by_target.get((scope, target))
            if pause is not None:
                yield pause

    def targets(self, scope: Scope) -> frozenset[str]:
        """The targets of the pauses with this scope."""
        return frozenset(target for kind, target in self._by_target if kind == scope and target is not None)

    @property
    def commands(self) -> frozenset[str]:
        """The commands that are paused for all accounts."""
        everything = (Scope.EVERYTHING, None) in self._by_target
        return frozenset(COMMANDS) if everything else self.targets(Scope.COMMAND)


def _prefixes(path: str | None) -> Iterator[str]:
    """*path* and the paths above it: a pause of ``acme`` covers ``acme/shop`` and ``/acme``, and not ``acme2``."""
    path = path and path.strip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
