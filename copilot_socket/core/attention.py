"""What needs a person: the list that a dashboard begins with, made from what is known of the whole.

It says what the alerts of ``ops/prometheus`` say, as far as it can be seen at a glance, and names what is concerned.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import attrs

from copilot_socket.core.why import shown_time

Severity = Literal["urgent", "warning"]
Kind = Literal[
    "database",
    "everything_paused",
    "no_crawlers",
    "credential_expired",
    "unroutable",
    "host_held",
    "node_gone",
    "crawler_failing",
    "crawler_quarantined",
    "crawler_silent",
    "lane_held",
    "path_paused",
    "operation_failed",
    "credential_expiring",
]
NAMES = 10
"""Names that an item has, at most."""
LANES = 50
"""Lanes that are listed, at most."""
HOLDING = {"paused": "pauses", "limit": "limits", "budget": "budgets", "host_held": "host holds"}
"""What holds lanes back, by the codes of its reasons."""
NEARLY_ALL = 0.9
"""The share of PostgreSQL's connections beyond which few are left."""


@attrs.frozen
class Some:
    """So many of a kind; the first ``names``, and since when the first of them is like that."""

    count: int = 0
    since: datetime | None = None
    names: Sequence[str] = ()


@attrs.frozen
class HeldHost:
    """A GitLab whose jobs are held back as it is unavailable. ``next_probe_at``; None: the next job."""

    origin: str
    since: datetime
    next_probe_at: datetime | None


@attrs.frozen
class PausedAll:
    """A pause of everything."""

    author: str
    reason: str | None
    since: datetime
    ends_at: datetime | None


@attrs.frozen
class PausedPath:
    """A pause of ``path`` and all below it."""

    path: str
    author: str
    reason: str | None
    since: datetime
    ends_at: datetime | None


@attrs.frozen
class Lane:
    """The ``queued`` jobs of an account and command, and ``why`` they are held back: in words, and by which kinds."""

    account_id: str
    command: str
    queued: int
    why: str
    kinds: Sequence[str]
    """Codes of reasons (:mod:`copilot_socket.core.why`)."""


@attrs.frozen
class Connections:
    """How many connections PostgreSQL has, of how many that it allows."""

    used: int
    allowed: int


@attrs.frozen(kw_only=True)
class Facts:
    """All that is needed.

    ``waiting``: jobs of accounts whose credential has expired; ``ready``: jobs that are due and not held back;
    ``unroutable``: those of them that no crawler takes, by command; ``connected``: crawlers; ``paths``: pauses of
    paths, the oldest first, which hold ``path_paused`` jobs back; ``error``: why the node can't do its work.
    """

    expired: Some = Some()
    waiting: int = 0
    expiring: Some = Some()
    hosts: Sequence[HeldHost] = ()
    quarantined: Some = Some()
    failing: Some = Some()
    silent: Some = Some()
    ready: int = 0
    unroutable: Mapping[str, int] = attrs.field(factory=dict)
    connected: int = 0
    lanes: Sequence[Lane] = ()
    """Up to one more than :data:`LANES`."""
    paths: Sequence[PausedPath] = ()
    path_paused: int = 0
    paused: PausedAll | None = None
    gone: Some = Some()
    operations: Some = Some()
    error: str | None = None
    connections: Connections | None = None


@attrs.frozen
class Item:
    """Something that needs a person. ``lanes``: only of ``lane_held``."""

    kind: Kind
    severity: Severity
    text: str
    count: int
    since: datetime | None = None
    names: Sequence[str] = ()
    lanes: Sequence[Lane] | None = None


def attention(facts: Facts) -> list[Item]:
    """What needs a person, weightiest first."""
    items = [
        *_database(facts),
        *_paused(facts.paused),
        *_crawlers_missing(facts),
        *_expired(facts),
        *_unroutable(facts),
        *_hosts(facts.hosts),
        *_gone(facts.gone),
        *_crawlers(facts),
        *_lanes(facts.lanes),
        *_paths(facts),
        *_operations(facts.operations),
        *_expiring(facts.expiring),
    ]
    return sorted(items, key=lambda item: item.severity != "urgent")


def _database(facts: Facts) -> list[Item]:
    items = []
    if facts.error is not None:
        items.append(Item("database", "urgent", f"The node that answers can't do its work: {facts.error}", 1))
    used = facts.connections
    if used is not None and used.used >= NEARLY_ALL * used.allowed:
        text = f"{used.used} of {used.allowed} connections that PostgreSQL allows are taken (max_connections)"
        items.append(Item("database", "warning", text, 1))
    return items


def _paused(pause: PausedAll | None) -> list[Item]:
    if pause is None:
        return []
    text = f"Everything is paused {_terms(pause)}: no job is given to a crawler"
    return [Item("everything_paused", "warning", text, 1, pause.since)]


def _terms(pause: PausedAll | PausedPath) -> str:
    """By whom, why, and until when."""
    why = f' ("{pause.reason}")' if pause.reason else ""
    until = f"until {shown_time(pause.ends_at)}" if pause.ends_at else "until somebody ends it"
    return f"by {pause.author}{why} {until}"


