"""``copilot-socket errors`` against a real site."""

import json
import os
from datetime import UTC, datetime, timedelta

from copilot_socket.cli import error_groups, output
from tests.cli.support import SiteCommandTestCase

GROUP = "5f1c2a9b7e4d6038"
LONG = "Cannot store the issue <n> of <path>: " + "very " * 60 + "long"


class ErrorCommandTests(SiteCommandTestCase):
    """As people type them."""

    def setUp(self) -> None:
        super().setUp()
        now = datetime.now(UTC)
        self.query(
            "INSERT INTO error_groups (fingerprint, error_type, command, text, errors, first_at, last_at, retried_at,"
            " retried_by, errors_at_retry)"
            " VALUES (%s, 'TypeError', 'issues', %s, 12000, now(), now(), now(), 'token:ann', 11997)",
            *(GROUP, LONG),
        )
        for account, hours, errors in (("acme", 1, 11000), ("acme", 2, 2), ("b", 1, 998)):
            at = (now - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
            self.query("INSERT INTO error_counts VALUES (%s, %s, %s, %s)", GROUP, at, account, errors)

    async def test_list(self) -> None:
        """A line for each group, with filters; cut to the width of a terminal."""
        listed = (await self.call(error_groups, "list")).splitlines()
        self.assertEqual(listed[0].split(), ["fingerprint", "status", "last_at", "errors", "failed", "what"])
        self.assertEqual(listed[1].split()[:2], [GROUP, "regressed"])
        self.assertTrue(listed[1].endswith(f"12,000       0  issues: TypeError: {LONG}"), listed[1])
        self.assertIn("Nothing meets", await self.call(error_groups, "list", "--command", "epics"))
        self.assertIn("Nothing meets", await self.call(error_groups, "list", "--last", "1s", "--account-id", "acme"))
        self.assertIn(" 11,002 ", await self.call(error_groups, "list", "--last", "5h", "--account-id", "acme"))
        self.patch(output.StandardOutput, "isatty", lambda _self: True)
        self.patch(os, "environ", {**os.environ, "COLUMNS": "100"})
        listed = (await self.call(error_groups, "list")).splitlines()
        self.assertEqual((len(listed[1]), listed[1][-1]), (100, "…"))

    async def test_show(self) -> None:
        """Counts with bars, and the latest error with its stack."""
        self.assertIn("none of these errors is left", await self.call(error_groups, "show", GROUP))
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable, stack_trace, context, fingerprint)"
            """ VALUES ('01J', %s, true, %s, '{"page": 7}', %s)""",
            *("Cannot store\x1b[2J", "TypeError: x\n\tat store (a.js:1)\n\tat run", GROUP),
        )
        shown = (await self.call(error_groups, "show", GROUP)).splitlines()
        self.assertEqual(shown[0], f"TypeError in issues: {LONG}")
        self.assertEqual(shown[1], "regressed; 12,000 errors of 2 accounts, 0 jobs failed")
        self.assertRegex(shown[3], r"^retried 20\S+Z by token:ann, 3 errors since$")
        text = "\n".join(shown)
        for part in (
            "account  errors\nacme     11,002  " + "#" * 40 + "\nb           998  ###\n",
            "  Cannot store\\x1b[2J\nstack trace:\n  TypeError: x\n      at store (a.js:1)\n      at run\n",
            "context:\n  page: 7",
        ):
            self.assertIn(part, text)
        self.assertRegex(text, r"\nhour +errors\n\S+:00:00Z +2  #\n\S+:00:00Z  11,998  #{40}\n")

    async def test_ignore(self) -> None:
        """A group that is ignored is listed only where it is asked for."""
        self.assertEqual(await self.call(error_groups, "ignore", GROUP), f"{GROUP}  ignored\n")
        self.assertIn("No errors", await self.call(error_groups, "list"))
        self.assertIn(GROUP, await self.call(error_groups, "list", "--status", "ignored"))
        self.assertIn("ignored 20", await self.call(error_groups, "show", GROUP))
        self.assertEqual(await self.call(error_groups, "unignore", GROUP), f"{GROUP}  regressed\n")
        answer = json.loads(await self.call(error_groups, "list", "--json"))
        self.assertEqual([group["fingerprint"] for group in answer["errors"]], [GROUP])
