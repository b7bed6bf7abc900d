"""What somebody does to the server, as ``audit_log`` records it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import orjson

from copilot_socket.core.actors import Actor

HTTP, CLI, WIRE = "http", "cli", "wire"
"""The doors through which people and programs reach the server."""
DOORS = (HTTP, CLI, WIRE)
DONE, REFUSED = "done", "refused"
"""Outcomes. What changes nothing (a wrong value, an unknown job) is not recorded."""
REASONS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        HTTP: ("no_token", "wrong_token", "too_many_wrong_tokens", "rate_limited", "role", "scope", "origin"),
        WIRE: (
            "handshake", "no_token", "wrong_token", "too_many_wrong_tokens", "user", "not_admitted", "id_in_use",
            "id_lost", "job_of_another", "too_many_connections", "rate_limited",
        ),
    }
)  # fmt: skip
"""Why somebody is refused at a door, as short codes."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen
class Key:
    """The Idempotency-Key of a request; ``name`` begins with its actor.

    ``fingerprint``: of what is requested. ``request``: a random id of this request, and no repetition of it.
    """

    name: str
    fingerprint: str
    request: str


@attrs.frozen
class Act:
    """*actor* does *action* to *target* at a *door*. *details* never contain a secret.

    ``count``: how often, or, of submissions, how many jobs. ``key``: the request's, which is taken with the change.
    """

    door: str
    actor: Actor
    action: str
    target: str | None = None
    details: Mapping[str, Any] = _NOTHING
    count: int = 1
    key: Key | None = None

    def on(self, target: str | None, details: Mapping[str, Any] = _NOTHING, count: int = 1) -> "Act":
        """The same act on *target*, with further *details*."""
        return attrs.evolve(self, target=target, count=count, details={**self.details, **details})

    def change(self, target: str | None, **changes: tuple[Any, Any]) -> "Act | None":
        """The act on *target* that makes *changes*: field → old and new value. None if nothing is different."""
        made = {name: list(values) for name, values in changes.items() if values[0] != values[1]}
        return self.on(target, made) if made else None


def columns(acts: Sequence[Act]) -> dict[str, list[Any]]:
    """*acts* as the columns of their rows."""
    return {
        "door": [act.door for act in acts],
        "actor": [act.actor.name for act in acts],
        "address": [act.actor.address for act in acts],
        "action": [act.action for act in acts],
        "target": [act.target for act in acts],
        "count": [act.count for act in acts],
        "details": [orjson.dumps(dict(act.details)).decode() for act in acts],
    }