def _crawlers_missing(facts: Facts) -> list[Item]:
    if facts.connected or not facts.ready:
        return []
    return [Item("no_crawlers", "urgent", f"No crawler is connected, and {_jobs(facts.ready)} due", facts.ready)]


def _expired(facts: Facts) -> list[Item]:
    some = facts.expired
    if not some.count:
        return []
    who = "An account needs" if some.count == 1 else f"{some.count:,} accounts need"
    waits = f"; {_count(facts.waiting, 'job waits', 'jobs wait')} for that" if facts.waiting else ""
    severity: Severity = "urgent" if facts.waiting else "warning"
    text = f"{who} a new credential, as GitLab refuses the old one{waits}"
    return [_item("credential_expired", severity, text, some)]


def _unroutable(facts: Facts) -> list[Item]:
    if not facts.unroutable or not facts.connected:
        return []
    by_number = sorted(facts.unroutable.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{command} ({jobs:,})" for command, jobs in by_number[:NAMES])
    count = sum(facts.unroutable.values())
    text = f"{_jobs(count)} due, but no serving crawler takes {'it' if count == 1 else 'them'}: {shown}"
    return [Item("unroutable", "warning", text, count, None, [command for command, _ in by_number[:NAMES]])]


def _hosts(hosts: Sequence[HeldHost]) -> list[Item]:
    if not hosts:
        return []
    first = min(hosts, key=lambda host: host.since)
    probes = [host.next_probe_at for host in hosts if host.next_probe_at is not None]
    due = len(probes) < len(hosts)
    probed = "; the next job is sent to try it" if due else f"; the next probe is at {shown_time(min(probes))}"
    one = f"{first.origin} is unavailable, and its jobs are held back"
    text = one if len(hosts) == 1 else f"{len(hosts)} GitLab hosts are unavailable, and their jobs are held back"
    names = [host.origin for host in hosts[:NAMES]]
    return [Item("host_held", "warning", text + probed, len(hosts), first.since, names)]


def _gone(some: Some) -> list[Item]:
    if not some.count:
        return []
    who = "A node has" if some.count == 1 else f"{some.count} nodes have"
    text = f"{who} disappeared without being stopped; the others have taken over the jobs"
    return [_item("node_gone", "warning", text, some)]


def _crawlers(facts: Facts) -> list[Item]:
    texts: tuple[tuple[Kind, Some, str, str], ...] = (
        (
            "crawler_failing",
            facts.failing,
            "crawler has failed everything recently, and may have to be quarantined",
            "crawlers have failed everything recently, and may have to be quarantined",
        ),
        (
            "crawler_quarantined",
            facts.quarantined,
            "crawler is quarantined, and given no work until it is released",
            "crawlers are quarantined, and given no work until they are released",
        ),
        (
            "crawler_silent",
            facts.silent,
            "crawler has an open connection, but is silent",
            "crawlers have open connections, but are silent",
        ),
    )
    return [
        _item(kind, "warning", _count(some.count, one, more), some) for kind, some, one, more in texts if some.count
    ]


def _lanes(lanes: Sequence[Lane]) -> list[Item]:
    if not lanes:
        return []
    shown = sorted(lanes[:LANES], key=lambda lane: (-lane.queued, lane.account_id, lane.command))
    queued = sum(lane.queued for lane in shown)
    more = "More than " if len(lanes) > LANES else ""
    held = f"{more}{_count(queued, 'queued job is', 'queued jobs are')} held back"
    by = [words for code, words in HOLDING.items() if any(code in lane.kinds for lane in shown)]
    text = f"{held} by {' and '.join([', '.join(by[:-1]), by[-1]] if len(by) > 1 else by)}"
    names = list(dict.fromkeys(lane.account_id for lane in shown))[:NAMES]
    return [Item("lane_held", "warning", text, len(shown), None, names, shown)]


def _paths(facts: Facts) -> list[Item]:
    if not facts.paths or not facts.path_paused:
        return []
    first = facts.paths[0]
    held = f"{_count(facts.path_paused, 'queued job is', 'queued jobs are')} held back"
    one = f"{held}: {first.path} with all below it is paused {_terms(first)}"
    text = one if len(facts.paths) == 1 else f"{held} by {len(facts.paths)} pauses of paths"
    names = [pause.path for pause in facts.paths[:NAMES]]
    return [Item("path_paused", "warning", text, facts.path_paused, first.since, names)]


def _operations(some: Some) -> list[Item]:
    if not some.count:
        return []
    text = f"{_count(some.count, 'bulk operation has', 'bulk operations have')} failed within a day"
    return [_item("operation_failed", "warning", text, some)]


def _expiring(some: Some) -> list[Item]:
    if not some.count:
        return []
    first = f" (the first at {shown_time(some.since)})" if some.since and some.count > 1 else ""
    text = (
        f"{_count(some.count, 'token expires', 'tokens expire')} within 7 days{first}, and can't be refreshed:"
        " no refresh token is stored"
    )
    return [Item("credential_expiring", "warning", text, some.count, None, some.names)]


def _item(kind: Kind, severity: Severity, text: str, some: Some) -> Item:
    return Item(kind, severity, text, some.count, some.since, list(some.names)[:NAMES])


def _jobs(number: int) -> str:
    return _count(number, "job is", "jobs are")


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
