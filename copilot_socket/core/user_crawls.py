"""What has become of all that a user wanted crawled (docs/http.md, "A user's crawl")."""

from collections.abc import Mapping
from enum import StrEnum

from copilot_socket.core.jobs import HELD, TERMINAL, Status


class CrawlState(StrEnum):
    """The state of a user's jobs together."""

    IDLE = "idle"
    """There are none."""
    RUNNING = "running"
    """Some are live, and nothing that people must do keeps all of these back."""
    WAITING = "waiting"
    """All live ones are paused, or wait for a credential."""
    DONE = "done"
    """None is live, and none has failed."""
    FAILED = "failed"
    """None is live, and some have failed for good."""


def crawl_state(jobs: Mapping[Status, int], *, free: bool) -> CrawlState:
    """The state, by the number of *jobs* in each. *free*: neither pause nor credential keeps some queued job back."""
    live = sum(count for status, count in jobs.items() if status not in TERMINAL)
    if live:
        moving = any(jobs.get(status, 0) for status in HELD)
        return CrawlState.RUNNING if moving or (free and jobs.get(Status.QUEUED, 0)) else CrawlState.WAITING
    if not any(jobs.values()):
        return CrawlState.IDLE
    return CrawlState.FAILED if jobs.get(Status.FAILED, 0) else CrawlState.DONE


def progress(jobs: Mapping[Status, int]) -> float | None:
    """The share of *jobs* that are over, from 0 to 1; None: there are none."""
    every = sum(jobs.values())
    return sum(jobs.get(status, 0) for status in TERMINAL) / every if every else None
