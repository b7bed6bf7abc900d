"""Showing an answer again and again, jobs in full, and the client of the HTTP port."""

import io
import json
import os
import sys
from typing import Any

from copilot_socket.cli import answers, jobs, output, stats
from copilot_socket.cli.answers import frame
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, Refused
from copilot_socket.cli.style import Screen, width_of
from tests.cli.support import CommandTestCase, SiteCommandTestCase


class WatchTests(SiteCommandTestCase):
    """``--watch``."""

    def interrupt_after(self, looks: int) -> None:
        """Have Ctrl-C pressed while it waits for the look after these."""
        self.waits: list[float] = []

        def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            if len(self.waits) == looks:
                raise KeyboardInterrupt

        self.patch(answers.time, "sleep", sleep)

    async def test_lines(self) -> None:
        """Without a terminal the tables follow each other; with --json a line each. Ctrl-C ends it with status 0."""
        self.interrupt_after(2)
        out = await self.call(stats, "--watch")
        self.assertEqual((out.count("jobs      queued"), self.waits), (2, [2.0, 2.0]))
        self.interrupt_after(3)
        lines = (await self.call(stats, "--watch", "0.5", "--json")).splitlines()
        self.assertEqual([json.loads(line)["jobs"]["queued"] for line in lines], [0] * 3)
        self.assertEqual(self.waits, [0.5] * 3)

    async def test_a_terminal(self) -> None:
        """On a terminal each look is drawn over the one before."""
        self.interrupt_after(2)
        self.patch(output.StandardOutput, "isatty", lambda _self: True)
        self.patch(os, "environ", {**os.environ, "COLUMNS": "60", "LINES": "10", "TERM": "xterm"})
        out = await self.call(stats, "--watch", "7")
        self.assertEqual(out.count("\x1b[H"), 2)
        first = out.split("\x1b[H")[1]
        self.assertEqual(first.count("\n"), 9)
        self.assertIn("every 7 s: copilot-socket", first)
        self.assertRegex(first, r"… and \d+ more lines")

    async def test_a_node_that_goes_away(self) -> None:
        """At first that is an error; later it is said, and tried again."""
        with self.assertRaisesRegex(CommandError, "no answer"):
            await self.call(stats, "--watch", url="http://127.0.0.1:1")
        self.patch(sys, "stderr", io.StringIO())
        self.interrupt_after(3)
        real = Node.request
        looks: list[Any] = []

        def request(node: Node, *given: Any) -> Any:
            looks.append(given)
            if len(looks) == 2:
                raise Refused("no answer from there")
            return real(node, *given)

        self.patch(Node, "request", request)
        out = await self.call(stats, "--watch")
        self.assertEqual(out.count("jobs      queued"), 2)
        self.assertIn("no answer from there; trying again", sys.stderr.getvalue())  # type: ignore[attr-defined]

    def test_frame(self) -> None:
        """It never has more lines than the terminal, and clears what was there."""
        shown = frame(["title" * 30, *(["line"] * 50)], Screen(20, 10, now=Screen().now))
        lines = shown.removeprefix("\x1b[H").removesuffix("\x1b[J").split("\n")
        self.assertEqual(len(lines), 10)
        self.assertLessEqual(max(width_of(line.removesuffix("\x1b[K")) for line in lines), 20)


class JobTests(SiteCommandTestCase):
    """``jobs show``."""

    async def test_all_of_it(self) -> None:
        """Why it waits, cursor, attempts and errors, for people: no JSON."""
        await self.account()
        name = await self.job(full_path="g/p")
        self.query(
            """UPDATE jobs SET tries = 2, attempts = 1, resume_state = '{"page": 7, "by": {"after": ["a", "b"]}}'"""
        )
        self.query(
            "INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at,"
            " outcome, reason, cause) VALUES (%s, 1, 'x', 'hello:c1', '2026-01-05T10:00:00Z', '2026-01-05T10:00:01Z',"
            " '2026-01-05T10:04:06Z', 'failed', E'broke\x1b', 'job_error')",
            name,
        )
        self.query(
            "INSERT INTO job_error_log (job_id, error_type, error_message, is_recoverable, stack_trace, context)"
            """ VALUES (%s, 'TypeError', 'Cannot', true, E'TypeError: x\n\tat store', '{"at": {"page": 7}}')""",
            name,
        )
        out = await self.call(jobs, "show", name)
        for part in (
            f"{name}  queued  issues g/p\nwhy: The job is queued: ",
            "\ncursor:\n  by:\n    after: a, b\n  page: 7\n",
            "  TypeError\n    Cannot\n      TypeError: x\n          at store\n    at:\n      page: 7\n",
        ):
            self.assertIn(part, out)
        self.assertRegex(out, r"\n +1  c1 +2026-01-05T10:00:01Z  4 min 5 s  failed  job_error  broke\\x1b\n")
        self.assertNotRegex(out, r'[{}"\[\]\x1b]')

    async def test_several(self) -> None:
        """One after the other, or a list."""
        await self.account()
        names = [await self.job(full_path=f"g/{number}") for number in range(2)]
        out = await self.call(jobs, "show", *names, names[0])
        self.assertEqual([line.split()[0] for line in out.splitlines() if line.startswith("01")], names)
        answer = json.loads(await self.call(jobs, "show", *names, "--json"))
        self.assertEqual([job["id"] for job in answer["jobs"]], names)
        self.assertNotIn("why", answer["jobs"][0])
        out = await self.call(jobs, "why", *names)
        self.assertEqual([line.split()[0] for line in out.splitlines() if line], names)
        with self.assertRaisesRegex(CommandError, "No such job: 01JD0000000000000000000000"):
            await self.call(jobs, "show", names[0], "01JD0000000000000000000000")


class StatusTests(CommandTestCase):
    """Exit status."""

    def test_wrong_command_lines(self) -> None:
        """What only the command can tell to be wrong has the status of a wrong command line, too."""
        for words in (("jobs", "cancel"), ("jobs", "submit"), ("pauses", "end", "x"), ("operations", "abort")):
            outcome = self.run_command(*words, "--url", "http://127.0.0.1:1")
            self.assertEqual(outcome.status, 2, (words, outcome.errors))

    def test_no_node(self) -> None:
        """Whoever can't reach the node is told what to do."""
        outcome = self.run_command("stats", "--url", "http://127.0.0.1:1")
        self.assertEqual(outcome.status, 1)
        self.assertIn("Connection refused. Is a node running there? (--url)", outcome.errors)
