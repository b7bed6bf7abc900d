"""``why``: what is said of a job, for each thing that may keep it from running."""

from typing import Any

from copilot_socket.core.crawler_modes import MOST_FAILED
from copilot_socket.core.jobs import Event
from copilot_socket.core.pauses import Scope
from copilot_socket.store.catalog import Catalog
from tests.handlers.support import NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import until

HOST = "http://127.0.0.1:9"


class WhyTests(NodeTestCase):
    """Catalog.why()."""

    async def why(self, job: str) -> dict[str, Any]:
        """What is said of it."""
        why = await Catalog(self.nodes[0].database).why(job.partition(".")[0])
        assert why is not None
        self.assertTrue(why["sentence"].startswith("The job ") and why["sentence"].endswith("."), why["sentence"])
        return why

    async def codes(self, job: str) -> list[str]:
        """The codes of the reasons."""
        return [reason["code"] for reason in (await self.why(job))["reasons"]]

    async def test_held_and_over(self) -> None:
        """Whose crawler has it, and since when; how it ended."""
        node = await self.node()
        crawler, job = await self.working(capabilities=["ack", "commands"])
        crawler.say("job_started", job, id="s")
        self.assertEqual(await crawler.acked(), "s")
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual((reason["code"], reason["crawler_id"], reason["pausing"]), ("assigned", "one", False))
        self.assertLess(abs((reason["last_heard_at"] - reason["assigned_at"]).total_seconds()), 60)
        await node.transitions.pause(job.partition(".")[0], ACT)
        self.assertTrue((await self.why(job))["reasons"][0]["pausing"])
        await node.transitions.apply([job.partition(".")[0]], Event.CANCELLED)
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual((reason["code"], reason["status"], reason["cause"]), ("finished", "cancelled", "cancelled"))
        self.assertIsNone(await Catalog(node.database).why("01JD0000000000000000000000"))

    async def test_its_own_state(self) -> None:
        """Paused, delayed, or without a credential; all that holds is said."""
        node = await self.node()
        await self.crawler()
        [job] = self.add_jobs("g/1")
        self.query("UPDATE jobs SET scheduled_at = now() + interval '1 h', ready = false, cause = 'rate_limited'")
        self.assertEqual(await self.codes(job), ["delayed"])
        self.assertIn("after rate_limited", (await self.why(job))["sentence"])
        self.query("UPDATE accounts SET credential_status = 'expired', credential_error = 'invalid_grant: no'")
        await node.transitions.apply([job], Event.PAUSED)
        self.assertEqual(await self.codes(job), ["job_paused", "credential", "delayed"])
        self.assertIn("invalid_grant: no", (await self.why(job))["sentence"])

    async def test_restrictions(self) -> None:
        """Every pause that covers it, the hold of its host, limits that are reached, budgets that are used up."""
        await self.node()
        crawler, _running = await self.working(maxJobs=5)
        [job] = self.add_jobs("acme/shop")
        for scope, target in (("everything", None), ("host", HOST), ("account", "acct"), ("command", "issues"),
                              ("path_prefix", "acme")):  # fmt: skip
            self.query(
                "INSERT INTO pauses (scope, target, author, reason, ends_at)"
                " VALUES (%s, %s, 'ann', 'a reason', now() + interval '1 h')", scope, target,
            )  # fmt: skip
        self.query("INSERT INTO pauses (scope, target, author) VALUES ('command', 'commits', 'bob')")
        why = await self.why(job)
        self.assertEqual([reason["scope"] for reason in why["reasons"]],
                         [str(scope) for scope in (Scope.EVERYTHING, Scope.HOST, Scope.ACCOUNT, Scope.COMMAND,
                                                   Scope.PATH_PREFIX)])  # fmt: skip
        self.assertIn('acme with all below it is paused by ann ("a reason") since', why["sentence"])
        self.query("DELETE FROM pauses")
        self.query("INSERT INTO hosts (origin, held_since, opens_at, max_running) VALUES (%s, now(), now(), 1)", HOST)
        self.query("UPDATE accounts SET max_running = 1")
        for account, allowed in (("", 1), ("acct", 0), ("other", 0)):
            self.query(
                "INSERT INTO budgets (gitlab_origin, account_id, jobs_allowed, reset_at)"
                " VALUES (%s, %s, %s, now() + interval '1 min')", HOST, account, allowed,
            )  # fmt: skip
        found = [(each["code"], each.get("scope")) for each in (await self.why(job))["reasons"]]
        self.assertEqual(found[0], ("host_held", None))
        self.assertEqual(
            sorted(found[1:]),
            [("budget", "account"), ("budget", "host"), ("limit", "account"), ("limit", "host")],
        )
        self.query("UPDATE accounts SET max_running = 2; UPDATE hosts SET held_since = NULL, max_running = NULL")
        self.query("DELETE FROM budgets")
        self.assertEqual(await self.codes(job), ["turn"])
        del crawler

    async def test_crawlers(self) -> None:
        """Nobody takes it; those that do are drained; the one that does fails everything."""
        node = await self.node()
        [job] = self.add_jobs("g/1", command="epics")
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual((reason["code"], len(reason["commands"])), ("unroutable", 15))
        crawler = await self.crawler()
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual(reason["commands"], ["groupMilestones", "epics", "jobs", "mergeRequestNotes", "probe"])
        other = await self.crawler("two", entityTypes=["epics"], maxJobs=1)
        [job] = self.add_jobs("g/2", command="epics", priority=-1)
        self.assertEqual(await self.codes(job), ["turn"])
        await node.modes.set("two", node.registry.get("hello:two").mode.DRAINING, ACT)  # type: ignore[union-attr]
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual((reason["code"], reason["crawler_ids"]), ("no_serving_crawler", ["two"]))
        await node.modes.set("two", node.registry.get("hello:two").mode.SERVING, ACT)  # type: ignore[union-attr]
        for number in range(MOST_FAILED):
            self.add_jobs(f"f/{number}", command="epics", priority=9)
        for _ in range(MOST_FAILED):
            other.say("job_request")
            await other.fail((await other.job())["id"], recoverable=False)
        suspected = "SELECT crawler_id FROM crawlers WHERE suspected_at IS NOT NULL"
        await until(lambda: self.query(suspected) == [("two",)], "it is suspected")
        self.assertEqual(await self.codes(job), ["crawler_suspected"])
        del crawler

    async def test_tokens(self) -> None:
        """One that has expired and can't be refreshed now; one that can be is no reason."""
        await self.node()
        await self.crawler()
        [job] = self.add_jobs("g/2")
        self.query("UPDATE accounts SET token_expires_at = now()")
        self.assertEqual(await self.codes(job), ["turn"])
        self.query("UPDATE accounts SET refresh_after = now() + interval '1 min', credential_error = '503'")
        [reason] = (await self.why(job))["reasons"]
        self.assertEqual((reason["code"], reason["credential_error"]), ("token", "503"))
        self.assertIn("(503); it is requested again at", reason["text"])

    async def test_of_a_path_that_goes_on(self) -> None:
        """Its pause has ended, and it is not let go yet."""
        await self.node()
        await self.crawler(entityTypes=["epics"])
        [job] = self.add_jobs("g/1", command="epics")
        self.query("UPDATE jobs SET pause_id = '01JD0000000000000000000000', ready = false WHERE id = %s", job)
        self.assertEqual(await self.codes(job), ["resuming"])

    async def test_its_turn(self) -> None:
        """How many jobs of its account come before it, and how many accounts take turns."""
        await self.node()
        await self.crawler()
        self.add_account("other")
        self.add_jobs("o/1", account_id="other")
        low, first, second = (
            self.add_jobs("a/1", priority=-5)[0],
            self.add_jobs("a/2")[0],
            self.add_jobs("a/3", command="commits")[0],
        )
        [discovery] = [
            row[0]
            for row in self.query(
                "INSERT INTO jobs (account_id, command, priority)"
                " VALUES ('acct', 'GROUP_PROJECT_DISCOVERY', -9) RETURNING id"
            )
        ]
        self.add_jobs("e/1", command="epics", priority=99)
        for job, ahead in ((discovery, 0), (first, 1), (second, 2), (low, 3)):
            [reason] = (await self.why(job))["reasons"]
            self.assertEqual((reason["code"], reason["ahead"], reason["accounts"]), ("turn", ahead, 2))
        for scope, target in (("command", "issues"), ("account", "other")):
            self.query("INSERT INTO pauses (scope, target, author) VALUES (%s, %s, 'x')", scope, target)
        [reason] = (await self.why(second))["reasons"]
        self.assertEqual((reason["ahead"], reason["accounts"]), (1, 1))
