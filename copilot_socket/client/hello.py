"""How a crawler introduces itself."""

import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any

import attrs

from copilot_socket.client.messages import present


def _own_name() -> str:
    """A name that no other crawler has, of this process or another."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(3)}"


def _strings(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


@attrs.frozen
class Hello:
    """A crawler's name and limits. Without *entity_types* it gets those of a plain crawler.

    The server takes processes with one *crawler_id* for one crawler; by default it is made of the host's name and the
    process's id. With ``ack`` among the *capabilities* reports are kept until they are acknowledged; without it they
    count as delivered once they are written. With ``commands`` the server tells when a job is cancelled or to be
    paused.
    """

    crawler_id: str = attrs.field(factory=_own_name)
    entity_types: tuple[str, ...] = attrs.field(default=(), converter=_strings)
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
