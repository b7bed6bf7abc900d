"""What the overview reads: each kind of trouble, and how many rows that takes where there are many."""

from datetime import UTC, datetime
from typing import cast

from twisted.internet import reactor

from copilot_socket.core.attention import LANES, Facts, Some
from copilot_socket.store.connection import Limits
from copilot_socket.store.database import Database
from copilot_socket.store.overview import ACCOUNTS, OverviewReader
from tests.support.explained import ExplainedDatabase
from tests.support.postgres import DatabaseTestCase

STATS = {
    "queue": {"ready": 3, "unroutable_commands": {"epics": 2}, "path_paused": 4},
    "crawlers": {"connected": 1},
}
HOST, OTHER = "https://g0", "https://g1"
FILL = (
    "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
    " SELECT 'a' || n, 'gitlab-onprem', 'https://g' || n % 2, 'x' FROM generate_series(0, 9) n",
    "INSERT INTO jobs (account_id, command, full_path, gitlab_url, provider)"
    " SELECT 'a' || n % 10, command, 'g/' || n, 'https://g' || n % 2, 'gitlab-onprem' FROM generate_series(0, 19) n,"
    " unnest('{issues,epics}'::text[]) AS command",
)
"""Ten accounts at two hosts; each has two jobs in each of two lanes."""


class OverviewTestCase(DatabaseTestCase):
    """Reads from a database."""

    fill = FILL

    def setUp(self) -> None:
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 2)
        self.addCleanup(self.database.close)
        self.reader = OverviewReader(self.database)

    async def lanes(self) -> dict[tuple[str, str], tuple[int, str]]:
        """The lanes that are held back."""
        found = (await self.reader.facts(STATS)).lanes
        return {(lane.account_id, lane.command): (lane.queued, lane.why) for lane in found}


class FactsTests(OverviewTestCase):
    """What is found."""

    async def test_nothing(self) -> None:
        """Where nothing is wrong, nothing is found."""
        self.assertEqual(
            await self.reader.facts(STATS),
            Facts(
                expired=Some(0, None, []),
                expiring=Some(0, None, []),
                quarantined=Some(0, None, []),
                failing=Some(0, None, []),
                silent=Some(0, None, []),
                ready=3,
                unroutable={"epics": 2},
                connected=1,
                hosts=[],
                lanes=[],
                paths=[],
                path_paused=4,
            ),
        )

    async def test_accounts(self) -> None:
        """Those without a credential and what waits for it; those whose tokens expire soon and can't be refreshed."""
        self.query("UPDATE accounts SET credential_status = 'expired' WHERE id IN ('a1', 'a2') RETURNING 1")
        self.query(
            "UPDATE jobs SET status = 'waiting_credential' WHERE account_id = 'a1' AND command = 'epics' RETURNING 1"
        )
        for account, days, refresh in (("a3", 6, None), ("a4", 8, None), ("a5", 1, "r"), ("a6", 3, None)):
            self.query(
                "UPDATE accounts SET token_expires_at = now() + %s * interval '1 day', refresh_token = %s"
                " WHERE id = %s RETURNING 1",
                days,
                refresh,
                account,
            )
        facts = await self.reader.facts(STATS)
        self.assertEqual((facts.expired.count, facts.expired.names, facts.waiting), (2, ["a1", "a2"], 8))
        self.assertEqual((facts.expiring.count, facts.expiring.names), (2, ["a6", "a3"]))

    async def test_crawlers(self) -> None:
        """Quarantined ones, silent ones (where their node lives), and those that fail everything."""
        for key, mode, minutes, suspected in (
            ("good", "serving", 1, "NULL"),
            ("bad", "serving", 1, "now()"),
            ("mute", "serving", -1, "now()"),
            ("left", "serving", -1, "NULL"),
            ("kept", "quarantined", 1, "now()"),
        ):
            self.query(
                "INSERT INTO crawlers (key, crawler_id, node_id, max_jobs, entity_types, plain, mode,"
                " lease_expires_at, mode_at, suspected_at) VALUES"
                f" (%s, %s, 'n', 1, '{{issue}}', false, %s, now() + %s * interval '1 min', '2026-01-05Z',"
                f" {suspected})"
                " RETURNING 1",
                key,
                key,
                mode,
                minutes,
            )
        self.query(
            "INSERT INTO nodes (id, host, pid, lease_expires_at) VALUES ('n', 'h', 1, now() + interval '1 min'),"
            " ('dead', 'h', 2, now()) RETURNING 1"
        )
        self.query(
            "INSERT INTO socket_connections (id, crawler_id, crawler_key, node_id, is_active)"
            " VALUES ('k', 'mute', 'mute', 'n', true), ('l', 'left', 'left', 'dead', true) RETURNING 1"
        )
        facts = await self.reader.facts(STATS)
        found = {name: getattr(facts, name).names for name in ("quarantined", "silent", "failing")}
        self.assertEqual(found, {"quarantined": ["kept"], "silent": ["mute"], "failing": ["bad"]})
        self.assertEqual((facts.silent.count, facts.silent.since is None), (1, False))
        self.assertEqual(facts.quarantined.since, datetime(2026, 1, 5, tzinfo=UTC))

    async def test_operations(self) -> None:
        """Those that have failed within a day."""
        for status, hours in (("failed", 1), ("failed", 25), ("done", 1)):
            self.query(
                "INSERT INTO operations (action, created_by, status, finished_at)"
                " VALUES ('retry', 'me', %s, now() - %s * interval '1 hour') RETURNING 1",
                status,
                hours,
            )
        [(failed,)] = self.query(
            "SELECT id FROM operations WHERE status = 'failed' AND finished_at > now() - interval '2 h'"
        )
        found = (await self.reader.facts(STATS)).operations
        self.assertEqual((found.count, list(found.names)), (1, [failed]))

    async def test_size(self) -> None:
        """The database's size, and the connections of its server."""
        size = await self.reader.size()
        self.assertGreater(size.bytes, 1_000_000)
        self.assertTrue(0 < size.connections.used <= size.connections.allowed)
        self.assertRegex(size.version, r"^\d+")


