"""How a crawler introduces itself."""

import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any

import attrs

from copilot_socket.client.messages import present
from copilot_socket.core.jobs import ENTITY_TYPES, KNOWN_ENTITY_TYPES


def _own_name() -> str:
    """A name that no other crawler has, of this process or another."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(3)}"


def _strings(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _types(_hello: object, _attribute: object, names: tuple[str, ...]) -> None:
    """Commands are easily taken for entity types; the server would send nothing, as it does not know why."""
    for name in names:
        if name in ENTITY_TYPES and name not in KNOWN_ENTITY_TYPES:
            raise ValueError(f"{name!r} is a command: its entity type is {ENTITY_TYPES[name]!r}")


@attrs.frozen
class Hello:
    """A crawler's name and limits. Without *entity_types* it gets those of a plain crawler.

    Raises ``ValueError`` for an entity type that is a command: ``issues``, for ``issue``.

    The server takes processes with one *crawler_id* for one crawler; by default it is made of the host's name and the
    process's id. With ``ack`` among the *capabilities* reports are kept until they are acknowledged; without it they
    count as delivered once they are written. With ``commands`` the server tells when a job is cancelled or to be
    paused.
    """

    crawler_id: str = attrs.field(factory=_own_name)
    entity_types: tuple[str, ...] = attrs.field(default=(), converter=_strings, validator=_types)
    max_jobs: int = 1
    version: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    capabilities: tuple[str, ...] = attrs.field(default=("ack", "commands"), converter=_strings)

    def data(self, assignments: list[str]) -> dict[str, Any]:
        """The message's ``data``; *assignments* is what the crawler still holds."""
        return present(
            crawlerId=self.crawler_id,
            version=self.version,
            token=self.token,
            maxJobs=self.max_jobs,
            entityTypes=list(self.entity_types) or None,
            assignments=assignments,
            capabilities=list(self.capabilities),
        )
