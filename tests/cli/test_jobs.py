"""``copilot-socket jobs`` against a real site."""

import argparse
import io
import json
import os
import sys
from typing import Any

from twisted.internet.threads import deferToThread

from copilot_socket.cli import jobs
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.main import parse
from copilot_socket.cli.node import node_from
from copilot_socket.config import ConfigFaults
from tests.http.harness import SiteTestCase


def parsed(*words: str) -> argparse.Namespace:
    """A command line as `copilot-socket jobs` gets it."""
    return parse(["jobs", *words])


class JobsCommandTests(SiteTestCase):
    """Each subcommand, for people and for programs."""

    token = "t0ken"

    def setUp(self) -> None:
        """Catch the output."""
        super().setUp()
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(os, "environ", {"COPILOT_HTTP_TOKEN": "t0ken", "http_proxy": "http://127.0.0.1:1", "HOME": "/"})
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('acme', 'gitlab-cloud', 'https://gitlab.example', 'x')"
        )

    async def call(self, *words: str, url: str | None = None) -> tuple[int, str, str]:
        """Run the command: status, standard output, what it raised."""
        args = parsed(*words, "--url", url or f"http://127.0.0.1:{self.number}/")
        self.out.seek(0)
        self.out.truncate()
        try:
            status = await deferToThread(jobs.run, args)
        except CommandError as error:
            return 1, self.out.getvalue(), str(error)
        return status, self.out.getvalue(), ""

    async def call_json(self, *words: str) -> Any:
        """Run it with --json; its output."""
        _status, out, _err = await self.call(*words, "--json")
        return json.loads(out)

    async def test_life(self) -> None:
        """A job is submitted, listed, shown, cancelled and retried."""
        status, out, _ = await self.call("submit", "acme", "issues", "g/p", "--priority", "3", "--branch", "b")
        job_id = out.split()[0]
        self.assertEqual((status, out), (0, f"{job_id}  created\n"))
        self.assertEqual(
            (await self.call("submit", "acme", "issues", "g/p", "--branch", "b"))[1], f"{job_id}  already live\n"
        )
        status, out, _ = await self.call("list", "--status", "queued")
        self.assertEqual(status, 0)
        self.assertEqual(out.splitlines()[1].split()[:4], [job_id, "queued", "issues", "g/p"])
        self.assertIn("priority: 3\n", (await self.call("show", job_id))[1])
        self.assertEqual((await self.call("cancel", job_id))[:2], (0, f"{job_id}  cancelled\n"))
        self.assertEqual((await self.call("retry", job_id))[:2], (0, f"{job_id}  queued\n"))
        shown = await self.call_json("show", job_id)
        self.assertEqual((shown["status"], shown["resume_state"]), ("queued", None))

    async def test_tries_and_failures(self) -> None:
        """Attempts and failures are counted separately, and the outcome of each attempt is shown."""
        _status, out, _ = await self.call("submit", "acme", "issues", "g/p")
        job_id = out.split()[0]
        self.query("UPDATE jobs SET tries = 3, attempts = 1")
        self.query(
            "INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, outcome, reason)"
            " VALUES (%s, 1, 'x', 'key', now(), 'failed', 'broke')",
            job_id,
        )
        heading, row = (await self.call("list"))[1].splitlines()
        cells = dict(zip(heading.split(), row.split(), strict=True))
        self.assertEqual((cells["tries"], cells["failures"]), ("3", "1"))
        lines = (await self.call("show", job_id))[1].splitlines()
        self.assertLess({"tries: 3", "failures: 1"}, set(lines))
        self.assertEqual(lines[-3], "attempts:")
        self.assertEqual(lines[-2].split(), ["try", "crawler", "began", "took", "ended", "cause", "reason"])
        self.assertRegex(lines[-1], r"^ +1  key +20\S+Z +\d+ ms  failed  - +broke$")
        for job in (await self.call_json("show", job_id), (await self.call_json("list"))["jobs"][0]):
            self.assertEqual((job["tries"], job["failures"], job["attempts"]), (3, 1, 1))

    async def test_nothing_to_list(self) -> None:
        """For an empty list the command says how to submit jobs."""
        status, out, _ = await self.call("list")
        self.assertEqual(status, 0)
        for words in ("copilot-socket seed", "copilot-socket jobs submit ACCOUNT COMMAND [PATH]"):
            self.assertIn(words, out)
        self.assertEqual(await self.call_json("list"), {"jobs": [], "next": None})

    async def test_file(self) -> None:
        """Many jobs come from a file or from standard input."""
        items = [{"account_id": "acme", "command": "epics", "full_path": f"g/{i}"} for i in range(3)]
        name = self.mktemp()
        with open(name, "w", encoding="utf-8") as file:  # noqa: PTH123 - trial gives a string
            json.dump(items, file)
        self.assertEqual((await self.call_json("submit", "--file", name))["created"], [True] * 3)
        self.patch(sys, "stdin", io.StringIO(json.dumps(items)))
        self.assertEqual((await self.call_json("submit", "--file", "-"))["created"], [False] * 3)
        page = await self.call_json("list", "--limit", "2")
        self.assertEqual(len(page["jobs"]), 2)
        rest = await self.call_json("list", "--cursor", page["next"], "--full-path", "g/0")
        self.assertEqual(len(rest["jobs"]), 1)

    async def test_refused(self) -> None:
        """A refusal of the node is printed, with status 1."""
        status, out, err = await self.call("submit", "acme", "nonsense", "g/p", "--max-attempts", "0")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("/command: must be one of GROUP_PROJECT_DISCOVERY", err)
        self.assertIn("/max_attempts: must be an integer from 1 to 100", err)
        status, _, err = await self.call("show", "x/../../stats")
        self.assertEqual((status, err), (1, "Not Found: No such job: x/../../stats"))
        self.assertEqual((await self.call_json("cancel", "x"))["status"], 404)

    async def test_bad_usage(self) -> None:
        """A job comes from arguments or a file, not both, and a file must contain JSON."""
        for words in (
            ["submit"],
            ["submit", "acme"],
            ["submit", "acme", "users", "--file", "-"],
            ["submit", "--file", "/"],
        ):
            status, _, err = await self.call(*words)
            self.assertEqual(status, 1)
            self.assertNotEqual(err, "")

    async def test_wrong_token(self) -> None:
        """An invalid token is reported, and not shown."""
        self.patch(os, "environ", {"COPILOT_HTTP_TOKEN": "other"})
        status, _, err = await self.call("list")
        self.assertEqual(status, 1)
        self.assertIn("COPILOT_HTTP_TOKEN", err)
        self.assertNotIn("other", err)

    async def test_nobody_there(self) -> None:
        """If no node answers, the address is named."""
        for url in ("http://127.0.0.1:1", "nonsense", "http://[bad"):
            status, _, err = await self.call("list", url=url)
            self.assertEqual(status, 1)
            self.assertIn(url, err)

    async def test_control_characters(self) -> None:
        """Control characters in names are escaped."""
        await self.call("submit", "acme", "issues", "g/\x1b[31mp")
        self.assertNotIn("\x1b", (await self.call("list"))[1])

    async def test_configuration(self) -> None:
        """Without --url the address comes from the configuration."""
        self.patch(
            os,
            "environ",
            {"COPILOT_HTTP_TOKEN": "t0ken-t0ken-t0ken-t0ken", "COPILOT_HTTP_HOST": "0.0.0.0", "HOME": "/"},
        )
        node = node_from(parsed("list"))
        self.assertEqual((node.url, node.token), ("http://127.0.0.1:3000", "t0ken-t0ken-t0ken-t0ken"))
        os.environ["COPILOT_HTTP_PORT"] = "many"
        error = self.assertRaises(ConfigFaults, jobs.run, parsed("list"))
        self.assertIn("COPILOT_HTTP_PORT", str(error))
