"""What live events hold, for the API's description and the types of clients (docs/http.md, "Live events")."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import Outcome, Status
from copilot_socket.store.shown.crawlers import Crawler
from copilot_socket.store.shown.overview import Overview
from copilot_socket.store.shown.stats import QueueStats

Text = str | UnsetType


@attrs.frozen(kw_only=True)
class CountsEvent:
    """Jobs by state, and the queue."""

    counts: Annotated[dict[str, int], doc("Jobs by state, for every state.")]
    queue: Annotated[QueueStats | UnsetType, doc("The queued jobs; not for an account or a user.")] = UNSET


@attrs.frozen(kw_only=True)
class SnapshotEvent(CountsEvent):
    """The state of things, which events change from here on."""

    crawlers: Annotated[list[Crawler] | UnsetType, doc("The connected ones; not for an account or a user.")] = UNSET
    overview: Annotated[Overview | UnsetType, doc("As in the event of that type; not for an account or a user.")] = (
        UNSET
    )


@attrs.frozen(kw_only=True)
class JobEvent:
    """A change of a job, or its progress."""

    id: Annotated[str, doc("Its id.")]
    event: Annotated[str, doc("Why: `created`, `deleted`, or an event of the life of a job.")]
    timestamp: Annotated[Time, doc("When it happened.")]
    status: Annotated[Status | UnsetType, doc("The state that it has entered.")] = UNSET
    account_id: Annotated[Text, doc("Whose.")] = UNSET
    user_id: Annotated[Text, doc("For whom.")] = UNSET
    command: Annotated[Text, doc("Of a job that was created or claimed.")] = UNSET
    full_path: Annotated[Text, doc("The same.")] = UNSET
    crawler_id: Annotated[Text, doc("Whose it is, or was.")] = UNSET
    crawler_job_id: Annotated[Text, doc("The attempt.")] = UNSET
    outcome: Annotated[Outcome | UnsetType, doc("How the attempt ended.")] = UNSET
    cause: Annotated[Cause | UnsetType, doc("Why the attempt ended.")] = UNSET
    reason: Annotated[Text, doc("The same in words.")] = UNSET
    error: Annotated[Text, doc("The fingerprint of a failure.")] = UNSET
    failures: Annotated[int | UnsetType, doc("Its failures, as it has them now.")] = UNSET
    progress: Annotated[dict[str, Any] | UnsetType, doc("What was merged into its progress.")] = UNSET


@attrs.frozen(kw_only=True)
class ConnectionEvent:
    """A change of a connection, or, without an id, of a crawler."""

    event: Annotated[
        str,
        doc(
            "`opened`, `identified`, `closed`; of a crawler `came`, `left`, `fell silent`, `fails everything`,"
            " or its new mode: `serving`, `draining`, `quarantined`."
        ),
    ]
    crawler_id: Annotated[str, doc("Its crawler.")]
    timestamp: Annotated[Time, doc("When it happened.")]
    id: Annotated[Text, doc("Of the connection.")] = UNSET
    is_active: Annotated[bool | UnsetType, doc("Whether it is open.")] = UNSET
    reason: Annotated[Text, doc("Why it was closed; where a remote one comes from.")] = UNSET


@attrs.frozen(kw_only=True)
class HeartbeatEvent:
    """A crawler's heartbeat."""

    id: Annotated[str, doc("Of the connection.")]
    crawler_id: Annotated[str, doc("Its crawler.")]
    timestamp: Annotated[Time, doc("When it happened.")]
    metadata: Annotated[dict[str, Any], doc("What else it said.")]
    system_status: Annotated[Text, doc("What its crawler does.")] = UNSET


@attrs.frozen(kw_only=True)
class AccountEvent:
    """A refresh of an account's token."""

    account_id: Annotated[str, doc("Whose.")]
    event: Annotated[Literal["refreshed", "refused", "failed"], doc("What has happened.")]
    timestamp: Annotated[Time, doc("When it happened.")]


@attrs.frozen(kw_only=True)
class HostEvent:
    """A GitLab whose jobs are held back, or not any more."""

    gitlab_origin: Annotated[str, doc("The URL of the GitLab.")]
    event: Annotated[Literal["held", "released"], doc("What has happened.")]
    timestamp: Annotated[Time, doc("When it happened.")]


@attrs.frozen(kw_only=True)
class PauseEvent:
    """A pause."""

    id: Annotated[str, doc("Its id.")]
    event: Annotated[Literal["added", "ended", "expired"], doc("What has happened.")]
    scope: Annotated[str, doc("What it is about.")]
    timestamp: Annotated[Time, doc("When it happened.")]
    target: Annotated[Text, doc("Which one.")] = UNSET
    author: Annotated[Text, doc("Who has added it.")] = UNSET
    reason: Annotated[Text, doc("Why.")] = UNSET


@attrs.frozen(kw_only=True)
class BudgetEvent:
    """A budget of requests."""

    gitlab_origin: Annotated[str, doc("The URL of the GitLab.")]
    event: Annotated[Literal["closed", "throttled", "open"], doc("What has happened.")]
    timestamp: Annotated[Time, doc("When it happened.")]
    account_id: Annotated[Text, doc("Whose.")] = UNSET
    name: Annotated[Text, doc("The name that GitLab gives it; without one for all requests.")] = UNSET
    jobs_allowed: Annotated[int | UnsetType, doc("How many jobs may run at a time.")] = UNSET
    until: Annotated[Time | UnsetType, doc("Until when.")] = UNSET


@attrs.frozen(kw_only=True)
class LostEvent:
    """Events are missing at this point."""

    lost: Annotated[int | None, doc("How many; null if that is not known.")]


EVENTS: Mapping[str, type] = {
    "snapshot": SnapshotEvent,
    "counts": CountsEvent,
    "overview": Overview,
    "job": JobEvent,
    "connection": ConnectionEvent,
    "heartbeat": HeartbeatEvent,
    "account": AccountEvent,
    "host": HostEvent,
    "pause": PauseEvent,
    "budget": BudgetEvent,
    "lost": LostEvent,
}
"""Type of event → the class of its data."""
