"""Log lines about jobs, crawlers and connections: what they say, and how many of them there are."""

from collections.abc import Iterable
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.identity import crawler_name
from copilot_socket.core.jobs import Event
from copilot_socket.event_bus import (
    ConnectionChanged,
    CrawlerChanged,
    DiscoveryStored,
    EventBus,
    HostChanged,
    JobChanged,
    JobsReported,
    MessageRefused,
    Refused,
    StateEvent,
)
from copilot_socket.logs import EventLog, Levels
from copilot_socket.logs.events import CONNECTIONS_A_SECOND, JOBS_A_SECOND
from copilot_socket.logs.rates import MAX_KEYS, OncePerMinute


def completed(*numbers: int) -> JobsReported:
    """The completion of *count* jobs of the crawler c1."""
    tries = [(f"J{number}.1.x", "hello:c1", "acct") for number in numbers]
    return JobsReported("completed", "job_completed", tries, "completed")


def refused(crawler: str = "c1", code: str = "stale_assignment") -> MessageRefused:
    """A report that came too late."""
    return MessageRefused("conn", crawler, "job_progress", code, "This attempt has already ended")


class NewsLogTests(SynchronousTestCase):
    """On a clock that is moved by hand."""

    def setUp(self) -> None:
        """A log of level info."""
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.open("info")

    def open(self, level: str, *debug: str) -> None:
        """Log at *level*."""
        self.levels = Levels(level, debug)
        self.bus = EventBus()
        self.log = EventLog(self.levels, self.clock)
        self.bus.subscribe_by_type(self.log.subscriptions)

    def publish(self, *change: StateEvent) -> list[str]:
        """The lines that are written of *change*, with their levels."""
        self.events.clear()
        for each in change:
            self.bus.publish(each)
        return self.lines()

    def lines(self) -> list[str]:
        """What was written since the last look."""
        written = [event for event in self.events if self.levels.predicate(event).name == "maybe"]
        lines = [f"{event['log_level'].name}: {formatEvent(event)}" for event in written]
        self.events.clear()
        return lines

    def test_failures(self) -> None:
        """A failure names command, path, error, assignment and crawler, whether it is the last one or not."""
        failed: dict[str, Any] = {"command": "issues", "full_path": "g/p", "error": "404 {not} found"}
        again = JobChanged("J", "queued", "job_failed", "J.1.x", "hello:c1", "queued again", "failed", "a", **failed)
        last = JobChanged("J", "failed", "job_failed", "J.3.x", "pid:b:n:7:9:1000", None, "failed", "a", **failed)
        lost = JobChanged("J", "queued", "time-out", "J.1.x", None, "no report", "timed_out", "a", "users", None)
        self.assertEqual(
            self.publish(again, last, lost),
            [
                "info: job J is queued after job_failed: 404 {not} found (issues g/p, assignment J.1.x, crawler c1)",
                "warn: job J is failed after job_failed: 404 {not} found "
                "(issues g/p, assignment J.3.x, crawler pid 7 (uid 1000))",
                "info: job J is queued after time-out: no report (users, assignment J.1.x)",
            ],
        )

    def test_completions(self) -> None:
        """A line each; of many in a second the first ones, and then one that sums the others up."""
        self.assertEqual(
            self.publish(completed(1)),
            ["info: job J1 is completed after job_completed (assignment J1.1.x, crawler c1)"],
        )
        lines = self.publish(completed(*range(500)), completed(*range(500)))
        self.assertEqual(len(lines), JOBS_A_SECOND - 1)
        self.clock.advance(1.0)
        self.assertEqual(self.lines(), [f"info: {1000 - JOBS_A_SECOND + 1} more jobs completed in the last second"])
        self.assertEqual(len(self.publish(completed(1))), 1)
        self.clock.advance(10.0)
        self.assertEqual(self.lines(), [])

    def test_everything_else_in_a_burst(self) -> None:
        """Frequent failures, discoveries, connections and crawlers are summed up as well."""
        for change, most, what in (
            (JobChanged("J", "failed", "job_failed"), JOBS_A_SECOND, "jobs failed"),
            (DiscoveryStored("J", "J.1.x", "hello:c1", 2, 7), JOBS_A_SECOND, "parts of discoveries were stored"),
            (CrawlerChanged("c1", "came"), CONNECTIONS_A_SECOND, "changes of connections and crawlers"),
        ):
            self.assertEqual(len(self.publish(*[change] * (most + 7))), most, what)
            self.clock.advance(1.0)
            self.assertEqual(self.lines(), [f"info: 7 more {what} in the last second"])

    def test_stop(self) -> None:
        """Outstanding summaries are written when the node stops; no delayed call is left."""
        self.publish(completed(*range(20)))
        self.log.stop()
        self.assertEqual(self.lines(), ["info: 10 more jobs completed in the last second"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_discoveries(self) -> None:
        """A discovery is a line with the number of areas and new jobs."""
        self.assertEqual(
            self.publish(DiscoveryStored("J", "J.1.x", "hello:c1", 2, 7)),
            ["info: job J discovered 2 areas, 7 new jobs (assignment J.1.x, crawler c1)"],
        )

    def test_connections(self) -> None:
        """Nothing is written where there is no reason."""
        self.assertEqual(
            self.publish(
                ConnectionChanged("conn", "c1", "opened"), ConnectionChanged("conn", "c1", "closed", "it left")
            ),
            ["info: connection conn opened: crawler c1", "info: connection conn closed: crawler c1, it left"],
        )

    def test_refused_messages(self) -> None:
        """One line a minute for each crawler, with the number of those that were not written."""
        line = "info: job_progress of crawler c1 refused, stale_assignment: This attempt has already ended"
        self.assertEqual(self.publish(*[refused()] * 50), [line])
        self.assertEqual(len(self.publish(refused("c2"))), 1)
        self.clock.advance(60.0)
        self.assertEqual(
            self.publish(refused(), refused()), [f"{line} (49 more of its messages since the last such line)"]
        )
        self.clock.advance(60.0)
        self.clock.advance(60.0)
        self.assertEqual(len(self.publish(refused())), 1)

    def test_refusals(self) -> None:
        """One line a minute for each door, reason and actor, whatever was asked for."""
        line = "warn: stranger at ::1 was refused over http, no_token: GET /\\x1b"
        kinds = [Refused("http", "no_token", "stranger", "::1", f"GET /\x1b{n or ''}") for n in range(50)]
        self.assertEqual(self.publish(*kinds), [line])
        self.assertEqual(
            self.publish(Refused("wire", "no_token", "uid:7", None, "hello")),
            ["warn: uid:7 was refused over wire, no_token: hello"],
        )
        self.clock.advance(60.0)
        self.assertEqual(self.publish(kinds[0]), [f"{line} (49 more since the last such line)"])

    def test_debug(self) -> None:
        """Every change and every refusal is a line where debug lines are asked for."""
        self.open("info", "socket:wire", "socket:store")
        lines = self.publish(completed(*range(50)), *[refused()] * 50, JobChanged("J", "running", "job_started"))
        self.assertEqual(len(lines), 101)
        self.assertEqual(lines[-1], "debug: job J is running after job_started")

    def test_quiet(self) -> None:
        """Lines that would not be written are not built."""
        self.open("warn")
        self.assertEqual(list(self.log.subscriptions), [JobChanged, HostChanged, Refused])

    def test_unwritten_failures_take_up_no_room(self) -> None:
        """Where only warnings are written, a job that has failed for good is one, whatever failed before it."""
        self.open("warn")
        again = JobChanged("J", "queued", Event.FAILED)
        self.assertEqual(self.publish(*[again] * 50), [])
        self.assertEqual(len(self.publish(JobChanged("J", "failed", "job_failed"))), 1)
        self.publish(*[JobChanged("J", "failed", "job_failed")] * (JOBS_A_SECOND + 6))
        self.events.clear()
        self.clock.advance(1.0)
        self.assertEqual(self.lines(), ["warn: 7 more jobs failed in the last second"])


class OncePerMinuteTests(SynchronousTestCase):
    """Many crawlers."""

    def counts(self, keys: Iterable[str]) -> list[int | None]:
        """The results for lines with these keys."""
        return [self.limit.counted(key) for key in keys]

    def test_bounded(self) -> None:
        """Past the limit of keys within a minute the others count as one, and nothing more is kept."""
        clock = Clock()
        self.limit = OncePerMinute(clock.seconds)
        self.assertEqual(set(self.counts(map(str, range(MAX_KEYS)))), {0})
        self.assertEqual(self.counts(["x", "y", "z"]), [0, None, None])
        self.assertEqual(len(self.limit._kept), MAX_KEYS + 1)
        clock.advance(60.0)
        self.assertEqual(self.counts(["x", "y"]), [0, 0])
        self.assertEqual(len(self.limit._kept), 2)


class NameTests(SynchronousTestCase):
    """Crawlers have one name everywhere."""

    def test_names(self) -> None:
        """The crawlerId, or the process, or the connection; a crawlerId may look like anything."""
        for key, name in (
            ("hello:c1", "c1"),
            ("hello:pid:a:b", "pid:a:b"),
            ("pid:boot-id:pid:[4026531836]:4711:99:1000", "pid 4711 (uid 1000)"),
            ("connection:abc", "connection abc"),
        ):
            self.assertEqual(crawler_name(key), name)
