"""Live events over HTTP."""

from typing import Annotated

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.jobs import Status
from copilot_socket.http import queries
from copilot_socket.http.checks import short_name, some_of, text
from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.events import KINDS, Filters
from copilot_socket.http.feed import Feed
from copilot_socket.http.messages import Call, OutOfScope, Problem, Streaming


@attrs.frozen(kw_only=True)
class EventQuery:
    """Which events. One without the field that a filter names is not sent."""

    types: Annotated[frozenset[str] | None, some_of(*KINDS), doc("Of these types.")] = None
    job_id: Annotated[str | None, text(255), doc("Of this job.")] = None
    account_id: Annotated[str | None, text(255), doc("Of this account's jobs.")] = None
    crawler: Annotated[str | None, short_name, doc("With this `crawler_id`.")] = None
    status: Annotated[frozenset[str] | None, some_of(*Status), doc("Of jobs that enter one of these states.")] = None


_NEEDED = {
    True: "name one of those that the access token is limited to (account_id)",
    False: "an access token that is limited to users may not watch them",
}


@attrs.frozen
class EventHandlers:
    """Handles ``/api/v1/events``."""

    feed: Feed

    @endpoint({200: Content("text/event-stream", "Server-Sent Events.")})
    async def watch_events(self, call: Call, query: EventQuery) -> Streaming:
        """Live events of this node, until the client disconnects or the node stops."""
        if call.within is not None and not call.within.covers_account(query.account_id):
            raise OutOfScope(403, f"Live events are of accounts: {_NEEDED[call.within.users is None]}")
        refusal = self.feed.refusal
        if refusal is not None:
            raise Problem(503, refusal, headers={"Retry-After": "5"})
        filters = Filters(**queries.given(query, "status"), statuses=query.status)
        return Streaming(
            lambda watcher: self.feed.open(filters, watcher, call.still_granted),
            b"text/event-stream",
            {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
