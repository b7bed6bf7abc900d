"""A whole crawl on one machine: discovery, every kind of job, a killed crawler, and a final comparison."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty
from typing import Any

import attrs

from copilot_socket.demo.asking import NoAnswer, ask
from copilot_socket.demo.display import Display, Picture
from copilot_socket.demo.files import count
from copilot_socket.demo.outcome import Outcome, compare
from copilot_socket.demo.stage import DemoFailed, Stage
from copilot_socket.demo.story import Story

ACCOUNT = "demo"
KILLABLE = ("crawler-a", "crawler-b")
SUCCESSOR = "crawler-c"
PLAIN = "plain"
LIVE = ("queued", "assigned", "running", "paused", "waiting_credential")
TICK = 0.25
"""Seconds between requests for the server's state."""


@attrs.frozen
class Options:
    """Options of a demo. Times are in seconds; ``keep`` is a directory that does not exist yet."""

    groups: int = 3
    size: str = "small"
    seed: int = 1
    latency: float = 0.02
    keep: Path | None = None
    time_limit: float = 120.0


def play(options: Options, display: Display, environ: Mapping[str, str]) -> Outcome:
    """Run the demo and stop everything it started. Raises :class:`DemoFailed` if it does not end in time."""
    began = time.monotonic()
    with Stage(options.keep, environ) as stage:
        with display:
            demo = Demo(stage, display, options, began)
            demo.begin()
            demo.watch()
        return demo.outcome()


class Demo:
    """One run of the demo. *began*: its start, in monotonic seconds."""

    def __init__(self, stage: Stage, display: Display, options: Options, began: float) -> None:
        self._stage = stage
        self._display = display
        self._options = options
        self._began = began
        self._story = Story(frozenset(KILLABLE))
        self._gitlab = ""
        self._held: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def begin(self) -> None:
        """Start all processes, and submit the discovery from which all other jobs follow."""
        options, stage, say = self._options, self._stage, self._display.say
        world = ("--seed", str(options.seed), "--groups", str(options.groups), "--size", options.size)
        gitlab = stage.start_gitlab(*world, "--latency", str(options.latency))
        self._gitlab = gitlab["url"]
        self._held = self._account_of_gitlab()["counts"]
        say(f"A made-up GitLab at {self._gitlab} holds {sum(self._held.values())} entities")
        stage.start_node()
        say(f"A node listens on {stage.socket} and at {stage.url}")
        self._before = self._jobs()
        self._refuse_other_jobs()
        self._put_account(gitlab)
        job = stage.ask("/api/v1/jobs", "POST", {"account_id": ACCOUNT, "command": "GROUP_PROJECT_DISCOVERY"})
        say(f"Job {job['id']} discovers all groups and projects")
        for name in KILLABLE:
            stage.start_crawler(name)
        stage.start_plain_crawler(PLAIN)
        say(f"Crawlers: {', '.join(KILLABLE)}, and one that knows no hello")

    def watch(self) -> None:
        """Wait until no job is live. Raises :class:`DemoFailed` after the time limit."""
        while True:
            self._handle_events(TICK)
            jobs = self._jobs()
            self._display.show(self._picture(jobs))
            if not any(jobs.get(status, 0) for status in LIVE):
                return
            self._stage.check_children()
            if self._seconds() > self._options.time_limit:
                log = self._stage.children["node"].last_lines()
                raise DemoFailed(f"not done after {self._options.time_limit:.0f} s; jobs: {jobs}\n{log}")

    def outcome(self) -> Outcome:
        """The result."""
        self._handle_events(0.0)
        after = self._jobs()
        return Outcome(
            compare(count(self._stage.out), self._held),
            self._story.loss,
            {status: number - self._before.get(status, 0) for status, number in after.items()},
            dict(sorted(self._story.jobs_done.items())),
            self._account_of_gitlab()["refreshes"],
            self._seconds(),
            str(self._stage.directory) if self._options.keep else None,
        )

    def _handle_events(self, patience: float) -> None:
        """Handle the crawlers' events for *patience* seconds, and kill one at the right page."""
        until = time.monotonic() + patience
        while True:
            try:
                name, event = self._stage.events.get(timeout=max(0.001, until - time.monotonic()))
            except Empty:
                return
            resumed = self._story.loss is not None and self._story.loss.resumed_page is not None
            if event is not None and self._story.handle(name, event):
                self._kill(name)
            elif not resumed and self._story.loss is not None and self._story.loss.resumed_page is not None:
                self._display.say(f"J{str(self._story.loss)[1:]}")

    def _kill(self, name: str) -> None:
        victim = self._stage.children[name]
        victim.kill()
        self._display.say(f"{self._story.loss}".replace("job", "Job", 1))
        self._display.say(f"{SUCCESSOR} takes the place of {name} (process {victim.pid})")
        self._stage.start_crawler(SUCCESSOR)

    def _put_account(self, gitlab: Mapping[str, Any]) -> None:
        """Create the account with an expired access token: the first crawler gets a 401 and requests a new one."""
        expires = datetime.now(UTC) + timedelta(hours=1)
        document = {
            "provider": "gitlab-onprem",
            "gitlab_url": gitlab["url"],
            "access_token": gitlab["access_token"],
            "refresh_token": gitlab["refresh_token"],
            "token_expires_at": expires.isoformat(timespec="seconds"),
        }
        self._stage.ask(f"/api/v1/accounts/{ACCOUNT}", "PUT", document)

    def _refuse_other_jobs(self) -> None:
        """Raise :class:`DemoFailed` if there are other live jobs: the demo's crawlers would be given those, too."""
        if any(self._before.get(status, 0) for status in LIVE):
            raise DemoFailed("the database at DATABASE_URL has live jobs: use one that has none")

    def _jobs(self) -> dict[str, int]:
        jobs: dict[str, int] = self._stage.ask("/api/v1/stats")["jobs"]
        return jobs

    def _picture(self, jobs: Mapping[str, int]) -> Picture:
        fresh = {status: number - self._before.get(status, 0) for status, number in jobs.items()}
        crawlers = self._stage.ask("/api/v1/crawlers")["crawlers"]
        return Picture(fresh, crawlers, count(self._stage.out), self._held, self._seconds())

    def _account_of_gitlab(self) -> dict[str, Any]:
        try:
            account: dict[str, Any] = ask(f"{self._gitlab}/demo/counts").body
        except NoAnswer as problem:
            raise DemoFailed(str(problem)) from None
        return account

    def _seconds(self) -> float:
        return time.monotonic() - self._began
