"""Live events over HTTP."""

import attrs

from copilot_socket.core.jobs import Status
from copilot_socket.http import queries
from copilot_socket.http.events import KINDS, Filters
from copilot_socket.http.feed import Feed
from copilot_socket.http.fields import Check, text
from copilot_socket.http.messages import Call, OutOfScope, Problem, Streaming

FILTERS: dict[str, Check] = {
    "types": queries.some_of(*KINDS),
    "job_id": text(255),
    "account_id": text(255),
    "crawler": text(255),
    "status": queries.some_of(*(str(status) for status in Status)),
}


@attrs.frozen
class EventHandlers:
    """Handles ``/api/v1/events``."""

    feed: Feed

    async def watch(self, call: Call) -> Streaming:
        """Server-Sent Events, until the client disconnects or the node stops."""
        given = queries.read(call, FILTERS)
        if call.within is not None and not call.within.covers_account(given.get("account_id")):
            raise OutOfScope(
                403, "Access token is limited to certain accounts or users; name an account (account_id)"
            )
        refusal = self.feed.refusal
        if refusal is not None:
            raise Problem(503, refusal, headers={"Retry-After": "5"})
        statuses = given.pop("status", None)
        filters = Filters(**given, statuses=statuses)
        return Streaming(
            lambda watcher: self.feed.open(filters, watcher, call.still_granted),
            b"text/event-stream",
            {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
