"""Lanes of accounts over HTTP: how many jobs they have, and why none is sent."""

from typing import Any, cast

from copilot_socket.store.account_lists import AccountLists
from copilot_socket.store.database import Database
from copilot_socket.store.lanes import lanes_of
from copilot_socket.store.listing import Lists, Page
from tests.http.harness import SiteTestCase
from tests.support.explained import ExplainedDatabase
from tests.support.postgres import DatabaseTestCase

ACCOUNTS = "/api/v1/accounts"


class LaneTests(SiteTestCase):
    """``include=lanes``."""

    def crawler(self, types: str = "{issue,commit}", mode: str = "serving") -> None:
        """Have a connected crawler."""
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain, mode)"
            " VALUES (%s, 'c', 'n1', now() + interval '1 hour', 2, %s, false, %s)"
            " ON CONFLICT (key) DO UPDATE SET entity_types = excluded.entity_types, mode = excluded.mode",
            "c", types, mode,
        )  # fmt: skip

    async def shown(self, account: str = "acme") -> list[dict[str, Any]]:
        """The lanes of an account."""
        document = (await self.get(f"{ACCOUNTS}/{account}?include=lanes")).document
        return cast(list[dict[str, Any]], document["lanes"])

    async def held(self) -> str | None:
        """Why the only lane is held back."""
        [lane] = await self.shown()
        return cast(str | None, lane["held"])

    async def test_numbers(self) -> None:
        """Live jobs by command; a list has those of each account."""
        self.crawler()
        await self.account()
        await self.account("other")
        for number in range(3):
            await self.job(full_path=f"g/{number}")
        later = await self.job(full_path="g/later", scheduled_at="2100-01-01T00:00:00Z")
        over, running = await self.job(full_path="g/over"), await self.job(full_path="g/run", command="commits")
        self.query("UPDATE jobs SET status = 'failed' WHERE id = %s", over)
        self.query("UPDATE jobs SET status = 'running' WHERE id = %s", running)
        self.assertEqual(self.query("SELECT ready FROM jobs WHERE id = %s", later), [(False,)])
        nothing = {"scheduled": 0, "running": 0, "waiting_credential": 0, "held": None}
        expected = [
            {**nothing, "command": "commits", "queued": 0, "running": 1},
            {**nothing, "command": "issues", "queued": 4, "scheduled": 1},
        ]
        self.assertEqual(await self.shown(), expected)
        rows = (await self.get(f"{ACCOUNTS}?include=lanes,jobs")).document["accounts"]
        self.assertEqual([(row["id"], row["lanes"]) for row in rows], [("acme", expected), ("other", [])])
        self.assertEqual(rows[0]["jobs"]["queued"], 4)
        self.assertNotIn("lanes", (await self.get(f"{ACCOUNTS}/acme")).document)
        self.assertEqual(self.paths(await self.get(f"{ACCOUNTS}?include=lanes&limit=101")), ["?limit"])

    async def test_crawlers(self) -> None:
        """No crawler takes the command, or none that is given work."""
        await self.account()
        await self.job()
        self.assertEqual(await self.held(), "no crawler is connected")
        self.crawler("{commit}")
        self.assertEqual(await self.held(), "no connected crawler takes issues")
        self.crawler(mode="draining")
        self.assertEqual(await self.held(), "the crawlers that take issues are drained or quarantined: c")
        self.crawler()
        self.query("UPDATE crawlers SET suspected_at = now()")
        self.assertIsNone(await self.held())

    async def test_restrictions(self) -> None:
        """Pauses, the hold of the host, limits, budgets: those that hold, and of the account or its host alone."""
        self.crawler()
        await self.account()
        job = await self.job()
        self.query(
            "INSERT INTO pauses (scope, target, author, created_at)"
            " VALUES ('command', 'issues', 'ann', '2026-01-05Z'), ('command', 'commits', 'ann', now()),"
            " ('account', 'other', 'ann', now())"
        )
        self.assertEqual(
            await self.held(), "command issues is paused by ann since 2026-01-05T00:00:00Z until somebody ends that"
        )
        self.query("DELETE FROM pauses")
        origin = "https://gitlab.example"
        self.query("INSERT INTO hosts (origin, held_since) VALUES (%s, '2026-01-05Z')", origin)
        held = f"{origin} is held back as unavailable since 2026-01-05T00:00:00Z, and is probed by the next job"
        self.assertEqual(await self.held(), held)
        self.query("UPDATE hosts SET held_since = NULL, max_running = 1")
        self.query("UPDATE accounts SET max_running = 1")
        self.assertIsNone(await self.held())
        running = await self.job(full_path="g/run")
        self.query("UPDATE jobs SET status = 'running' WHERE id = %s", running)
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key)"
            " VALUES (%s, 'x', 'acme', 1, 'c')",
            running,
        )
        self.assertEqual(
            await self.held(),
            f"account acme has 1 running job of 1 allowed; host {origin} has 1 running job of 1 allowed",
        )
        self.query("UPDATE accounts SET max_running = NULL")
        self.query("DELETE FROM hosts")
        for account, whose in (("", f"host {origin}"), ("acme", "account acme")):
            self.query("DELETE FROM budgets")
            self.query(
                "INSERT INTO budgets (gitlab_origin, account_id, closed_until) VALUES (%s, %s, '2100-01-01Z'),"
                " ('https://other.example', 'acme', '2100-01-01Z')",
                origin, account,
            )  # fmt: skip
            self.assertEqual(
                await self.held(), f"the budget of requests of {whose} is closed until 2100-01-01T00:00:00Z"
            )
        self.query("DELETE FROM budgets")
        self.query("UPDATE jobs SET ready = false, pause_id = 'x' WHERE id = %s", job)
        self.assertEqual(await self.held(), "its paths are paused")

    async def test_credential(self) -> None:
        """It has expired; a new token can't be had."""
        self.crawler()
        await self.account()
        job = await self.job()
        self.query("UPDATE jobs SET status = 'waiting_credential' WHERE id = %s", job)
        self.query("UPDATE accounts SET credential_status = 'expired', credential_error = 'invalid_grant'")
        [lane] = await self.shown()
        self.assertEqual((lane["queued"], lane["waiting_credential"]), (0, 1))
        self.assertEqual(
            lane["held"], "the credential of account acme has expired: invalid_grant; it is to be renewed"
        )
        self.query("UPDATE jobs SET status = 'queued'")
        self.query(
            "UPDATE accounts SET credential_status = 'valid', token_expires_at = now(), refresh_after = '2100-01-01Z'"
        )
        self.assertIn("a new one is awaited", await self.held() or "")


