"""The audit log over HTTP (docs/http.md, "Audit log")."""

import re

import attrs

from copilot_socket.core.acts import DONE, DOORS, REFUSED
from copilot_socket.http import queries
from copilot_socket.http.fields import Check, one_of, text, timestamp
from copilot_socket.http.messages import Call, Reply, invalid, reply
from copilot_socket.store.catalog import Catalog

_KEY = re.compile(r"\[[0-9]{1,18}\]")

FILTERS: dict[str, Check] = {
    "actor": text(1020),
    "door": one_of(*DOORS),
    "action": text(1020),
    "target": text(1200),
    "outcome": one_of(DONE, REFUSED),
    "after": timestamp,
    "before": timestamp,
}


@attrs.frozen
class AuditHandlers:
    """Handles requests to ``/api/v1/audit``."""

    catalog: Catalog

    async def list_acts(self, call: Call) -> Reply:
        """Who did what, and who was refused, newest first."""
        page, filters = queries.listing(call, FILTERS)
        if page.after is not None and not _KEY.fullmatch(page.after):  # of another list
            raise invalid("?cursor", "must be the value of next from an earlier response")
        listing = await self.catalog.audit(page, filters)
        return reply({"audit": listing.rows, "next": listing.next})
