"""Events of event streams: their encoding, and the filters of a stream."""

from collections.abc import Mapping

import attrs
import orjson

from copilot_socket.core.live_events import TYPES as STORED
from copilot_socket.core.live_events import LiveEvent

SNAPSHOT, COUNTS, OVERVIEW = "snapshot", "counts", "overview"
TYPES = (*STORED, COUNTS, OVERVIEW, SNAPSHOT)
"""The types of events that a stream may ask for."""


def encode(type_: str, data: Mapping[str, object], id_: str | None) -> bytes:
    """An event as bytes (HTML Standard, section 9.2)."""
    named = b"" if id_ is None else b"id: %s\n" % id_.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (named, type_.encode(), orjson.dumps(data, option=orjson.OPT_UTC_Z))


@attrs.frozen
class Scope:
    """Whose jobs counts are of: those of an account, of a user, or, None, of all."""

    account_id: str | None = None
    user_id: str | None = None


@attrs.frozen(cache_hash=True)
class Filters:
    """The filters of a stream. An event without a field that a filter names does not match."""

    types: frozenset[str] = frozenset(TYPES)
    job_id: str | None = None
    account_id: str | None = None
    user_id: str | None = None
    crawler: str | None = None
    statuses: frozenset[str] | None = None

    def matches(self, event: LiveEvent) -> bool:
        """Whether *event* passes all filters."""
        data = event.data
        return (
            event.type in self.types
            and (self.job_id is None or (event.type == "job" and data["id"] == self.job_id))
            and (self.account_id is None or data.get("account_id") == self.account_id)
            and (self.user_id is None or data.get("user_id") == self.user_id)
            and (self.crawler is None or data.get("crawler_id") == self.crawler)
            and (self.statuses is None or data.get("status") in self.statuses)
        )

    @property
    def scope(self) -> Scope:
        """Whose jobs its counts are of."""
        return Scope(self.account_id, self.user_id)

    def wants(self, type_: str) -> bool:
        """Whether the stream gets ``snapshot``, ``counts`` or ``overview``, which have no job, crawler or state.

        Nor has an overview an account or user.
        """
        if type_ == OVERVIEW and self.scope != Scope():
            return False
        return type_ in self.types and (self.job_id, self.crawler, self.statuses) == (None, None, None)
