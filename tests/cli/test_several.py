"""Acting on several objects, against a real site."""

import io
import json
import sys

from copilot_socket.cli import accounts, areas, crawlers, error_groups, nodes, operations, stats, tokens, users
from copilot_socket.cli.errors import CommandError, UsageError
from tests.cli.support import SiteCommandTestCase

GROUPS = ("a" * 16, "b" * 16)


class SeveralTests(SiteCommandTestCase):
    """By names, and by a filter."""

    def setUp(self) -> None:
        super().setUp()
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)
        self.patch(sys, "stdin", io.StringIO())
        for name, left in (("c1", "1 hour"), ("c2", "1 hour"), ("c3", "-1 hour")):
            self.query(
                "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
                " VALUES (%s, %s, 'n1', now() + %s::interval, 5, '{issue}', false)",
                *(f"hello:{name}", name, left),
            )

    def modes(self) -> list[object]:
        """Of all crawlers, by name."""
        return [mode for (mode,) in self.query("SELECT mode FROM crawlers ORDER BY crawler_id")]

    async def test_names(self) -> None:
        """Each is done, once; a failure does not keep the others from it, but shows in the status."""
        out = await self.call(crawlers, "drain", "c1", "c2", "c1")
        self.assertEqual(out, "crawler c1: draining\ncrawler c2: draining\n")
        out = await self.call(crawlers, "release", "c1", "nobody", "c2", status=1)
        self.assertEqual(out, "crawler c1: serving\ncrawler c2: serving\n")
        self.assertIn("copilot-socket: nobody: Not Found", self.errors.getvalue())

    async def test_filter(self) -> None:
        """It is asked first, unless --yes is given; a filter that nothing meets is no failure."""
        with self.assertRaisesRegex(CommandError, r"drain c1, c2\? There is no terminal"):
            await self.call(crawlers, "drain", "--filter", "connected=true")
        self.assertEqual(self.modes(), ["serving"] * 3)
        await self.call(crawlers, "drain", "--filter", "connected=true", "--yes")
        self.assertEqual(self.modes(), ["draining", "draining", "serving"])
        self.assertEqual(await self.call(crawlers, "drain", "--filter", "stale=true"), "")
        self.assertIn("nothing meets the filter", self.errors.getvalue())

    async def test_neither_or_both(self) -> None:
        """Names or a filter."""
        for words in (("drain",), ("drain", "c1", "--filter", "mode=serving")):
            with self.assertRaisesRegex(UsageError, "either names, or --filter"):
                await self.call(crawlers, *words)

    async def test_json(self) -> None:
        """One name is the API's answer, several are a list, with what was refused."""
        self.assertEqual(json.loads(await self.call(crawlers, "drain", "c1", "--json"))["mode"], "draining")
        out = json.loads(await self.call(crawlers, "drain", "c1", "x", "--json", status=1))
        self.assertEqual([each["id"] for each in out["results"]], ["c1", "x"])
        self.assertEqual(out["results"][1]["error"]["status"], 404)

    async def test_others(self) -> None:
        """Tokens, accounts, groups of errors and operations, too."""
        for name in ("one", "two"):
            await self.call(tokens, "add", name, "--role", "read")
        self.assertEqual(await self.call(tokens, "revoke", "one", "two"), "one: revoked\ntwo: revoked\n")
        await self.account()
        await self.call(accounts, "set", "--filter", "search=acme", "--weight", "9", "--yes")
        self.assertEqual(self.query("SELECT weight FROM accounts"), [(9,)])
        for group in GROUPS:
            self.query(
                "INSERT INTO error_groups (fingerprint, command, text, errors) VALUES (%s, 'issues', 'x', 1)", group
            )
        out = await self.call(error_groups, "ignore", "--filter", "command=issues", "--yes")
        self.assertEqual(sorted(out.splitlines()), [f"{group}  ignored" for group in GROUPS])
        for path in ("g/1", "g/2"):
            await self.post("/api/v1/jobs/bulk", {"action": "cancel", "filter": {"full_path": path}})
        out = await self.call(operations, "abort", "--filter", "status=running", "--yes")
        self.assertEqual(out.count("cancel: aborted"), 2)
        self.assertEqual(await self.call(operations, "list", "--status", "running"), "Nothing meets the filter\n")

    async def test_accounts(self) -> None:
        """One is shown with its jobs, discovered again, and deleted only when that is confirmed."""
        await self.account()
        out = await self.call(accounts, "rediscover", "acme")
        self.assertRegex(out, r"^01\w+  created\n$")
        self.assertIn("already live", await self.call(accounts, "rediscover", "acme"))
        self.assertIn("jobs:\n  queued: 1\n", await self.call(accounts, "show", "acme"))
        self.assertIn("queued 1", await self.call(accounts, "list", "--include", "jobs"))
        with self.assertRaisesRegex(CommandError, "delete acme with all jobs"):
            await self.call(accounts, "delete", "acme")
        with self.assertRaisesRegex(CommandError, "Conflict"):
            await self.call(accounts, "delete", "acme", "--yes")
        self.query("UPDATE jobs SET status = 'cancelled', finished_at = now()")
        self.assertEqual(await self.call(accounts, "delete", "acme", "--yes"), "acme: deleted, with 1 job\n")

    async def test_what_is_only_read(self) -> None:
        """Areas, users, nodes and history are shown, also where there are none."""
        self.assertIn("No areas", await self.call(areas))
        self.assertIn("found within a day: 0", await self.call(areas, "stats"))
        self.assertIn("ann  idle", await self.call(users, "show", "ann"))
        self.assertIn("Nothing is known", await self.call(stats, "--history", "hour"))
        self.assertIn("No nodes", await self.call(nodes))
        await self.account()
        await self.job(user_id="ann")
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, type, name)"
            " VALUES ('https://gitlab.example', 'g', 'group', 'G')"
        )
        self.assertRegex(await self.call(areas, "list", "--include", "counts"), r"g +group +G ")
        self.assertRegex(await self.call(areas, "stats"), r"https://gitlab.example +group +1\n")
        shown = await self.call(users, "show", "ann")
        self.assertIn("ann  running, 0% of 1 job over\njobs:\n  queued: 1\n", shown)
        self.assertRegex(shown, r"accounts:\nid +credential_status.*\nacme +valid")
        both = json.loads(await self.call(users, "show", "ann", "bob", "--json"))
        self.assertEqual([user["state"] for user in both["users"]], ["running", "idle"])
