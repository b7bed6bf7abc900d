"""The audit log over HTTP (docs/http.md, "Audit log")."""

from typing import Annotated

import attrs

from copilot_socket.core.acts import DONE, DOORS, REFUSED
from copilot_socket.core.describing import doc
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import one_of, text, timestamp
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Reply
from copilot_socket.http.queries import Listed
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.shown.access import AuditEntry


@attrs.frozen(kw_only=True)
class AuditQuery(Listed):
    """Which rows of the audit log."""

    actor: Annotated[str | None, text(1020), doc("Who.")] = None
    door: Annotated[str | None, one_of(*DOORS), doc("Through which door.")] = None
    action: Annotated[str | None, text(1020), doc("What: object and verb, as `job.cancel`.")] = None
    target: Annotated[str | None, text(1200), doc("On what.")] = None
    outcome: Annotated[str | None, one_of(DONE, REFUSED), doc("With which outcome.")] = None
    after: Annotated[str | None, timestamp, doc("Its `timestamp` is at this time or later.")] = None
    before: Annotated[str | None, timestamp, doc("Its `timestamp` is before this time.")] = None


AuditList = list_of("audit", AuditEntry)


@attrs.frozen
class AuditHandlers:
    """Handles requests to ``/api/v1/audit``."""

    catalog: Catalog

    @endpoint({200: AuditList})
    async def list_acts(self, _call: Call, query: AuditQuery) -> Reply:
        """Who did what, and who was refused, newest first."""
        listing = await self.catalog.audit(query.page, query.filters)
        return page("audit", listing)
