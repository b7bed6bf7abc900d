"""Webhooks and their deliveries as HTTP shows them."""

from typing import Annotated, Literal

import attrs

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.webhooks import WebhookEvent
from copilot_socket.store.columns import Column


@attrs.frozen(kw_only=True)
class Webhook:
    """A webhook, without its secret."""

    id: Annotated[str, doc("Its id.")]
    url: Annotated[str, doc("Where messages are sent.")]
    events: Annotated[list[WebhookEvent], doc("What it is told of.")]
    description: Annotated[str | None, doc("What it is for.")]
    active: Annotated[bool, Column("active_since IS NOT NULL"), doc("Whether messages are sent.")]
    created_at: Annotated[Time, doc("When it was made.")]
    created_by: Annotated[str, doc("Who made it: an actor of the audit log.")]
    former_secret_until: Annotated[
        Time | None,
        Column("CASE WHEN former_secret_until > now() THEN former_secret_until END"),
        doc("Until when messages are also signed with the secret before the last rotation."),
    ]


@attrs.frozen(kw_only=True)
class WebhookDelivery:
    """A message to a webhook, and what has become of it."""

    id: Annotated[str, doc("Its id, the header `Webhook-Id` of each attempt.")]
    event: Annotated[str, doc("What it tells of, or `ping`.")]
    occurred_at: Annotated[Time, doc("When that was: `timestamp` of the message.")]
    payload: Annotated[dict[str, str], doc("`data` of the message.")]
    status: Annotated[Literal["pending", "delivered", "failed"], doc("`failed`: it is not sent again by itself.")]
    attempts: Annotated[int, doc("How often it was sent, or is being sent.")]
    next_at: Annotated[
        Time | None, Column("CASE WHEN status = 'pending' THEN next_at END"), doc("When it is sent again.")
    ]
    status_code: Annotated[int | None, doc("The status of the last answer; null: there was none.")]
    error: Annotated[str | None, doc("Why the last attempt failed.")]
    created_at: Annotated[Time, doc("When it was made.")]
    delivered_at: Annotated[Time | None, doc("When it was delivered.")]
