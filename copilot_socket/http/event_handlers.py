"""Live events over HTTP."""

from typing import Annotated

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.jobs import Status
from copilot_socket.core.live_events import Position
from copilot_socket.http import queries
from copilot_socket.http.checks import short_name, some_of, text
from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.event_data import EVENTS
from copilot_socket.http.events import TYPES, Filters
from copilot_socket.http.feed import Feed
from copilot_socket.http.messages import Call, OutOfScope, Problem, Streaming


@attrs.frozen(kw_only=True)
class EventQuery:
    """Which events. One without the field that a filter names is not sent."""

    types: Annotated[frozenset[str] | None, some_of(*TYPES), doc("Of these types.")] = None
    job_id: Annotated[str | None, text(255), doc("Of this job.")] = None
    account_id: Annotated[str | None, text(255), doc("Of this account's jobs.")] = None
    user_id: Annotated[str | None, short_name, doc("Of this user's jobs.")] = None
    crawler: Annotated[str | None, short_name, doc("With this `crawler_id`.")] = None
    status: Annotated[frozenset[str] | None, some_of(*Status), doc("Of jobs that enter one of these states.")] = None


@attrs.frozen
class EventHandlers:
    """Handles ``/api/v1/events``."""

    feed: Feed

    @endpoint({200: Content("text/event-stream", "Server-Sent Events: `x-events` has their data.", EVENTS)})
    async def watch_events(self, call: Call, query: EventQuery) -> Streaming:
        """Live events of all nodes, until the client disconnects or the node stops."""
        if call.within is not None and not call.within.covers_job(query.account_id, query.user_id):
            limits = {"accounts": call.within.accounts, "users": call.within.users}
            names = " and ".join(name for name, limit in limits.items() if limit is not None)
            raise OutOfScope(403, f"Access token is limited to certain {names}: name one (account_id, user_id)")
        refusal = self.feed.refusal
        if refusal is not None:
            raise Problem(503, refusal, headers={"Retry-After": "5"})
        filters = Filters(**queries.given(query, "status"), statuses=query.status)
        last = call.headers.get("last-event-id")
        since = None if last is None else Position.parse(last) or Position(0)
        here = await self.feed.here()  # what the client does once it has the answer is behind this
        return Streaming(
            lambda watcher: self.feed.open(filters, watcher, call.still_granted, since, here),
            b"text/event-stream",
            {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
