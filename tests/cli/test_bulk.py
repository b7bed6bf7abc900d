"""``copilot-socket jobs`` on many jobs, ``operations`` and ``nodes``, against a real site."""

import io
import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from copilot_socket.cli import bulk, error_groups, jobs, nodes, operations
from copilot_socket.cli.errors import CommandError
from copilot_socket.core.jobs import Event
from tests.cli.support import SiteCommandTestCase


class Terminal(io.StringIO):
    """A terminal at which something was typed."""

    def isatty(self) -> bool:
        """It is one."""
        return True


class BulkCommandTests(SiteCommandTestCase):
    """Beside a node that carries out operations."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(bulk, "_LOOK", 0.05)
        self.patch(sys, "stdin", io.StringIO())
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)
        self.runner = LoopingCall(lambda: self.bulk.run_slice(2))
        self.runner.clock = reactor
        done = self.runner.start(0.05)
        self.addCleanup(lambda: (self.runner.stop() if self.runner.running else None, done)[1])

    async def jobs(self, number: int) -> list[str]:
        """Cancelled jobs, below g."""
        await self.account()
        found = [await self.job(full_path=f"g/p{n}") for n in range(number)]
        await self.transitions.apply(found, Event.CANCELLED)
        return found

    def states(self) -> list[object]:
        """Of all jobs, in their order."""
        return [state for (state,) in self.query("SELECT status FROM jobs ORDER BY id")]

    async def test_errors_retried(self) -> None:
        """All jobs that a group of errors has failed are retried by one command."""
        jobs_failed = await self.jobs(3)
        self.query("UPDATE jobs SET status = 'failed', error = repeat('a', 16) WHERE id <> %s", jobs_failed[0])
        self.query(
            "INSERT INTO error_groups (fingerprint, command, text, errors) VALUES (repeat('a', 16), 'issues', 'x', 2)"
        )
        printed = await self.call(error_groups, "retry", "a" * 16)
        self.assertIn("retry: done, 2 jobs done (failed 2)", printed)
        self.assertEqual(self.states(), ["cancelled", "queued", "queued"])

    async def test_by_filter(self) -> None:
        """What meets the filter is changed, after --yes; the result says how many, by state."""
        await self.jobs(3)
        out = await self.call(jobs, "retry", "--filter", "status=cancelled,failed", "path-prefix=g", "--yes")
        self.assertRegex(out, r"^01\w+  retry: done, 3 jobs done \(cancelled 3\)\n$")
        self.assertEqual(self.states(), ["queued"] * 3)
        answer = json.loads(await self.call(jobs, "cancel", "--filter", "spawned=false", "--yes", "--json"))
        self.assertEqual((answer["changed"], answer["status"]), ({"queued": 3}, "done"))
        out = await self.call(jobs, "resume", "--filter", "account_id=acme")
        self.assertIn("no such job", out)
        self.assertEqual(len(self.query("SELECT id FROM operations")), 2)

    async def test_by_ids(self) -> None:
        """Several ids are one operation; the status tells whether each of them was in a state that allows it."""
        found = await self.jobs(3)
        out = await self.call(jobs, "retry", *found[:2], "--yes")
        self.assertIn("2 jobs done", out)
        out = await self.call(jobs, "retry", *found, "--yes", status=1)
        self.assertIn("1 job done", out)
        self.assertIn("not in a state that allows it, or unknown: 2", out)
        self.assertIn("no such job", await self.call(jobs, "resume", *found, "--yes", status=1))

    async def test_skipped(self) -> None:
        """Jobs that were skipped are counted by the reason, and the status is not 0."""
        await self.jobs(1)
        await self.job(full_path="g/p0")
        out = await self.call(jobs, "retry", "--filter", "status=cancelled", "--yes", status=1)
        self.assertIn("skipped: 1 (twin 1)", out)

    async def test_single(self) -> None:
        """A single id is that job's own endpoint; recover has none, and is an operation."""
        [job] = await self.jobs(1)
        self.assertEqual(await self.call(jobs, "retry", job), f"{job}  queued\n")
        self.query("UPDATE jobs SET status = 'running'")
        self.assertIn("1 job done (running 1)", await self.call(jobs, "recover", job, "--yes"))
        await self.call(jobs, "cancel", job)
        self.assertEqual(await self.call(jobs, "delete", job), f"{job}  deleted\n")

    async def test_question(self) -> None:
        """At a terminal somebody is asked once, and told how many jobs it is about; elsewhere --yes is needed."""
        await self.jobs(2)
        command = ("retry", "--filter", "status=cancelled")
        with self.assertRaisesRegex(CommandError, r"retry 2 jobs \(cancelled 2\)\? There is no terminal .* --yes"):
            await self.call(jobs, *command)
        for typed in ("n\n", "", "no way\n"):
            self.patch(sys, "stdin", Terminal(typed))
            with self.assertRaisesRegex(CommandError, "nothing was done"):
                await self.call(jobs, *command)
        self.assertEqual(self.states(), ["cancelled"] * 2)
        self.patch(sys, "stdin", Terminal("Y\n"))
        self.assertIn("2 jobs done", await self.call(jobs, *command))
        self.assertIn("retry 2 jobs (cancelled 2)? [y/N]", self.errors.getvalue())

    async def test_faults(self) -> None:
        """A filter that is none, and neither ids nor a filter, or both."""
        for words, message in (
            (("retry",), "either the ids"),
            (("retry", "x", "--filter", "status=failed"), "either the ids"),
            (("retry", "--filter", "root=x"), "/filter/root: must be the id of a job"),
        ):
            with self.assertRaisesRegex(CommandError, message):
                await self.call(jobs, *words)

    async def test_progress_and_interruption(self) -> None:
        """How far it is, is said now and then; who stops to watch is told how to end it."""
        await self.jobs(9)
        self.patch(bulk, "_EVERY", 0.0)
        out = await self.call(jobs, "retry", "--filter", "status=cancelled", "--yes")
        self.assertRegex(out, r"(?m)^[1-9] of 9$")

        def sleep(_seconds: float) -> None:
            raise KeyboardInterrupt

        self.runner.stop()
        self.patch(bulk.time, "sleep", sleep)
        caught: list[Any] = []

        real = jobs.run

        def run(args: Any) -> int:
            try:
                return real(args)
            except KeyboardInterrupt as error:
                caught.append(error)
                return 0

        self.patch(jobs, "run", run)
        await self.call(jobs, "cancel", "--filter", "status=queued", "--yes")
        self.assertEqual(len(caught), 1)
        [(operation,)] = self.query("SELECT id FROM operations WHERE status = 'running'")
        self.assertIn(f"copilot-socket operations abort {operation}", self.errors.getvalue())

    async def test_operations(self) -> None:
        """They are listed, shown and ended."""
        await self.jobs(1)
        self.assertIn("No bulk operations", await self.call(operations, "list"))
        self.runner.stop()
        started = await self.post("/api/v1/jobs/bulk", {"action": "retry", "filter": {}})
        name = started.document["id"]
        heading, row = (await self.call(operations, "list", "--status", "running")).splitlines()
        self.assertEqual(dict(zip(heading.split(), row.split(), strict=True))["action"], "retry")
        self.assertIn("status: running\n", await self.call(operations, "show", name))
        self.assertEqual(await self.call(operations, "abort", name), f"{name}  retry: aborted, 0 jobs done\n")
        with self.assertRaisesRegex(CommandError, "not running"):
            await self.call(operations, "abort", name)

    async def test_nodes(self) -> None:
        """One line per node."""
        self.assertIn("No nodes", await self.call(nodes))
        self.query("INSERT INTO nodes (id, host, pid, lease_expires_at) VALUES ('n', 'h', 7, now() - interval '1 s')")
        heading, row = (await self.call(nodes)).splitlines()
        cells = dict(zip(heading.split(), row.split(), strict=True))
        expected = {"id": "n", "host": "h", "pid": "7", "live": "no"}
        self.assertEqual({name: cells[name] for name in expected}, expected)

    async def test_filters_of_the_list(self) -> None:
        """Every parameter of the list is an option; a total is the last line."""
        found = await self.jobs(3)
        await self.job(full_path="g/live", user_id="ann")
        filters = ("--status", "cancelled,failed", "--path-prefix", "g", "--order=-full_path")
        out = await self.call(jobs, "list", *filters, "--total", "--limit", "2")
        _, first, second, more, total = out.splitlines()
        self.assertEqual([first.split()[0], second.split()[0], total], [found[2], found[1], "total: 3"])
        self.assertIn("more: --cursor", more)
        out = await self.call(
            jobs, "list", "--user-id", "ann", "--finished", "false", "--include", "children", "--json"
        )
        self.assertEqual([job["children"] for job in json.loads(out)["jobs"]], [0])
