"""Filters of jobs, for lists, counts and bulk operations (docs/http.md, "Finding jobs")."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.core.access import Within
from copilot_socket.store.listing import containing

WITH_PATH = "coalesce(full_path, '') <> ''"
"""The predicate of the index of paths."""
CONDITIONS: Mapping[str, str] = {
    "ids": "id = ANY (%(ids)s)",
    "status": "status = ANY (%(status)s)",
    "account_id": "account_id = %(account_id)s",
    "user_id": "user_id = %(user_id)s",
    "command": "command = ANY (%(command)s)",
    "cause": "CASE WHEN status = 'completed' THEN 'completed' ELSE cause::text END = ANY (%(cause)s)",
    "error": "error = %(error)s",
    "full_path": f'{WITH_PATH} AND full_path COLLATE "C" = %(full_path)s',
    # '0' is the character after '/': the range is in the index, the rest excludes the neighbours ("a-b" of "a").
    "path_prefix": f'{WITH_PATH} AND full_path COLLATE "C" >= %(path_prefix)s'
    " AND full_path COLLATE \"C\" < %(path_prefix)s || '0'"
    " AND (full_path = %(path_prefix)s OR starts_with(full_path, %(path_prefix)s || '/'))",
    # As arrays: else the planner may read all jobs in the order of the list, and look for these.
    "spawned_from": "id = ANY (ARRAY(SELECT child.id::text FROM jobs child"
    " WHERE child.spawned_from = %(spawned_from)s))",
    "root": "id = ANY (ARRAY(WITH RECURSIVE tree AS (SELECT %(root)s::text AS id UNION ALL"
    " SELECT child.id::text FROM tree JOIN jobs child ON child.spawned_from = tree.id) SELECT id FROM tree))",
    "spawned": "(spawned_from IS NOT NULL) = %(spawned)s",
    "started": "(started_at IS NOT NULL) = %(started)s",
    "finished": "(finished_at IS NOT NULL) = %(finished)s",
    "search": "(full_path ILIKE %(search)s OR branch ILIKE %(search)s OR id ILIKE %(search)s)",
    **{
        f"{name}_{side}": f"{name}_at {comparison} %({name}_{side})s"
        for name in ("created", "finished", "updated")
        for side, comparison in (("after", ">="), ("before", "<"))
    },
}
"""Filter → SQL. Lists (``ids``, ``status``, ``command``, ``cause``) mean any of their values."""
SELECTIVE = frozenset(
    {"ids", "error", "full_path", "path_prefix", "spawned_from", "root", "created_after", "created_before"}
    | {"finished_after", "finished_before"}
)
"""Filters with an index of their own."""
ENUMERATED = frozenset({"ids", "spawned_from", "root"})
"""Filters whose jobs are all read, before any other condition is looked at."""
LASTING = frozenset(
    {
        "ids",
        "account_id",
        "user_id",
        "command",
        "full_path",
        "path_prefix",
        "search",
        "created_after",
        "created_before",
    }
    | {"spawned_from", "root"}
)
"""Filters that a job meets for ever, if it does; it loses its parent only where that is deleted."""
INDEXED = (*sorted(SELECTIVE), "account_id", "user_id", "status")
"""What to add to a filter that takes too long."""


@attrs.frozen
class JobFilter:
    """The jobs that meet all of *given* (see :data:`CONDITIONS`), of those that are *within* a token's limits."""

    given: Mapping[str, Any] = attrs.field(factory=dict)
    within: Within | None = None

    @property
    def conditions(self) -> list[str]:
        """SQL conditions on ``jobs``."""
        found = [CONDITIONS[name] for name in self.given]
        if self.within is not None:
            found += ["account_id = ANY (%(within_accounts)s)"] if self.within.accounts is not None else []
            found += ["user_id = ANY (%(within_users)s)"] if self.within.users is not None else []
        return found

    @property
    def changing(self) -> "JobFilter":
        """The conditions of which a job may cease to meet some."""
        return JobFilter({name: value for name, value in self.given.items() if name not in LASTING})

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of :attr:`conditions`."""
        values = {name: _parameter(name, value) for name, value in self.given.items()}
        if self.within is not None:
            values["within_accounts"] = sorted(self.within.accounts or ())
            values["within_users"] = sorted(self.within.users or ())
        return values

    @property
    def where(self) -> str:
        """:attr:`conditions` as one."""
        return " AND ".join(self.conditions) or "true"


def _parameter(name: str, value: Any) -> Any:
    if name == "search":
        return containing(value)
    if isinstance(value, Sequence | frozenset) and not isinstance(value, str):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else value
