"""SQL of a web application that shares the database runs unchanged, and does not disturb the node."""

from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Completed
from copilot_socket.store import leases
from copilot_socket.store.catalog import Catalog
from tests.support.postgres import SynchronousDatabaseTestCase
from tests.support.store import GRACE, StoreTestCase

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, status VARCHAR(50) DEFAULT 'queued', command VARCHAR(100) NOT NULL, full_path TEXT,
  account_id TEXT NOT NULL, created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE IF NOT EXISTS job_assignments (
  web_app_job_id VARCHAR(255) PRIMARY KEY, crawler_job_id VARCHAR(255), account_id VARCHAR(255) NOT NULL,
  user_id VARCHAR(255), created_at TIMESTAMP DEFAULT now(), assigned_at TIMESTAMP, completed_at TIMESTAMP,
  status VARCHAR(50) DEFAULT 'pending', metadata JSONB);
CREATE TABLE IF NOT EXISTS socket_connections (
  id VARCHAR(255) PRIMARY KEY, crawler_id VARCHAR(255), connected_at TIMESTAMP DEFAULT now(),
  last_heartbeat TIMESTAMP DEFAULT now(), is_active BOOLEAN DEFAULT true, active_jobs TEXT[],
  system_status VARCHAR(50) DEFAULT 'idle', metadata JSONB);
CREATE INDEX IF NOT EXISTS idx_jobs_socket_status ON jobs (status, updated_at);
CREATE INDEX IF NOT EXISTS idx_job_assignments_status ON job_assignments (status, created_at);
CREATE INDEX IF NOT EXISTS idx_socket_connections_active ON socket_connections (is_active, last_heartbeat);
"""
RELATIONS = "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
TWINS = """
SELECT indrelid::regclass::text, count(*) FROM pg_index JOIN pg_class i ON i.oid = indexrelid
WHERE i.relnamespace = 'public'::regnamespace
GROUP BY indrelid, indkey::text, indoption::text, indclass::text, pg_get_expr(indexprs, indrelid),
         pg_get_expr(indpred, indrelid)
HAVING count(*) > 1
"""


class StatementsTests(SynchronousDatabaseTestCase):
    """Statements of the web application's migrations and seeds."""

    def test_nothing_is_made_twice(self) -> None:
        """CREATE … IF NOT EXISTS finds all tables and indexes under their names."""
        before = self.query(RELATIONS)
        self.query(TABLES)
        self.assertEqual(self.query(RELATIONS), before)
        self.assertEqual(self.query(TWINS), [])

    def test_documented_columns(self) -> None:
        """An insertion needs only the documented columns without a default."""
        self.query("INSERT INTO job_assignments (web_app_job_id, account_id) VALUES ('few', 'acct')")
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, user_id, created_at,"
            " assigned_at, completed_at, status, metadata)"
            " VALUES ('all', NULL, 'acct', NULL, now(), now(), NULL, 'pending', '{\"by\": \"web\"}')"
        )
        self.query("INSERT INTO socket_connections (id) VALUES ('few')")
        self.query(
            "INSERT INTO socket_connections (id, crawler_id, connected_at, last_heartbeat, is_active, active_jobs,"
            " system_status, metadata) VALUES ('all', 'c1', now(), now(), true, ARRAY['a'], 'idle', '{}')"
        )
        self.assertEqual(
            self.query("SELECT DISTINCT status, crawler_job_id FROM job_assignments"), [("pending", None)]
        )
        fresh = "SELECT DISTINCT is_active, system_status, last_heartbeat <= now() FROM socket_connections"
        self.assertEqual(self.query(fresh), [(True, "idle", True)])


class RowsTests(StoreTestCase):
    """Rows that another program inserts beside the node's."""

    def others(self, *job_ids: str, assignment: str | None = None) -> None:
        """Insert assignments of jobs that are no claims, two hours old."""
        for job_id in job_ids:
            self.query(
                "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, assigned_at)"
                " VALUES (%s, %s, 'acct', now() - interval '2 hours')",
                job_id,
                assignment,
            )

    async def test_they_are_no_claims(self) -> None:
        """Such assignments are never released or timed out, and do not hide lost claims."""
        first, second = self.add_jobs("g/a", "g/b")
        self.others(first, "no job at all")
        self.others(second, assignment="what the web application calls it")
        self.patch(leases, "RELEASE_LIMIT", 1)
        self.query("UPDATE jobs SET priority = -1")
        lost = await self.assigned("g/c")
        self.query("UPDATE crawlers SET lease_expires_at = now() - %s * interval '1 second'", GRACE)
        _batches, _claims, other = self.make_node("other")
        await other.renew([])
        self.assertEqual(await other.release_lost(others=True), 1)
        self.assertEqual(self.job(lost[:26], "status"), ("queued",))
        self.assertEqual(await other.time_out(), 0)
        self.assertEqual((await Catalog(self.database).stats())["crawlers"]["assignments"], 0)

    async def test_their_jobs_are_done(self) -> None:
        """A job with such an assignment is claimed, completed and shown like others."""
        [job_id] = self.add_jobs("g/a")
        self.others(job_id)
        await self.present("c1")
        [assignment] = await self.claim()
        self.assertEqual(self.query("SELECT status, try FROM job_assignments"), [("assigned", 1)])
        await self.report(assignment, Completed({}))
        shown = await Catalog(self.database).job(job_id)
        assert shown is not None
        self.assertEqual((shown["status"], shown["assignment"]["crawler_job_id"]), ("completed", assignment))
        self.assertEqual([each["try"] for each in shown["history"]], [1])

    async def test_their_jobs_are_cancelled(self) -> None:
        """A job with such an assignment can be cancelled before its first claim, and retried."""
        [job_id] = self.add_jobs("g/a")
        self.others(job_id)
        await self.transitions.apply([job_id], Event.CANCELLED)
        self.assertEqual(self.query("SELECT status FROM job_assignments"), [("cancelled",)])
        await self.transitions.apply([job_id], Event.RETRIED)
        await self.present("c1")
        self.assertEqual(len(await self.claim()), 1)

    async def test_their_connections_end(self) -> None:
        """A connection of no node is marked as ended, and counts as no crawler's."""
        self.query("INSERT INTO socket_connections (id, crawler_id) VALUES ('web', 'c1')")
        await self.leases.renew([])
        await self.leases.forget_dead()
        self.assertEqual(self.query("SELECT is_active FROM socket_connections"), [(False,)])
