"""Webhooks: made, changed and removed by people. Secrets are sealed, and bound to their rows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.core.origins import origin
from copilot_socket.core.preconditions import Precondition
from copilot_socket.core.vault import Vault, VaultError, webhook_secret
from copilot_socket.core.webhooks import new_secret
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.single import ONE_WEBHOOK
from copilot_socket.store.sql import sql

CHANNEL = "copilot_webhooks"
"""Notifies nodes of changed webhooks, and of deliveries that people ask for."""
MOST = 10
"""Webhooks: a node sends to all of them at a time, so that none waits for another."""


@attrs.frozen(kw_only=True)
class NewWebhook:
    """A webhook to make."""

    url: str
    events: Sequence[str]
    description: str | None = None
    active: bool = True


@attrs.frozen
class MadeSecret:
    """The secret of the webhook *id*, which is shown this once."""

    id: str
    secret: str = attrs.field(repr=False)


class Webhooks:
    """Writes over the pool of *database*; all nodes are notified."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def add(self, new: NewWebhook, act: Act) -> MadeSecret | None:
        """Make a webhook, by *act*; None if there are :data:`MOST`."""

        async def work(tx: Transaction) -> MadeSecret | None:
            if new.active:
                await tx.query(sql("begin_place"))
            values = {**attrs.asdict(new), "events": list(new.events), "created_by": act.actor.name, "most": MOST}
            rows = await tx.query(sql("add_webhook"), values)
            for (webhook,) in rows:
                made = MadeSecret(str(webhook), new_secret())
                await tx.query(sql("set_secret"), {"id": made.id, "secret": self._sealed(made)})
                await record(tx, act.on(made.id, {**_told(attrs.asdict(new)), "active": new.active}))
                await tx.query(sql("notify_webhooks"))
                return made
            return None

        return await self._database.transaction(work)

    async def change(
        self, webhook: str, changes: Mapping[str, Any], act: Act, precondition: Precondition | None = None
    ) -> bool:
        """Change ``url``, ``events``, ``description`` and ``active`` of *webhook*; False if there is none.

        Raises :class:`.PreconditionFailed`.
        """

        async def work(tx: Transaction) -> bool:
            if precondition is not None:
                await ONE_WEBHOOK.require(tx, precondition, {"id": webhook})
            if changes.get("active"):
                await tx.query(sql("begin_place"))
            for *row, _secret in await tx.query(sql("lock_webhook"), {"id": webhook}):
                former = dict(zip(("url", "events", "description", "active"), row, strict=True))
                await tx.query(sql("change_webhook"), {**former, **changes, "id": webhook})
                if former["active"] and not {**former, **changes}["active"]:
                    await tx.query(sql("drop_pending"), {"id": webhook})
                made = {name: (former[name], value) for name, value in changes.items() if former[name] != value}
                shown = {name: (_told(former)[name], _told(changes)[name]) for name in made}
                await record(
                    tx, act.on(webhook, {name: list(pair) for name, pair in shown.items()}) if made else None
                )
                await tx.query(sql("notify_webhooks"))
                return True
            return False

        return await self._database.transaction(work)

    async def rotate(self, webhook: str, seconds: float, act: Act) -> MadeSecret | None:
        """Make a new secret, beside which the former one is valid for *seconds*; None if there is no such webhook."""

        async def work(tx: Transaction) -> MadeSecret | None:
            for *_, stored in await tx.query(sql("lock_webhook"), {"id": webhook}):
                made = MadeSecret(webhook, new_secret())
                former = self._opened(stored, webhook) if seconds else None
                values = {
                    "id": webhook,
                    "secret": self._sealed(made),
                    "former": former and self._vault.encrypt(former, webhook_secret(webhook, "former_secret")),
                    "seconds": seconds,
                }
                await tx.query(sql("rotate_secret"), values)
                await record(tx, act.on(webhook))
                return made
            return None

        return await self._database.transaction(work)

    async def remove(self, webhook: str, act: Act, precondition: Precondition | None = None) -> bool:
        """Remove *webhook* with its deliveries; False if there is none. Raises :class:`.PreconditionFailed`."""

        async def work(tx: Transaction) -> Any:
            if precondition is not None:
                await ONE_WEBHOOK.require(tx, precondition, {"id": webhook})
            return await tx.query(sql("remove_webhook"), {"id": webhook})

        return await self._recorded(work, act.on(webhook)) is not None

    async def ping(self, webhook: str, act: Act) -> str | None:
        """Have *webhook* sent a message; the id of the delivery, None where the webhook is not active."""
        return await self._recorded(lambda tx: tx.query(sql("add_ping"), {"id": webhook}), act.on(webhook))

    async def retry(self, webhook: str, delivery: str, act: Act) -> str | None:
        """Have *delivery* sent again at once; its id, None where there is none, or the webhook is not active."""
        values = {"id": webhook, "delivery": delivery}
        act = act.on(webhook, {"delivery": delivery})
        return await self._recorded(lambda tx: tx.query(sql("retry_delivery"), values), act)

    async def _recorded(self, change: Callable[[Transaction], Awaitable[Any]], act: Act) -> str | None:
        """The id that *change* returns; *act* is recorded if it returns one."""

        async def work(tx: Transaction) -> str | None:
            rows = await change(tx)
            if not rows:
                return None
            await record(tx, act)
            await tx.query(sql("notify_webhooks"))
            return str(rows[0][0])

        return await self._database.transaction(work)

    def _sealed(self, made: MadeSecret) -> str:
        return self._vault.encrypt(made.secret, webhook_secret(made.id, "secret"))

    def _opened(self, stored: str, webhook: str) -> str | None:
        """The stored secret; None if no key decrypts it: then rotation is the remedy."""
        try:
            return self._vault.decrypt(stored, webhook_secret(webhook, "secret"))
        except VaultError:
            return None


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """*values* for the audit log: of the URL, which may hold a secret, its origin."""
    return {name: origin(str(value).partition("?")[0]) if name == "url" else value for name, value in values.items()}
