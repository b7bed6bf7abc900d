"""When the jobs of a whole GitLab host are held back, and how it is probed (docs/protocol.md, "Host holds").

A host is held back once several jobs of several crawlers have found it unavailable within a minute and none has
succeeded. Then one job at a time probes it, each another one, and the first that reaches GitLab ends the hold.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import evolve

WITHIN = 60.0
"""Seconds in which failures count together."""
JOBS, CRAWLERS = 3, 2
"""Different jobs, and different crawlers where as many are connected, that must have failed."""
FIRST_PROBE, LAST_PROBE = 5.0, 30.0
"""Seconds before the first probe, and the most between two."""
PROBE_PATIENCE = 10.0
"""Seconds in which a node that may send a probe has to do so, before another one may."""
MOST_FAILURES = 20
"""Failures that are kept."""


@attrs.frozen
class Failure:
    """A job of the host that found it unavailable, its crawler, and when; in seconds since the epoch."""

    job: str
    crawler: str
    at: float


@attrs.frozen
class Host:
    """What is known of a host. Times in seconds since the epoch, by the database's clock.

    ``failures`` are the latest, ``succeeded_at`` when a job last succeeded, ``held_since`` when the hold began,
    ``probes`` how many have failed, ``opens_at`` when the next one may be sent.
    """

    failures: tuple[Failure, ...] = ()
    succeeded_at: float | None = None
    held_since: float | None = None
    probes: int = 0
    opens_at: float | None = None

    def failed(self, failure: Failure, crawlers: int) -> "Host":
        """The host after *failure*, with *crawlers* connected."""
        if self.held_since is not None:
            opens_at = failure.at + min(LAST_PROBE, FIRST_PROBE * 2.0 ** min(self.probes + 1, 10))
            return evolve(self, probes=self.probes + 1, opens_at=opens_at)
        since = failure.at - WITHIN
        if self.succeeded_at is not None:
            since = max(since, self.succeeded_at)
        recent = (*(each for each in self.failures if each.at > since), failure)[-MOST_FAILURES:]
        counted = evolve(self, failures=recent)
        jobs, by = {each.job for each in recent}, {each.crawler for each in recent}
        if len(jobs) < JOBS or len(by) < min(CRAWLERS, max(crawlers, 1)):
            return counted
        return evolve(counted, failures=(), held_since=failure.at, probes=0, opens_at=failure.at + FIRST_PROBE)

    def reached(self) -> "Host":
        """The host after a job has reached GitLab: available."""
        return Host(succeeded_at=self.succeeded_at)

    @property
    def held(self) -> bool:
        """Whether its jobs are held back."""
        return self.held_since is not None


def failures_to_json(failures: tuple[Failure, ...]) -> dict[str, Any]:
    """As stored."""
    return {"latest": [[each.job, each.crawler, each.at] for each in failures]} if failures else {}


def failures_from_json(stored: Any) -> tuple[Failure, ...]:
    """What :func:`failures_to_json` has made; nothing of what it can't have made."""
    try:
        latest = stored.get("latest", ())
        return tuple(Failure(str(job), str(crawler), float(at)) for job, crawler, at in latest)[-MOST_FAILURES:]
    except (AttributeError, ValueError, TypeError, OverflowError):
        return ()


def probed(accounts: Mapping[str, float]) -> str | None:
    """Which of *accounts*, each with the time of its last probe, probes their host: the one whose probe is oldest."""
    return min(accounts, key=lambda account: (accounts[account], account), default=None)
