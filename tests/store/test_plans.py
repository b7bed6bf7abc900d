"""Plans of the hot statements: made once, with any statistics, and used while the tables grow."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg2

from copilot_socket.store import turns
from copilot_socket.store.connection import HOT, prepared_form
from copilot_socket.store.sql import sql
from tests.support.store import StoreTestCase

HOT_STATEMENTS = {
    "store": turns._STORE,
    "claim": turns._CLAIM[False],
    "store_and_claim": turns._BOTH[False],
    "claim_capped": turns._CLAIM[True],
    "store_and_claim_capped": turns._BOTH[True],
    "lock_caps": sql("lock_caps"),
    "moved_areas": sql("moved_areas"),
    "found_areas": sql("found_areas"),
    "spawn": sql("spawn"),
}
LIVE = "idx_job_assignments_held"
"""The index of live assignments: those of a limited host are counted among all of these."""
NOTHING: dict[str, object] = {
    **dict.fromkeys(("job", "assignment", "crawler", "started", "completed", "progress", "resume"), "{}"),
    **{"key": "{c1}", "takes_over": "{t}", "slot_allotment": "{1}", "slot_crawler": "{1}"},
    **{
        "depth": "{2}",
        "account": "{a1}",
        "commands": '{"issues,commits"}',
        "locks": "{1}",
        "node": "node",
        "max_attempts": 3,
    },
    **dict.fromkeys(("path", "gitlab_id", "name", "type", "kind", "priority"), "{}"),
    **dict.fromkeys(("spawning_kind", "spawned_command"), "{}"),
}


class PlanTests(StoreTestCase):
    """The plans of a node that starts now."""

    def plans(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and plan of each statement, planned on a new connection like those of a node."""
        connection = psycopg2.connect(self.database_url)
        self.addCleanup(connection.close)
        with connection.cursor() as cursor:
            cursor.execute(HOT)
            for name, statement in HOT_STATEMENTS.items():
                preparing, executing = prepared_form(name, statement)
                cursor.execute(preparing)
                cursor.execute(f"EXPLAIN (FORMAT JSON) {executing}", NOTHING)
                [([plan],)] = cursor.fetchall()
                yield name, plan["Plan"]

    def first_column(self, index: str) -> str:
        """The first column of *index*, or that of its expression."""
        [(definition,)] = self.query("SELECT pg_get_indexdef(%s::regclass)", index)
        found = re.search(r"USING btree \((?:COALESCE\(\(?)?(\w+)", str(definition))
        assert found is not None, definition
        return found[1]

    def assert_looked_up(self, when: str) -> None:
        """Every scan of a table uses an index condition, or ctids."""
        for name, plan in self.plans():
            for node in nodes(plan):
                if node.get("Index Name") == LIVE and "capped" in name:
                    continue
                if "Relation Name" in node and node["Node Type"] not in ("ModifyTable", "LockRows"):
                    where = f"{name}, planned {when}: {node['Node Type']} of {node['Relation Name']}"
                    self.assertTrue({"Index Cond", "TID Cond"} & node.keys(), where)
                    if "Index Name" in node:  # with its first column, or all of the index is read
                        where += f" by {node['Index Name']}"
                        self.assertIn(self.first_column(node["Index Name"]), node["Index Cond"], where)
                self.assertNotIn(node.get("Node Type"), ("Hash Join", "Merge Join"), name)

    async def test_on_any_tables(self) -> None:
        """On new tables, on tables analysed while empty, and on full ones."""
        self.assert_looked_up("on new tables")
        self.query("ANALYZE")
        self.assert_looked_up("on tables that were empty")
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "SELECT 'a' || n, 'gitlab-onprem', 'http://gitlab.test', 'token' FROM generate_series(1, 500) n"
        )
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status) "
            "SELECT 'a' || n % 500 + 1, 'issues', 'g/' || n, CASE WHEN n < 3000 THEN 'completed' ELSE 'queued' END "
            "FROM generate_series(1, 4000) n"
        )
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key, completed_at)"
            " SELECT id, id || '.1.x', account_id, 1, 'c1', now() FROM jobs WHERE status = 'completed'"
        )
        self.assert_looked_up("on full tables of which nothing is known")
        self.query("ANALYZE")
        self.assert_looked_up("on full tables")
        self.query("DELETE FROM job_assignments")
        self.query("DELETE FROM jobs")
        self.query("ANALYZE")
        self.assert_looked_up("on tables that were cleaned")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of *plan*."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
