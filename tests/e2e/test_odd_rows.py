"""Rows that other programs write: whatever the tables accept, a node reads, shows and hands out."""

from collections.abc import Iterable, Mapping

import psycopg2

from copilot_socket.core.jobs import PLAIN_ENTITY_TYPES, commands_for
from copilot_socket.core.readiness import Unready
from copilot_socket.periodic import GAUGES, WEBHOOKS
from copilot_socket.store import counters, migrate
from copilot_socket.store.rights import TABLES
from tests.support.acts import ACT
from tests.support.crawler import TestCrawler, in_reactor
from tests.support.postgres import admin, drop_database, fresh_database
from tests.support.revisions import upgrade_to
from tests.support.server import InProcessNode, NodeTestCase, get_json


def _nested(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def _long(elements: int) -> str:
    return f'{{"a": [{",".join("7" * elements)}]}}'


_TIMES = (
    "-infinity", "infinity", "0044-03-15 BC", "1999-12-31 23:59:59+00", "2000-01-01 00:00:00+00",
    "2199-12-31 23:59:59.999999+00", "2200-01-01 00:00:00+00", "20000-01-01", "294276-12-31",
)  # fmt: skip
_NUMBERS = (-(2**63), -(2**31), -1, 0, 1, 10**9, 10**9 + 1, 2**31 - 1, 2**53, 2**63 - 1)
_TEXTS = (
    "", " ", "a\nb\r\x01\x1b[2J", "\u202e\u2028\ufeff", "ünï😀", "{}}{", "%s %(id)s '\"\\", "a" * 255, "a" * 256,
    "ü" * 1024, "a" * 5000, "a" * 200_000, "fernet:x", "fernet:ü", "plain:", "http://", "https://x", "https://x\n",
    "https://u:p@x", "https://x:99999", "https://[::1", "https://x/?a#b", "https://x/y z", "HTTP://X", "9" * 30,
)  # fmt: skip
_JSON = (
    "{}", "[]", "1", "null", '"x"', '{"a": 1e300}', '{"a": 1e308}', '{"a": 1e309}', '{"a": -1e5000}',
    '{"a": 1.5e400}', '{"a": 1e-5000}', '{"a": 18446744073709551616}', '{"a": "{}}{\\u001f\\u2028"}', '{"": null}',
    '{"currentPage": "x", "lastEntityId": []}', *map(_nested, (99, 100, 102, 400, 3000)),
    *map(_long, (32_000, 70_000)),
)  # fmt: skip

VALUES: Mapping[str, Iterable[object]] = {
    "timestamptz": _TIMES,
    "int2": (-(2**15), -1, 0, 7, 8, 2**15 - 1),
    "xid8": ("0", "3", "18446744073709551615"),
    "int4": [number for number in _NUMBERS if abs(number) <= 2**31],
    "int8": _NUMBERS,
    "text": _TEXTS,
    "varchar": _TEXTS,
    "float8": (-1.0, 0.0, 1e-300, 1e9, 1e300, float("nan"), float("inf")),
    "bool": (True, False),
    "jsonb": _JSON,
    "bytea": ("", b"", bytes(32), b"x" * 33),
    "_text": ("{}", "{NULL}", "{{a,b},{c,d}}", "{issue,NULL,}"),
    "_int8": ("{}", "{NULL}", "{-1}", "{1,2}", "{{1},{2}}", f"{{{10**12}}}", f"{{{2**62}}}", f"{{{'1,' * 99}1}}"),
}
"""By the type of a column: odd values, and the first and last of those that are not."""

STATS = "/api/v1/stats"
_OF_THE_JOB = "(SELECT id FROM jobs WHERE full_path = 'g/#')"
ROWS: Mapping[str, tuple[str, str]] = {
    "accounts": (
        "INSERT INTO accounts (id, provider, gitlab_url, access_token) VALUES ('#', 'gitlab-cloud', 'http://x', 'x')",
        "id = '#'",
    ),
    "areas": (
        "INSERT INTO areas (gitlab_origin, full_path, name, type)"
        " SELECT gitlab_origin, 'g/#', 'n', 'project' FROM accounts WHERE id = 'acct'",
        "full_path = 'g/#'",
    ),
    "area_authorizations": (
        "INSERT INTO areas (gitlab_origin, full_path, name, type) VALUES ('http://h', 'h/#', 'n', 'group');"
        "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path) VALUES ('acct', 'http://h', 'h/#')",
        "full_path = 'h/#'",
    ),
    "audit_log": ("INSERT INTO audit_log (actor, action, target) VALUES ('x', 'x', '#')", "target = '#'"),
    "crawler_ends": (
        "INSERT INTO crawler_ends VALUES ('#', now(), 'n', 'completed', 1, 1, 1.0)",
        "crawler_key = '#'",
    ),
    "crawlers": (
        "INSERT INTO crawlers VALUES ('#', 'c', 'n', now() + interval '1 hour', 1, '{issue}', false)",
        "key = '#'",
    ),
    "disturbances": ("INSERT INTO disturbances (name) VALUES ('#')", "name = '#'"),
    "error_counts": (
        "INSERT INTO error_counts VALUES (lpad('#', 16, '0'), now(), 'acct', 1)",
        "fingerprint = lpad('#', 16, '0')",
    ),
    "error_groups": (
        "INSERT INTO error_groups (fingerprint, command, text, errors) VALUES (lpad('#', 16, '0'), 'issues', 'x', 1)",
        "fingerprint = lpad('#', 16, '0')",
    ),
    "events": ("INSERT INTO events (changes) VALUES ('#')", "changes = '#'"),
    "hosts": ("INSERT INTO hosts (origin) VALUES ('https://h#.test')", "origin = 'https://h#.test'"),
    "http_links": (
        "INSERT INTO http_links VALUES (sha256('#'), NULL, 'x', 'x', now(), now() + interval '1 hour')",
        "hash = sha256('#')",
    ),
    "http_sessions": (
        "INSERT INTO http_sessions VALUES (sha256('#'), sha256('t'), now(), now() + interval '1 hour')",
        "hash = sha256('#')",
    ),
    "http_tokens": (
        "INSERT INTO http_tokens (name, hash, role, created_by) VALUES ('#', sha256('#'), 'app', 'x')",
        "hash = sha256('#')",
    ),
    "idempotency_keys": (
        """INSERT INTO idempotency_keys VALUES ('#', 'f', 200, '{"ids": [], "created": []}')""",
        "key = '#'",
    ),
    "job_assignments": (
        "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, completed_at)"
        f" VALUES ({_OF_THE_JOB}, 'x', 'acct', 1, now())",
        f"web_app_job_id = {_OF_THE_JOB}",
    ),
    "job_count_checks": ("INSERT INTO job_count_checks DEFAULT VALUES ON CONFLICT DO NOTHING", "id = 1"),
    "job_count_deltas": (
        "INSERT INTO job_count_deltas VALUES ('acct', '#', 'issues', 'failed', 1, 1)",
        "user_id = '#'",
    ),
    "job_counts": ("INSERT INTO job_counts VALUES ('acct', '#', 'issues', 'failed', 1)", "user_id = '#'"),
    "job_error_log": (
        f"INSERT INTO job_error_log (job_id, error_message, is_recoverable) VALUES ({_OF_THE_JOB}, 'x', true)",
        f"job_id = {_OF_THE_JOB}",
    ),
    "job_history": ("INSERT INTO job_history VALUES ('minute', now(), '#')", "node_id = '#'"),
    "job_past_tries": (
        "INSERT INTO job_past_tries (job_id, try, crawler_job_id, assigned_at, outcome)"
        f" VALUES ({_OF_THE_JOB}, 1, 'x', now(), 'released')",
        f"job_id = {_OF_THE_JOB}",
    ),
    "jobs": ("SELECT", "full_path = 'g/#'"),
    "nodes": ("INSERT INTO nodes VALUES ('#', 'h', 1, now(), now() + interval '1 hour')", "id = '#'"),
    "operations": (
        """INSERT INTO operations (action, filter, created_by) VALUES ('retry', '{"account_id": "#"}', '#')""",
        "created_by = '#'",
    ),
    "oauth_clients": (
        "INSERT INTO oauth_clients (origin, client_id) VALUES ('https://h#.test', 'x')",
        "origin = 'https://h#.test'",
    ),
    "budgets": (
        "INSERT INTO budgets (gitlab_origin, account_id) VALUES ('http://127.0.0.1:9', '#')",
        "account_id = '#'",
    ),
    "pauses": ("INSERT INTO pauses (scope, target, author) VALUES ('account', '#', 'x')", "target = '#'"),
    "restriction_changes": ("INSERT INTO restriction_changes DEFAULT VALUES ON CONFLICT DO NOTHING", "id = 1"),
    "webhook_deliveries": (
        "WITH hook AS (INSERT INTO webhooks (url, events, secret, active_since, created_by)"
        " VALUES ('http://127.0.0.1:9/', '{host.held}', 'x', NULL, 'x') RETURNING id)"
        " INSERT INTO webhook_deliveries (webhook_id, event) SELECT id, '#' FROM hook",
        "event = '#'",
    ),
    "webhook_place": ("INSERT INTO webhook_place DEFAULT VALUES ON CONFLICT DO NOTHING", "id = 1"),
    "webhooks": (
        "INSERT INTO webhooks (url, events, secret, active_since, created_by)"
        " VALUES ('http://127.0.0.1:9/', '{host.held}', 'x', NULL, '#')",
        "created_by = '#'",
    ),
    "socket_connections": (
        "INSERT INTO socket_connections (id, crawler_key, node_id) VALUES ('#', 'c', 'n')",
        "id = '#'",
    ),
}
"""For each table how a row number # is made, beside a job with the path g/#, and how it is found."""
_FORMER_AREAS: Mapping[str, tuple[str, str]] = {
    "areas": ("INSERT INTO areas (full_path, name, type) VALUES ('g/#', 'n', 'project')", "full_path = 'g/#'"),
    "area_authorizations": (
        "INSERT INTO areas (full_path, name, type) VALUES ('h/#', 'n', 'group');"
        "INSERT INTO area_authorizations (account_id, full_path) VALUES ('acct', 'h/#')",
        "full_path = 'h/#'",
    ),
}
"""The same before areas had origins."""


class OddRowsTests(NodeTestCase):
    """A row for each odd value of each column of all tables."""

    def _write(self) -> Mapping[str, int]:
        """Write them. How many each table accepted."""
        self.assertEqual(set(ROWS), set(TABLES) - {"write_probe", "event_numbers"})  # which only nodes write
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", (list(ROWS),)
            )
            tables = [row[0] for row in cursor.fetchall()]  # of an earlier version, those that it had
            cursor.execute(
                "SELECT FROM pg_attribute WHERE attrelid = 'areas'::regclass AND attname = 'gitlab_origin'"
            )
            rows = ROWS if cursor.fetchall() else {**ROWS, **_FORMER_AREAS}
            accepted = dict.fromkeys(tables, 0)
            cursor.execute(
                "SELECT a.attrelid::regclass::text, a.attname, coalesce(b.typname, t.typname) FROM pg_attribute a"
                " JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype"
                " WHERE a.attrelid = ANY (%s::text[]::regclass[]) AND a.attnum > 0 AND NOT a.attisdropped"
                " AND a.attidentity = '' ORDER BY 1, 2",
                (tables,),
            )
            columns = [(table, column, value) for table, column, kind in cursor.fetchall() for value in VALUES[kind]]
            new_jobs = "INSERT INTO jobs (account_id, command, full_path)"
            others = [number for number, (table, *_) in enumerate(columns) if table != "accounts"]
            cursor.execute(f"{new_jobs} SELECT 'acct', 'issues', 'g/' || n FROM unnest(%s) AS n", (others,))
            for number, (table, column, value) in enumerate(columns):
                made, found = (sql.replace("#", str(number)) for sql in rows[table])
                own_job = f"; {new_jobs} VALUES ('{number}', 'issues', 'g/{number}')" if table == "accounts" else ""
                cursor.execute(made + own_job)
                try:
                    cursor.execute(f'UPDATE {table} SET "{column}" = %s WHERE {found}', (value,))
                    accepted[table] += cursor.rowcount
                except psycopg2.Error:
                    continue
        return accepted

    @in_reactor(300)
    async def test_all_of_them(self) -> None:
        """They are shown, jobs are handed out and reported on, old rows are deleted, and the node stays ready."""
        await self._live_with_them()

    @in_reactor(300)
    async def test_those_of_an_earlier_version(self) -> None:
        """The same after an upgrade of tables that took nearly everything."""
        self.database_url = fresh_database(migrated=False)
        self.addCleanup(drop_database, self.database_url)
        upgrade_to(self.database_url, "0004")
        self.add_account()
        await self._live_with_them()

    async def _live_with_them(self) -> None:
        accepted = self._write()
        self.assertEqual([table for table, count in accepted.items() if count == 0], [])
        migrate.upgrade(self.database_url, ACT)
        node = await self.node()
        logged = "SELECT job_id FROM job_tries UNION SELECT job_id FROM job_error_log"
        jobs = self.query(f"SELECT id FROM jobs WHERE id IN ({logged})")
        queued = self.query("SELECT id FROM jobs WHERE status = 'queued' LIMIT 1")
        groups = self.query("SELECT fingerprint FROM error_groups")
        hooks = self.query("SELECT DISTINCT webhook_id FROM webhook_deliveries") if accepted.get("webhooks") else []
        paths = [f"/api/v1/webhooks/{row[0]}/deliveries" for row in hooks]
        paths += [*[f"/api/v1/jobs/{row[0]}" for row in jobs], *[f"/api/v1/errors/{row[0]}" for row in groups]]
        await self._read(node, *paths, *[f"/api/v1/jobs/{row[0]}/why" for row in queued])
        crawler = await self.greeted(node, maxJobs=100)
        while self._left():
            await self._work(crawler)
        await node.node.timers.run_once("cleanup")
        self.patch(counters, "PAUSE", 0)  # there is an account for each odd value of one
        for task in ("counters", "check of the counters", "history", WEBHOOKS, GAUGES):
            await node.node.timers.run_once(task)
            self.assertFalse(node.node.timers.failing(task), task)
        await self._read(node)
        # Or the node would stop while it rests between two slices, and leave its timer to the reactor.
        self.query("UPDATE operations SET status = 'aborted' WHERE status = 'running'")
        await node.node.timers.run_once("bulk operations")

    def _left(self) -> int:
        """The jobs that crawlers are to be given, or have."""
        statement = (
            "SELECT count(*) FROM jobs WHERE (status = 'queued' AND ready OR status IN ('assigned', 'running'))"
            " AND account_id = 'acct' AND command = ANY (%s)"
        )
        return int(self.query(statement, list(commands_for(PLAIN_ENTITY_TYPES)))[0][0])

    async def _work(self, crawler: TestCrawler) -> None:
        """Take as many jobs as there are room for, and finish them."""
        await crawler.take_job(limit=100)
        refs = []
        for job in crawler.of_type("job_response")[-1]["data"]["jobs"]:
            refs += [
                crawler.progress(job["id"], 1, resumeState={"currentPage": 1}),
                crawler.complete(job["id"]),
            ]
        for ref in refs:
            self.assertEqual((await crawler.answer(ref))["type"], "ack")

    async def _read(self, node: InProcessNode, *paths: str) -> None:
        """Ask for *paths*, and for everything that is not about one job."""
        names = (
            "accounts",
            "areas",
            "crawlers",
            "pauses",
            "budgets",
            "hosts",
            "tokens",
            "audit",
            "errors",
            "webhooks",
            "operations",
        )
        lists = [f"/api/v1/{name}?limit=1000" for name in names]
        lists += [
            f"/api/v1/{name}" for name in ("accounts?limit=100&include=lanes", "errors?limit=100&include=history")
        ]
        lists += ["/api/v1/crawlers?limit=1000&include=assignments", f"{STATS}/history?resolution=day"]
        after = ""
        while after is not None:
            status, answer = await get_json(node.port, f"/api/v1/jobs?limit=1000{after}")
            self.assertEqual(status, 200)
            after = answer["next"] and f"&cursor={answer['next']}"
        for path in (*paths, *lists, "/health/ready", "/health/socket", "/metrics", STATS, f"{STATS}/history"):
            status, answer = await get_json(node.port, path)
            if path.startswith("/health/") and status == 503:  # one of the odd tokens looks encrypted, and is not
                self.assertEqual(answer["error"], Unready.SECRET_KEY.sentence)
            else:
                self.assertEqual(status, 200, f"{path}: {answer}")
            self.assertTrue(answer or path == "/metrics", f"{path}: no JSON that Python reads")
