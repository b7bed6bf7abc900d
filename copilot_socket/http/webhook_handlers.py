"""Webhooks over HTTP (docs/http.md, "Webhooks")."""

from typing import Annotated, Any

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import doc
from copilot_socket.core.origins import origin
from copilot_socket.core.webhooks import WebhookEvent
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import MAX_URL, Check, flag, listed, matching, number, one_of, text, ulid
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, reply
from copilot_socket.http.queries import Listed
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.listing import Page, Record
from copilot_socket.store.shown.webhooks import Webhook, WebhookDelivery
from copilot_socket.store.webhooks import MOST, NewWebhook, Webhooks

LONGEST_ROTATION = 168
"""Hours for which a former secret may stay valid."""
_PRINTABLE = matching("[!-~]", MAX_URL, f"a URL of 1 to {MAX_URL} printable ASCII characters without spaces")


def _address(value: Any) -> str:
    scheme, colon, rest = _PRINTABLE(value).partition(":")
    found = f"{scheme.lower()}{colon}{rest}"
    if "#" in found or origin(found.partition("?")[0]) is None:
        raise ValueError("must be an http or https URL with a host and without user name or fragment")
    return found


_target = Check(_address, {**_PRINTABLE.schema, "format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"})
_description = text(1000)
_events = listed(one_of(*WebhookEvent), len(WebhookEvent), "events")


def _distinct(value: Any) -> list[str]:
    return list(dict.fromkeys(_events(value)))


_told = Check(_distinct, _events.schema)


@attrs.frozen(kw_only=True)
class WebhookBody:
    """A webhook to make."""

    url: Annotated[str, _target, doc("Where messages are sent: an http or https URL.")]
    events: Annotated[list[str], _told, doc("What it is told of.")]
    description: Annotated[str | None, _description, doc("What it is for.")] = None
    active: Annotated[bool, flag, doc("Whether messages are sent.")] = True


@attrs.frozen(kw_only=True)
class WebhookChange:
    """A change of a webhook: what is left out stays as it is."""

    url: Annotated[str | None, _target, doc("Where messages are sent.")] = None
    events: Annotated[list[str] | None, _told, doc("What it is told of.")] = None
    description: Annotated[str | UnsetType | None, _description, doc("What it is for.")] = UNSET
    active: Annotated[bool | None, flag, doc("Whether messages are sent; false gives up those that are pending.")] = (
        None
    )


@attrs.frozen(kw_only=True)
class RotationBody:
    """How to rotate a secret."""

    former_valid_hours: Annotated[
        float, number(0, LONGEST_ROTATION), doc("For how long messages are signed with the former secret, too.")
    ] = 24.0


@attrs.frozen(kw_only=True)
class MadeWebhook(Webhook):
    """A webhook that was made, with its secret."""

    secret: Annotated[str, doc("What its messages are signed with, which is shown this once.")]


@attrs.frozen(kw_only=True)
class RemovedWebhook:
    """A webhook that was removed."""

    id: Annotated[str, doc("Its id.")]
    removed: Annotated[bool, doc("True.")]


@attrs.frozen(kw_only=True)
class DeliveryQuery(Listed):
    """Which deliveries."""

    status: Annotated[str | None, one_of("pending", "delivered", "failed"), doc("What has become of them.")] = None


WebhookList = list_of("webhooks", Webhook)
WebhookDeliveryList = list_of("deliveries", WebhookDelivery)


