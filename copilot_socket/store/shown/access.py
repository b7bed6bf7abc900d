"""Tokens of the HTTP API and the audit log as HTTP shows them."""

from typing import Annotated, Any, Literal

import attrs

from copilot_socket.core.describing import Time, doc
from copilot_socket.store.columns import BESIDE, Column

RoleName = Literal["read", "operate", "app", "admin"]


@attrs.frozen(kw_only=True)
class Token:
    """A token of the HTTP API, without the token itself."""

    name: Annotated[str, doc("Its name.")]
    role: Annotated[RoleName, doc("What it may do.")]
    accounts: Annotated[list[str] | None, doc("The accounts that it is limited to; null: it is not.")]
    users: Annotated[list[str] | None, doc("The users whose jobs it is limited to; null: it is not.")]
    created_at: Annotated[Time, doc("When it was made.")]
    created_by: Annotated[str, doc("Who made it: an actor of the audit log.")]
    last_used_at: Annotated[Time | None, doc("When it was last used, to 10 s.")]
    expires_at: Annotated[Time | None, doc("When it expires; null: never.")]


@attrs.frozen(kw_only=True)
class AuditEntry:
    """A change or a refusal; several, where nothing but their time differs."""

    id: Annotated[int, doc("Its number; later ones are higher.")]
    timestamp: Annotated[Time, doc("When, for the first time.")]
    last_at: Annotated[Time, Column("coalesce(last_at, timestamp)"), doc("When, for the last time.")]
    door: Annotated[
        str | None, doc("Where: `http`, `cli`, or `wire` for the crawlers' side; null in rows of other programs.")
    ]
    actor: Annotated[str, doc("Who.")]
    address: Annotated[str | None, doc("From where.")]
    action: Annotated[str, doc("What: object and verb, as `job.cancel`; of a refusal what was asked for.")]
    target: Annotated[str | None, doc("On what.")]
    outcome: Annotated[str, doc("`done` or `refused`.")]
    count: Annotated[int, doc("How often within a minute; of `job.submit` how many new jobs.")]
    details: Annotated[dict[str, Any] | None, doc("What is different, or why it was refused.")]
    truncated: Annotated[list[str], BESIDE, doc("`details`, where these are null since they are too large.")]
