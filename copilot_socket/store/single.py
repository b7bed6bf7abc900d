"""Single objects that people change, as they are shown: read, or locked in the transaction that changes them."""

from collections.abc import Mapping

import attrs

from copilot_socket.core.preconditions import Precondition
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Record, record
from copilot_socket.store.shown.accounts import Account
from copilot_socket.store.shown.restrictions import BUDGETS, HOSTS, Budget, HostState, Pause
from copilot_socket.store.shown.webhooks import Webhook


@attrs.frozen
class Single:
    """The *columns* (shown name → SQL) of the row of *tables* that meets *condition*; *table* has the row to lock."""

    columns: Mapping[str, str]
    tables: str
    table: str
    condition: str

    async def read(self, store: Transaction | Database, key: Mapping[str, str | None]) -> Record | None:
        """The object with this *key*; None if there is none."""
        statement = f"SELECT {', '.join(self.columns.values())} FROM {self.tables} WHERE {self.condition}"
        rows = await store.query(statement, key)
        return record(list(self.columns), rows[0]) if rows else None

    async def require(
        self, tx: Transaction, precondition: Precondition, key: Mapping[str, str | None], *, creates: bool = False
    ) -> bool:
        """Lock the object until the end of *tx*, and check it as it is then; return whether there is one.

        One that there is not is checked only if the change *creates* it. The statements are two: a single one would
        read what was there before it waited for the lock. Raises :class:`.PreconditionFailed`.
        """
        await tx.query(f"SELECT 1 FROM {self.table} WHERE {self.condition} FOR NO KEY UPDATE", key)
        found = await self.read(tx, key)
        if found is not None or creates:
            precondition.check(found)
        return found is not None


ONE_ACCOUNT = Single(columns(Account), "accounts", "accounts", "id = %(id)s")
ONE_PAUSE = Single(columns(Pause), "pauses", "pauses", "id = %(id)s")
ONE_HOST = Single(columns(HostState), HOSTS, "hosts", "origin = %(origin)s")
ONE_BUDGET = Single(
    columns(Budget),
    BUDGETS,
    "budgets b",
    "b.gitlab_origin = %(origin)s AND b.account_id = %(account)s AND b.name = %(name)s",
)
ONE_WEBHOOK = Single(columns(Webhook), "webhooks", "webhooks", "id = %(id)s")