class LaneTests(OverviewTestCase):
    """Lanes that are held back."""

    def pause(self, scope: str, target: str | None) -> None:
        """Pause something."""
        self.query("INSERT INTO pauses (scope, target, author) VALUES (%s, %s, 'me') RETURNING 1", scope, target)

    async def test_paths(self) -> None:
        """Pauses of paths hold no lane back: those in force are found by themselves, the oldest first."""
        self.pause("path_prefix", "g/1")
        self.pause("path_prefix", "g/0")
        self.query("UPDATE pauses SET ends_at = now() WHERE target = 'g/1' RETURNING 1")
        self.pause("path_prefix", "g/2")
        facts = await self.reader.facts(STATS)
        self.assertEqual([pause.path for pause in facts.paths], ["g/0", "g/2"])
        self.assertEqual((facts.lanes, facts.path_paused), ([], 4))

    async def test_pauses(self) -> None:
        """By account, host and command, each lane with what covers it."""
        self.pause("account", "a1")
        found = await self.lanes()
        self.assertEqual(
            {lane: queued for lane, (queued, _) in found.items()}, {("a1", "epics"): 2, ("a1", "issues"): 2}
        )
        self.assertRegex(found["a1", "epics"][1], r"^account a1 is paused by me since \S+ until somebody ends it$")
        self.pause("command", "epics")
        found = await self.lanes()
        self.assertEqual(len(found), 11)
        self.assertIn("; command epics is paused", found["a1", "epics"][1])
        self.pause("host", HOST)
        self.assertEqual(len(await self.lanes()), 10 + 5 + 1)
        self.pause("everything", None)
        self.assertEqual(len(await self.lanes()), 20)

    async def test_hosts(self) -> None:
        """Those of a host that is held back."""
        self.query(f"INSERT INTO hosts (origin, held_since, opens_at) VALUES ('{OTHER}', now(), now()) RETURNING 1")
        found = await self.lanes()
        self.assertEqual({account for account, _ in found}, {"a1", "a3", "a5", "a7", "a9"})
        held = f"^{OTHER} has been held back as unavailable since .*, and is probed "
        self.assertRegex(found["a1", "issues"][1], held + "by the next job$")
        self.query("UPDATE hosts SET opens_at = now() + interval '1 min' RETURNING 1")
        self.assertRegex((await self.lanes())["a1", "issues"][1], held + r"at \S+Z$")

    async def test_limits(self) -> None:
        """Those of accounts and hosts that have as many running jobs as they may."""
        self.query("UPDATE accounts SET max_running = 1 WHERE id IN ('a1', 'a2') RETURNING 1")
        self.assertEqual(await self.lanes(), {})
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, status, try)"
            " SELECT id, id || '.1', account_id, 'running', 1 FROM jobs WHERE account_id = 'a1' LIMIT 1 RETURNING 1"
        )
        why = "account a1 has 1 running job of 1 allowed"
        self.assertEqual(await self.lanes(), {("a1", "epics"): (2, why), ("a1", "issues"): (2, why)})
        self.query(f"INSERT INTO hosts (origin, max_running) VALUES ('{OTHER}', 1) RETURNING 1")
        found = await self.lanes()
        self.assertEqual(len(found), 10)
        self.assertEqual(found["a3", "epics"][1], f"host {OTHER} has 1 running job of 1 allowed")

    async def test_budgets(self) -> None:
        """Those of an account whose budget is closed; it is the first that is shown."""
        for account, closed in (("a1", "NULL"), ("a2", "now() + interval '1 min'"), ("a3", "NULL")):
            self.query(
                "INSERT INTO budgets (gitlab_origin, account_id, closed_until)"
                f" SELECT gitlab_origin, id, {closed} FROM accounts WHERE id = %s RETURNING 1",
                account,
            )
        found = await self.lanes()
        self.assertEqual({account for account, _ in found}, {"a2"})
        self.assertRegex(found["a2", "epics"][1], "^the budget of requests of account a2 is closed until ")
        self.assertEqual([budget["account_id"] for budget in await self.reader.budgets()][:1], ["a2"])

    async def test_most(self) -> None:
        """One more than are shown says that there are more."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            f" SELECT 'b' || n, 'gitlab-onprem', '{HOST}', 'x' FROM generate_series(1, {LANES}) n RETURNING 1"
        )
        self.query(
            "INSERT INTO jobs (account_id, command) SELECT id, 'users' FROM accounts WHERE id LIKE 'b%%' RETURNING 1"
        )
        self.pause("everything", None)
        self.assertEqual(len(await self.lanes()), LANES + 1)
        self.query("DELETE FROM pauses RETURNING 1")
        self.pause("host", HOST)
        self.assertEqual(len(await self.lanes()), LANES + 1)


class PlanTests(DatabaseTestCase):
    """What is read where there are many accounts and jobs."""

    fill = (
        "INSERT INTO accounts (id, provider, gitlab_url, access_token, credential_status, max_running)"
        " SELECT 'a' || n, 'gitlab-onprem', 'https://g' || n % 2, 'x',"
        " CASE n % 9 WHEN 0 THEN 'expired' ELSE 'valid' END, CASE n % 7 WHEN 0 THEN 1 END"
        " FROM generate_series(1, 3000) n",
        "INSERT INTO jobs (account_id, command, full_path, status, tries)"
        " SELECT 'a' || n % 3000 + 1, command, 'g/' || n,"
        " CASE n % 10 WHEN 0 THEN 'queued' ELSE 'completed' END, 1"
        " FROM generate_series(1, 15000) n, unnest('{issues,commits}'::text[]) AS command",
        "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, status, try, completed_at)"
        " SELECT id, id || '.1', account_id, 'completed', 1, now() FROM jobs WHERE status = 'completed'",
        "INSERT INTO hosts (origin, held_since, opens_at) VALUES ('https://g1', now(), now())",
        "INSERT INTO pauses (scope, target, author) VALUES ('command', 'epics', 'me')",
        "ANALYZE",
    )

    async def test_rows(self) -> None:
        """Jobs are looked up lane by lane, and finished attempts are not read."""
        explained = ExplainedDatabase(self.database_url)
        self.addCleanup(explained.close)
        reader = OverviewReader(cast(Database, explained))
        facts = await reader.facts(STATS)
        self.assertTrue(facts.expired.count and facts.lanes)
        await reader.budgets()
        read = explained.rows_read()
        self.assertLess(read["jobs"], 2 * ACCOUNTS * 2, read)
        self.assertEqual(read.get("job_assignments", 0), 0, read)
