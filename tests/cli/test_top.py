"""``copilot-socket top``: what it makes of events, what it shows, its keys, and what it leaves behind."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli import top
from copilot_socket.cli.node import Node, Refused
from copilot_socket.cli.sse import Event
from copilot_socket.cli.style import Screen, width_of
from copilot_socket.cli.terminal import keys_in
from copilot_socket.cli.top_model import Model
from copilot_socket.cli.top_view import View
from copilot_socket.core.live_events import LiveEvent
from tests.cli.support import CommandTestCase
from tests.http.harness import TOKEN, EventsTestCase
from tests.support.server import beside_python

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CRAWLER = {
    "id": "c1", "mode": "serving", "system_status": "idle", "max_jobs": 4, "last_heartbeat": NOW.isoformat(),
    "active_jobs": ["J1.1.x"],
}  # fmt: skip
SNAPSHOT = {
    "counts": {"queued": 5, "assigned": 0, "running": 1, "completed": 7, "failed": 0},
    "queue": {"ready": 5, "held_back": 0, "scheduled": 0, "unroutable": 0, "oldest_seconds": 3.0},
    "crawlers": [CRAWLER],
}
HELD = {
    "id": "J1", "status": "running", "command": "issues", "full_path": "acme/shop", "account_id": "me",
    "started_at": (NOW - timedelta(minutes=5)).isoformat(), "updated_at": None,
    "progress": {"processed": 1, "total": 4},
}  # fmt: skip


def job(name: str, event: str, status: str | None = None, at: datetime = NOW, **data: Any) -> Event:
    """An event of a job."""
    stated = {} if status is None else {"status": status}
    return Event(None, "job", {"id": name, "event": event, "timestamp": at.isoformat(), **stated, **data})


def model() -> Model:
    """One that has begun: a crawler with a job."""
    found = Model()
    found.apply(Event(None, "snapshot", SNAPSHOT), NOW)
    found.held([HELD])
    return found


class ModelTests(SynchronousTestCase):
    """Events in, state out."""

    def test_snapshot(self) -> None:
        """Counts, queue and crawlers; the jobs that these hold get their crawlers."""
        found = model()
        self.assertEqual((found.counts["queued"], found.queue["ready"]), (5, 5))
        self.assertEqual((found.jobs["J1"].crawler_id, found.jobs["J1"].done, found.load("c1")), ("c1", 0.25, 1))

    def test_life_of_a_job(self) -> None:
        """Claimed, started, progress, end: gone at the end; only counts change what is counted."""
        found = model()
        found.apply(job("J2", "created", "queued", command="epics", full_path="g"), NOW)
        found.apply(job("J2", "claim", "assigned", command="epics", full_path="g", crawler_id="c1"), NOW)
        found.apply(job("J2", "job_started", "running", crawler_id="c1"), NOW)
        found.apply(job("J2", "job_progress", progress={"processed": 3, "total": 4}), NOW)
        self.assertEqual((found.jobs["J2"].done, found.jobs["J2"].command, found.load("c1")), (0.75, "epics", 2))
        found.apply(job("J2", "job_completed", "completed", outcome="completed"), NOW)
        found.apply(job("J1", "deleted"), NOW)
        self.assertEqual(found.jobs, {})
        self.assertEqual((found.counts["running"], found.counts["completed"]), (1, 7))
        self.assertEqual([(end.id, end.what) for end in found.ended], [("J2", "epics g")])

    def test_throughput(self) -> None:
        """What came to an end within a minute."""
        found = model()
        for seconds in (90, 61, 59, 1):
            found.apply(job("X", "job_completed", "completed", NOW - timedelta(seconds=seconds)), NOW)
        self.assertEqual((found.done("completed", NOW), found.done("failed", NOW)), (2, 0))
        self.assertEqual(found.done("completed", NOW + timedelta(hours=1)), 0)

    def test_again(self) -> None:
        """A second snapshot, after a gap, replaces what was known: jobs that are gone, and those that are new."""
        found = model()
        later = {**SNAPSHOT, "crawlers": [{**CRAWLER, "active_jobs": ["J9.1.x"]}], "counts": {"queued": 1}}
        found.apply(Event("n-9", "snapshot", later), NOW)
        self.assertEqual((list(found.jobs), found.jobs["J9"].crawler_id, found.counts), (["J9"], "c1", {"queued": 1}))
        found.apply(Event(None, "counts", {"counts": {"queued": 3}, "queue": None}), NOW)
        self.assertEqual((found.counts, found.queue["ready"], list(found.jobs)), ({"queued": 3}, 5, ["J9"]))

    def test_crawlers(self) -> None:
        """They come, are heard, and leave; one of several connections is not the crawler."""
        found = model()
        found.apply(Event(None, "connection", {"event": "came", "crawler_id": "c2"}), NOW)
        found.apply(Event(None, "heartbeat", {"crawler_id": "c2", "system_status": "crawling"}), NOW)
        found.apply(Event(None, "connection", {"event": "closed", "crawler_id": "c2"}), NOW)
        found.apply(Event(None, "connection", {"event": "opened"}), NOW)
        self.assertEqual((found.crawlers["c2"].status, found.crawlers["c2"].heard), ("crawling", NOW))
        found.apply(Event(None, "connection", {"event": "opened", "crawler_id": "pid 7 (uid 0)"}), NOW)
        found.apply(Event(None, "connection", {"event": "draining", "crawler_id": "c2"}), NOW)
        self.assertEqual((sorted(found.crawlers), found.crawlers["c2"].mode), (["c1", "c2"], "draining"))
        found.apply(Event(None, "connection", {"event": "fell silent", "crawler_id": "c1"}), NOW)
        found.apply(Event(None, "connection", {"event": "left", "crawler_id": "c2"}), NOW)
        self.assertEqual({name: each.status for name, each in found.crawlers.items()}, {"c1": "fell silent"})

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["job", "connection", "heartbeat", "counts", "snapshot", "news", "lost"]),
                st.dictionaries(
                    st.sampled_from(["id", "status", "event", "crawler_id", "timestamp", "counts", "progress"]),
                    st.sampled_from([None, "J1", "running", "queued", "failed", "claim", "x"]),
                ),
            ),
            max_size=20,
        ),
        st.integers(1, 120),
        st.integers(2, 40),
    )
    def test_anything(self, given_events: list[tuple[str, dict[str, Any]]], width: int, height: int) -> None:
        """No sequence of events fails, and whatever is known fits the screen."""
        found = model()
        for kind, data in given_events:
            proper = {
                name: value for name, value in data.items() if name not in ("counts", "progress") or value is None
            }
            found.apply(Event(None, kind, proper), NOW)
        self.assertTrue(all(count >= 0 for count in found.counts.values()))
        lines = View(found).lines(Screen(width, height, wide=False, now=NOW), "here")
        self.assertEqual(len(lines), height)
        self.assertLessEqual(max(map(width_of, lines)), width)


class ViewTests(SynchronousTestCase):
    """State in, lines out; and the keys."""

    def setUp(self) -> None:
        self.view = View(model())
        for number in range(9):
            self.view.model.apply(
                job(f"K{number}", "claim", "assigned", command="epics", full_path=f"g/{9 - number}", crawler_id="c2"),
                NOW,
            )

    def lines(self, height: int = 40, width: int = 100, **more: Any) -> list[str]:
        """What is shown, without colours."""
        return list(map(str, self.view.lines(Screen(width, height, wide=False, now=NOW, **more), "here")))

    def press(self, keys: str) -> bool:
        """Press keys, one after the other; what the last one answers."""
        return [self.view.press(key, NOW) for key in keys][-1]

    def shown(self) -> list[str]:
        """The ids of the jobs, in their order."""
        lines = "\n".join(self.lines()).partition("\nended")[0].splitlines()
        return [line.split()[0] for line in lines if re.match(r"[JK]\d ", line)]

    def test_all(self) -> None:
        """Counts, queue, crawlers, and jobs with their progress."""
        text = "\n".join(self.lines())
        for part in (
            "jobs   queued 5  assigned 0  running 1  completed 7", "queue  ready 5  held back 0",
            "c1       serving   1/4", "25%", "5 min ago", "ended: none", "order: longest",
        ):  # fmt: skip
            self.assertIn(part, text)

    def test_no_room(self) -> None:
        """What does not fit is counted; the last line is that of the keys."""
        lines = self.lines(height=16)
        self.assertEqual(len(lines), 16)
        self.assertTrue(any(re.match(r"… and \d more jobs", line) for line in lines), lines)
        self.assertIn("q quit", lines[-1])

    def test_sort(self) -> None:
        """s goes through the orders: by time, progress, command, path, account and crawler, and begins again."""
        self.assertEqual(self.shown()[0], "J1")
        self.press("sss")
        self.assertEqual((self.view.sort, self.shown()[:2]), ("path", ["J1", "K8"]))
        self.press("sss")
        self.assertEqual(self.view.sort, "longest")

    def test_filter(self) -> None:
        """f filters while it is typed: by a text, or by a value; Esc leaves it as it was, an empty one ends it."""
        self.press("fG/3")
        self.assertEqual(self.shown(), ["K6"])
        self.assertIn("G/3_", self.lines()[-1])
        self.press("\x7f4\r")
        self.assertEqual((self.shown(), self.view.filter), (["K5"], "G/4"))
        self.press("fzzz\x1b")
        self.assertEqual(self.view.filter, "G/4")
        self.press("f" + "\x7f" * 3 + "command=issues\r")
        self.assertEqual(self.shown(), ["J1"])
        self.assertTrue(self.press("fq"))
        self.press("zz")
        self.assertIn("jobs: none that meets the filter", self.lines())

    def test_pause(self) -> None:
        """p stops what is shown, and the clock with it, until p again."""
        self.press("p")
        self.view.model.apply(job("J1", "job_completed", "completed"), NOW)
        self.assertIn("J1", self.shown())
        self.assertIn("paused", self.lines()[0])
        self.press("p")
        self.assertNotIn("J1", self.shown())
        self.assertIn("live", self.lines()[0])

    def test_quit(self) -> None:
        """q ends it, but not while a filter is typed."""
        self.assertFalse(self.press("q"))
        self.assertTrue(self.press("fq"))

    def test_what_others_wrote(self) -> None:
        """No name reaches the terminal as it is."""
        evil = "\x1b[2J\n"
        self.view.model.apply(job(evil, "claim", "assigned", command=evil, full_path=evil, crawler_id=evil), NOW)
        self.view.model.apply(Event(None, "heartbeat", {"crawler_id": evil, "system_status": evil}), NOW)
        self.view.model.apply(job(evil, "job_failed", "failed", reason=evil, cause=evil), NOW)
        self.press("f" + "\x1b")
        for line in self.lines(colours=True):
            self.assertNotIn("\x1b[2J", line)
            self.assertNotIn("\n", line)

    def test_lost_connection(self) -> None:
        """The first line says why nothing comes."""
        self.view.status = "the node ended the stream; trying again in 1 s"
        self.assertIn("the node ended the stream", self.lines()[0])

    def test_keys(self) -> None:
        """Keys that send several characters are no keys of ours."""
        self.assertEqual(list(keys_in("q\x1b[A\x1bOPs\x1b[1;5Cé\x1b")), ["q", "s", "é", "\x1b"])


class TerminalTests(EventsTestCase):
    """In a terminal of its own."""

    timeout = 180

    def play(self, *steps: tuple[str, str | int]) -> tuple[int, str, bool]:
        """For each step wait for its text, then type or signal. Status, output, and whether all is as before."""
        pid, terminal = pty.fork()
        if pid == 0:
            program = beside_python("copilot-socket")
            environ = {"COPILOT_HTTP_TOKEN": TOKEN, "TERM": "xterm", "HOME": "/", "PATH": os.defpath}
            os.execve(program, [program, "top", "--url", f"http://127.0.0.1:{self.number}"], environ)
        try:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
            before = termios.tcgetattr(terminal)
            out, seen = "", 0
            for text, act in steps:
                while text not in out[seen:]:
                    self.assertTrue(select.select([terminal], [], [], 60)[0], out)
                    out += os.read(terminal, 65536).decode()
                seen = out.index(text, seen)
                if isinstance(act, str):
                    os.write(terminal, act.encode())
                else:
                    os.kill(pid, act)
            with contextlib.suppress(OSError):
                while more := os.read(terminal, 65536):
                    out += more.decode()
            _, status = os.waitpid(pid, 0)
            pid = 0
            return os.waitstatus_to_exitcode(status), out, termios.tcgetattr(terminal) == before
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(terminal)

    async def test_ends(self) -> None:
        """By q, Ctrl-C or SIGTERM: the terminal is as it was."""
        for end, expected in (("q", 0), ("\x03", 0), (signal.SIGTERM, 143)):
            status, out, same = await deferToThread(self.play, ("q quit", "s"), ("order: progress", end))
            self.assertEqual((status, same), (expected, True), out)
            self.assertTrue(out.startswith("\x1b[?1049h\x1b[?25l"), out)
            self.assertTrue(out.endswith("\x1b[?25h\x1b[?1049l"), out[-50:])

    async def test_follows(self) -> None:
        """What happens is shown."""
        await self.account()
        name = await self.job(full_path="g/p")

        playing = deferToThread(self.play, ("live", ""), ("g/p", "q"))
        await self.watched()
        claim = {"id": name, "event": "claim", "status": "assigned", "crawler_id": "c1", "full_path": "g/p"}
        await self.tell(LiveEvent("job", claim))
        status, _, _ = await playing
        self.assertEqual(status, 0)


class FollowTests(SynchronousTestCase):
    """What the thread does that reads the stream."""

    def test_snapshots(self) -> None:
        """With each snapshot the held jobs are read; a refusal ends the command."""
        self.patch(top, "held", lambda _node: [])

        def follow(_node: Node, _path: str, **hooks: Any) -> Iterator[Event]:
            hooks["opened"]()
            for number in (1, 2):
                yield Event(None, "snapshot", {**SNAPSHOT, "counts": {"queued": number}})
                hooks["tell"]("away")
            raise Refused("no", None, 401)

        self.patch(top, "follow", follow)
        view = View(Model())
        changes: list[Any] = []
        top._follow(Node("http://x"), changes.append)
        seen = []
        for change in changes[:-1]:
            change(view)
            seen.append((view.model.counts.get("queued"), view.status))
        self.assertEqual(seen, [(None, ""), (1, ""), (1, ""), (1, "away"), (2, "away"), (2, "away"), (2, "away")])
        self.assertEqual(view.model.jobs, {})
        self.assertRaises(Refused, changes[-1], view)


class NoTerminalTests(CommandTestCase):
    """Elsewhere."""

    def test_refused(self) -> None:
        """It says what to use instead."""
        outcome = self.run_command("top")
        self.assertEqual(outcome.status, 1)
        self.assertIn("stats --watch", outcome.errors)
        self.assertFalse(Path("nonsense").exists())