class PlanTests(DatabaseTestCase):
    """Reads of lanes where there are many jobs."""

    fill = (
        "INSERT INTO accounts (id, provider, gitlab_url, access_token, max_running)"
        " SELECT 'a' || n, 'gitlab-onprem', 'https://g' || n % 50, 'x', 3 FROM generate_series(0, 999) n",
        "INSERT INTO hosts (origin, max_running) SELECT 'https://g' || n, 5 FROM generate_series(0, 49) n",
        "INSERT INTO jobs (account_id, command, full_path)"
        " SELECT 'a' || n % 1000, command, 'g/' || n FROM generate_series(1, 10000) n,"
        " unnest('{issues,commits}'::text[]) AS command",
        "INSERT INTO job_counts SELECT account_id, user_id, command, state, jobs FROM job_count_deltas",
        "DELETE FROM job_count_deltas",
        "ANALYZE",
    )

    async def test_lanes(self) -> None:
        """No job is read, and of the counters only those of the accounts."""
        explained = ExplainedDatabase(self.database_url)
        self.addCleanup(explained.close)
        database = cast(Database, explained)
        lanes = await lanes_of(database, ["a7"])
        self.assertEqual([lane["queued"] for lane in lanes["a7"]], [10, 10])
        read = explained.rows_read()
        self.assertNotIn("jobs", read)
        self.assertLessEqual(read["job_counts"], 4)
        page = await AccountLists(database, Lists(database)).page(Page(100), {}, include={"lanes"})
        self.assertEqual(sum(len(row["lanes"]) for row in page.rows), 200)
        read = explained.rows_read()
        self.assertNotIn("jobs", read)
        self.assertLessEqual(read["job_counts"], 600)
