"""Plans of the statements about errors, at scale."""

from typing import Any

import psycopg2

from copilot_socket.core.reports import Refused
from copilot_socket.store.connection import Transaction
from copilot_socket.store.errors import mark_retried
from copilot_socket.store.listing import Page
from copilot_socket.store.sql import sql
from tests.store.test_plans import nodes
from tests.support.acts import ACT
from tests.support.errors import BROKEN, ErrorsTestCase

FILL = """
INSERT INTO accounts (id, provider, gitlab_url, access_token)
  SELECT 'a' || n, 'gitlab-onprem', 'http://gitlab.test', 't' FROM generate_series(1, 50) n;
INSERT INTO error_groups (fingerprint, command, text, errors, first_at, last_at, ignored_at)
  SELECT lpad(to_hex(n), 16, '0'), 'issues', 'text ' || n, 9, now() - interval '9 days',
         now() - n * interval '1 minute',
         CASE WHEN n % 10 = 0 THEN now() END
  FROM generate_series(1, 5000) n;
INSERT INTO error_counts
  SELECT lpad(to_hex(n), 16, '0'), date_trunc('hour', now() - (n + k) * interval '1 minute'), 'a' || k, 1
  FROM generate_series(1, 5000) n, generate_series(1, 10) k;
INSERT INTO error_counts
  SELECT lpad(to_hex(1), 16, '0'), date_trunc('hour', now()) - h * interval '1 hour', 'a' || k, 1
  FROM generate_series(1, 500) h, generate_series(11, 20) k;
INSERT INTO jobs (account_id, command, full_path, status, error)
  SELECT 'a' || n % 50 + 1, 'issues', 'g/' || n, CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'completed' END,
         CASE WHEN n % 3 = 0 THEN lpad(to_hex(n % 5000 + 1), 16, '0') END
  FROM generate_series(1, 30000) n;
INSERT INTO jobs (account_id, command, full_path, error)
  SELECT 'a1', 'issues', 'outage/' || n, lpad(to_hex(1), 16, '0') FROM generate_series(1, 20000) n;
INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key, completed_at)
  SELECT id, id || '.1.x', account_id, 1, 'c9', now() FROM jobs WHERE status <> 'queued';
INSERT INTO job_error_log (job_id, error_message, is_recoverable, fingerprint, timestamp)
  SELECT 'x' || n, 'message', true, lpad(to_hex(n % 5000 + 1), 16, '0'), now() - n * interval '1 second'
  FROM generate_series(1, 30000) n;
"""
LARGE = {"jobs", "job_error_log", "error_counts", "error_groups", "job_assignments"}


class PlanTests(ErrorsTestCase):
    """No statement reads a large table as a whole."""

    fill = (FILL, "VACUUM ANALYZE")

    def setUp(self) -> None:
        super().setUp()
        self.ran: list[tuple[str, Any]] = []
        query, tx_query = self.database.query, Transaction.query

        async def noted(statement: str, params: Any = None) -> Any:
            self.ran.append((statement, params))
            return await query(statement, params)

        async def noted_in(tx: Transaction, statement: str, params: Any = None) -> Any:
            self.ran.append((statement, params))
            return await tx_query(tx, statement, params)

        self.patch(self.database, "query", noted)
        self.patch(Transaction, "query", noted_in)

    def assert_plans(self, least: int, *, most_rows: int = 1000) -> None:
        """Each statement that ran uses indexes."""
        seen = 0
        with psycopg2.connect(self.database_url) as connection, connection.cursor() as cursor:
            for statement, params in self.ran:
                if not any(name in statement for name in LARGE):
                    continue
                seen += 1
                cursor.execute(f"EXPLAIN (FORMAT JSON, ANALYZE) {statement}", params)
                [([plan],)] = cursor.fetchall()
                connection.rollback()
                for node in nodes(plan["Plan"]):
                    if node["Node Type"] == "Seq Scan":
                        self.assertNotIn(node.get("Relation Name"), LARGE, statement)
                    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
                        touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                        self.assertLess(touched * node["Actual Loops"], most_rows, f"{node} of {statement}")
        self.ran.clear()
        self.assertGreaterEqual(seen, least)

    async def test_reading(self) -> None:
        """Lists with each filter, and one group."""
        long_ago = "2026-01-01T00:00:00+00:00"
        [(since,)] = self.query("SELECT (now() - interval '2 hours')::text")
        for filters in (
            {},
            {"command": "issues"},
            {"account_id": "a3"},
            {"since": since},
            {"since": long_ago, "until": since},
            {"status": {"ignored"}},
        ):
            await self.errors.groups(Page(20), filters, {"history"})
            self.assert_plans(3, most_rows=7000)  # the counts of the first group, which are all wanted
        await self.errors.group("2".zfill(16), {})
        self.assert_plans(5)
        await self.errors.group("1".zfill(16), {"since": since})
        self.assert_plans(5)

    async def test_writing(self) -> None:
        """Failures, refused discoveries, what people do, and what the cleanup deletes."""
        assignment = await self.assigned()
        self.query("VACUUM ANALYZE jobs, job_assignments")
        self.ran.clear()
        await self.report(assignment, Refused("too large", "message_too_large", known=True), BROKEN)
        self.assert_plans(6)
        await self.errors.ignore("2".zfill(16), ACT)
        await self.errors.unignore("2".zfill(16), ACT)
        await self.database.transaction(lambda tx: mark_retried(tx, "2".zfill(16), ACT))
        self.assert_plans(5)
        for name in ("clean_error_counts", "clean_error_groups"):
            await self.database.query(sql(name), {"age": 86400.0 * 30, "limit": 1000})
        self.assert_plans(2)