@attrs.frozen
class WebhookHandlers:
    """Handles requests under ``/api/v1/webhooks``."""

    webhooks: Webhooks
    catalog: Catalog

    @endpoint({200: WebhookList})
    async def list_webhooks(self, _call: Call, query: Listed) -> Reply:
        """Webhooks, oldest first."""
        return page("webhooks", await self.catalog.webhooks(query.page))

    @endpoint({201: MadeWebhook}, problems=(409,))
    async def add_webhook(self, call: Call, body: WebhookBody) -> Reply:
        """Make a webhook; the answer shows its secret this once."""
        new = NewWebhook(url=body.url, events=body.events, description=body.description, active=body.active)
        made = await self.webhooks.add(new, call.act("webhook.add"))
        if made is None:
            raise Problem(409, f"There may be at most {MOST} webhooks")
        shown = {**await self._shown(made.id), "secret": made.secret}
        return attrs.evolve(reply(shown, 201, Location=f"/api/v1/webhooks/{made.id}"), secret=True)

    @endpoint({200: Webhook})
    async def show_webhook(self, call: Call) -> Reply:
        """One webhook."""
        return reply(await self._shown(_named(call)))

    @endpoint({200: Webhook}, problems=(412,))
    async def change_webhook(self, call: Call, body: WebhookChange) -> Reply:
        """Change a webhook; what is pending is sent to the new URL."""
        webhook = _named(call)
        given = {"url": body.url, "events": body.events, "active": body.active}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if body.description is not UNSET:
            changes["description"] = body.description
        if not await self.webhooks.change(webhook, changes, call.act("webhook.change"), precondition(call)):
            raise _no_webhook()
        return changed(await self._shown(webhook))

    @endpoint({200: RemovedWebhook}, problems=(412,))
    async def remove_webhook(self, call: Call) -> Reply:
        """Remove a webhook, with the log of its deliveries."""
        webhook = _named(call)
        if not await self.webhooks.remove(webhook, call.act("webhook.remove"), precondition(call)):
            raise _no_webhook()
        return reply({"id": webhook, "removed": True})

    @endpoint({200: MadeWebhook})
    async def rotate_secret(self, call: Call, body: RotationBody) -> Reply:
        """Make a new secret, which the answer shows this once; for a time, messages are signed with both."""
        seconds = body.former_valid_hours * 3600
        made = await self.webhooks.rotate(_named(call), seconds, call.act("webhook.rotate"))
        if made is None:
            raise _no_webhook()
        return attrs.evolve(reply({**await self._shown(made.id), "secret": made.secret}), secret=True)

    @endpoint({202: WebhookDelivery}, problems=(409,))
    async def test_webhook(self, call: Call) -> Reply:
        """Send a webhook the message `ping`."""
        webhook = _named(call)
        await self._shown(webhook)
        delivery = await self.webhooks.ping(webhook, call.act("webhook.test"))
        if delivery is None:
            raise _inactive()
        return reply(await self._delivery(webhook, delivery), 202)

    @endpoint({200: WebhookDeliveryList})
    async def list_deliveries(self, call: Call, query: DeliveryQuery) -> Reply:
        """What was sent to a webhook, and is to be, newest first."""
        webhook = _named(call)
        await self._shown(webhook)
        return page("deliveries", await self.catalog.deliveries(query.page, webhook, query.filters))

    @endpoint({202: WebhookDelivery}, problems=(409,))
    async def retry_delivery(self, call: Call) -> Reply:
        """Send a message again at once, whatever has become of it."""
        webhook = _named(call)
        delivery = call.named(ulid("a delivery"), _no_delivery(), "delivery")
        await self._shown(webhook)
        await self._delivery(webhook, delivery)
        if await self.webhooks.retry(webhook, delivery, call.act("webhook.retry")) is None:
            raise _inactive()
        return reply(await self._delivery(webhook, delivery), 202)

    async def _shown(self, webhook: str) -> Record:
        found = await self.catalog.webhook(webhook)
        if found is None:
            raise _no_webhook()
        return found

    async def _delivery(self, webhook: str, delivery: str) -> Record:
        found = (await self.catalog.deliveries(Page(1), webhook, {"id": delivery})).rows
        if not found:
            raise _no_delivery()
        return found[0]


def _named(call: Call) -> str:
    return call.named(ulid("a webhook"), _no_webhook())


def _no_webhook() -> Problem:
    return Problem(404, "No such webhook")


def _no_delivery() -> Problem:
    return Problem(404, "No such delivery of this webhook")


def _inactive() -> Problem:
    return Problem(409, "Webhook is not active")
