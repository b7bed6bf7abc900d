"""The overview as HTTP shows it."""

from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.attention import Kind, Severity
from copilot_socket.core.describing import Time, doc
from copilot_socket.store.shown.crawlers import Node
from copilot_socket.store.shown.restrictions import Budget, Host, Pause


@attrs.frozen(kw_only=True)
class HeldLane:
    """The queued jobs of an account and command that are held back."""

    account_id: Annotated[str, doc("Whose.")]
    command: Annotated[str, doc("Their command.")]
    queued: Annotated[int, doc("How many are due.")]
    why: Annotated[str, doc("What holds them back, in words.")]


@attrs.frozen(kw_only=True)
class Attention:
    """Something that needs a person."""

    kind: Annotated[Kind, doc("What it is about.")]
    severity: Annotated[Severity, doc("How much it weighs.")]
    text: Annotated[str, doc("The same in a sentence, without its full stop.")]
    count: Annotated[int, doc("How many of what the kind is about: accounts, hosts, crawlers, nodes; lanes; jobs.")]
    since: Annotated[Time | None, doc("Since when the first of them is like that, if that is known.")]
    names: Annotated[list[str], doc("Up to ten: accounts, origins, crawlers, nodes, commands or operations.")]
    lanes: Annotated[
        list[HeldLane] | UnsetType, doc("Only of `lane_held`: up to 50, those with most jobs first.")
    ] = UNSET


@attrs.frozen(kw_only=True)
class PoolState:
    """The connections to the database that requests and timers of the node share."""

    size: Annotated[int, doc("How many there are at most.")]
    in_use: Annotated[int, doc("How many are in use.")]
    waiting: Annotated[int, doc("Requests that wait for one.")]


@attrs.frozen(kw_only=True)
class DatabaseState:
    """The database, as the node sees it."""

    connected: Annotated[bool, doc("Whether it answers.")]
    latency_seconds: Annotated[float | None, doc("How long it last took to answer.")]
    pool: PoolState
    embedded: Annotated[bool, doc("Whether the node runs it itself.")]
    version: Annotated[str | None, doc("The version of PostgreSQL; null: not known yet.")]
    size_bytes: Annotated[int | None, doc("Its size, to a minute; null: not known yet.")]


@attrs.frozen(kw_only=True)
class Overview:
    """What needs a person, and what restricts and serves the jobs."""

    attention: Annotated[list[Attention], doc("What needs a person, weightiest first.")]
    node_id: Annotated[str, doc("The node that answers.")]
    version: Annotated[str, doc("Its version.")]
    nodes: Annotated[list[Node], doc("The nodes, up to 100.")]
    hosts: Annotated[list[Host], doc("The GitLab hosts, up to 100.")]
    budgets: Annotated[
        list[Budget], doc("Budgets, up to 100: those that keep jobs back, then the last ones changed.")
    ]
    pauses: Annotated[list[Pause], doc("The pauses in force, up to 100, oldest first.")]
    database: DatabaseState
