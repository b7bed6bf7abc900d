"""What is recorded of changes over HTTP, and the list of it."""

from typing import Any

import attrs
import psycopg2

from copilot_socket.http.gate import WRITING
from copilot_socket.http.table import routes
from copilot_socket.store.connection import Transaction
from copilot_socket.store.sql import sql
from tests.http.harness import ACCOUNT, Answer, SiteTestCase

ACTOR = ("http", "token:COPILOT_HTTP_TOKEN", "127.0.0.1")
"""Door, name and address of whoever sends the tests' requests."""
API = "/api/v1"
ORIGIN = "https://gitlab.example"
PAIR = {
    "access_token": "glpat-secret2",
    "refresh_token": "refresh-secret",
    "token_expires_at": "2090-01-01T00:00:00Z",
}
PAUSE = {"scope": "account", "target": "acme", "reason": "moves"}
ISSUES = {"account_id": "acme", "command": "issues", "full_path": "g/p"}
BUDGET = {"gitlab_origin": ORIGIN, "remaining": 5, "limit": 60}
WEBHOOK = {"url": f"{ORIGIN}/secret?secret", "events": ["host.held"]}
TOLD = {"url": ORIGIN, "events": ["host.held"], "description": None}
GROUP = "a" * 16
ERRORS = f"INSERT INTO error_groups (fingerprint, command, text, errors) VALUES ('{GROUP}', 'issues', 'x', 1)"
CRAWLER = """
INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)
VALUES ('hello:one', 'one', 'n', now() + interval '1 hour', 5, '{issue}', false)
"""
TABLES = (
    "accounts",
    "jobs",
    "job_assignments",
    "operations",
    "crawlers",
    "pauses",
    "hosts",
    "budgets",
    "error_groups",
    "restriction_changes",
    "http_tokens",
    "http_links",
    "http_sessions",
    "webhooks",
    "webhook_deliveries",
)
REFUSE = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
REFUSE_ROWS = f"{REFUSE} CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()"
REFUSE_COMMITS = REFUSE + ";".join(
    f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON {table} INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION refuse()"
    for table in TABLES
)


@attrs.frozen
class Step:
    """A request to a route, at *path*, and the rows that it leaves: action, target, details, count.

    ``{job}`` and ``{pause}`` stand for the ids of what was made last; ``{other}`` for a second account.
    """

    route: str
    path: str
    body: Any
    rows: list[tuple[str, str | None, dict[str, Any], int]]


def one(action: str, target: str | None, count: int = 1, **details: Any) -> list[Any]:
    """A single row."""
    return [(action, target, details, count)]


MADE = {"provider": "gitlab-onprem", "gitlab_origin": ORIGIN}
STEPS = (
    Step("PUT /accounts/{id}", "/accounts/acme", ACCOUNT, one("account.put", "acme", **MADE)),
    Step("PUT /accounts/{id}", "/accounts/acme", ACCOUNT, one("account.put", "acme", **MADE)),
    Step(
        "PATCH /accounts/{id}",
        "/accounts/acme",
        {"weight": 5, "max_running": 3},
        one("account.change", "acme", weight=[1, 5], max_running=[None, 3]),
    ),
    Step("PATCH /accounts/{id}", "/accounts/acme", {"weight": 5, "max_running": 3}, []),
    Step("POST /accounts/{id}/credential", "/accounts/acme/credential", PAIR, one("account.renew", "acme")),
    Step("POST /jobs", "/jobs", ISSUES, one("job.submit", "acme")),
    Step("POST /jobs", "/jobs", ISSUES, []),
    Step(
        "POST /jobs",
        "/jobs",
        [ISSUES, *[{**ISSUES, "full_path": path} for path in ("a", "b", "c")]],
        one("job.submit", "acme", 3),
    ),
    Step("PUT /accounts/{id}", "/accounts/b", ACCOUNT, one("account.put", "b", **MADE)),
    Step(
        "POST /jobs",
        "/jobs",
        [{**ISSUES, "full_path": "d"}, {**ISSUES, "account_id": "b"}],
        one("job.submit", None, 2),
    ),
    Step(
        "POST /jobs/{id}/cancel",
        "/jobs/{job}/cancel",
        None,
        one("job.cancel", "{job}", status=["queued", "cancelled"]),
    ),
    Step("POST /jobs/{id}/cancel", "/jobs/{job}/cancel", None, []),
    Step(
        "POST /jobs/{id}/retry", "/jobs/{job}/retry", None, one("job.retry", "{job}", status=["cancelled", "queued"])
    ),
    Step("POST /jobs/{id}/pause", "/jobs/{job}/pause", None, one("job.pause", "{job}", status=["queued", "paused"])),
    Step(
        "POST /jobs/{id}/resume", "/jobs/{job}/resume", None, one("job.resume", "{job}", status=["paused", "queued"])
    ),
    Step("POST /jobs/{id}/cancel", "/jobs/01JD0000000000000000000000/cancel", None, []),
    Step("POST /jobs/bulk", "/jobs/bulk", {"action": "cancel", "filter": {}, "dry_run": True}, []),
    Step(
        "POST /jobs/bulk",
        "/jobs/bulk",
        {"action": "cancel", "filter": {"command": ["issues"]}},
        [("operation.start", "{operation}", {"action": "cancel", "filter": {"command": ["issues"]}}, 6)],
    ),
    Step(
        "POST /operations/{id}/abort",
        "/operations/{operation}/abort",
        None,
        one("operation.abort", "{operation}", status="aborted", changed={}, skipped={}),
    ),
    Step("POST /operations/{id}/abort", "/operations/{operation}/abort", None, []),
    Step("DELETE /jobs/{id}", "/jobs/{job}", None, []),
    Step(
        "POST /jobs/{id}/cancel",
        "/jobs/{job}/cancel",
        None,
        one("job.cancel", "{job}", status=["queued", "cancelled"]),
    ),
    Step("DELETE /jobs/{id}", "/jobs/{job}", None, one("job.delete", "{job}", status="cancelled")),
    Step("DELETE /jobs/{id}", "/jobs/{job}", None, []),
    *[
        step
        for verb, former, mode in (
            ("drain", "serving", "draining"),
            ("quarantine", "draining", "quarantined"),
            ("release", "quarantined", "serving"),
        )
        for step in (
            Step(
                f"POST /crawlers/{{id}}/{verb}",
                f"/crawlers/one/{verb}",
                None,
                one(f"crawler.{verb}", "one", mode=[former, mode]),
            ),
            Step(f"POST /crawlers/{{id}}/{verb}", f"/crawlers/one/{verb}", None, []),
        )
    ],
    Step("POST /crawlers/{id}/shutdown", "/crawlers/one/shutdown", None, one("crawler.shutdown", "one")),
    Step("POST /crawlers/{id}/shutdown", "/crawlers/two/shutdown", None, []),
    Step(
        "POST /pauses",
        "/pauses",
        PAUSE,
        one("pause.add", "acme", pause="{pause}", scope="account", reason="moves", author=ACTOR[1]),
    ),
    Step("POST /pauses", "/pauses", PAUSE, []),
    Step("DELETE /pauses/{id}", "/pauses/{pause}", None, one("pause.end", "acme", pause="{pause}", scope="account")),
    Step(
        "POST /queue/pause",
        "/queue/pause",
        None,
        one("pause.add", None, pause="{pause}", scope="everything", author=ACTOR[1]),
    ),
    Step("POST /queue/resume", "/queue/resume", None, one("pause.end", None, pause="{pause}", scope="everything")),
    Step("POST /queue/resume", "/queue/resume", None, []),
    *[
        Step("PATCH /hosts/{origin}", "/hosts/https%3A%2F%2Fgitlab.example", {"max_running": most}, rows)
        for most, rows in (
            (4, one("host.change", ORIGIN, max_running=[None, 4])),
            (4, []),
            (None, one("host.change", ORIGIN, max_running=[4, None])),
        )
    ],
    Step("PUT /budgets", "/budgets", BUDGET, one("budget.put", ORIGIN, remaining=5, limit=60)),
    Step(
        "PUT /budgets",
        "/budgets",
        {**BUDGET, "account_id": "acme", "name": "throttle"},
        one("budget.put", ORIGIN, account="acme", name="throttle", remaining=5, limit=60),
    ),
    Step("DELETE /budgets", f"/budgets?gitlab_origin={ORIGIN}", None, one("budget.forget", ORIGIN)),
    Step("DELETE /budgets", f"/budgets?gitlab_origin={ORIGIN}", None, []),
    Step(
        "POST /tokens",
        "/tokens",
        {"name": "web", "role": "app", "accounts": ["acme"]},
        one("token.add", "web", role="app", accounts=["acme"]),
    ),
    Step("POST /tokens", "/tokens", {"name": "web", "role": "admin"}, []),
    Step("DELETE /tokens/{name}", "/tokens/web", None, one("token.revoke", "web")),
    Step("DELETE /tokens/{name}", "/tokens/web", None, []),
    *[
        step
        for method, action in (("POST", "error.ignore"), ("DELETE", "error.unignore"))
        for rows in (one(action, GROUP), [])
        for step in [Step(f"{method} /errors/{{fingerprint}}/ignore", f"/errors/{GROUP}/ignore", None, rows)]
    ],
    Step(
        "POST /errors/{fingerprint}/retry",
        f"/errors/{GROUP}/retry",
        None,
        [
            ("error.retry", GROUP, {}, 1),
            (
                "operation.start",
                "{operation}",
                {"action": "retry", "filter": {"error": GROUP, "status": ["failed"]}},
                1,
            ),
        ],
    ),
    Step("POST /webhooks", "/webhooks", WEBHOOK, one("webhook.add", "{webhook}", **TOLD, active=True)),
    Step(
        "PATCH /webhooks/{id}",
        "/webhooks/{webhook}",
        {"url": "https://other.example/secret", "description": "x"},
        one("webhook.change", "{webhook}", url=[ORIGIN, "https://other.example"], description=[None, "x"]),
    ),
    Step("PATCH /webhooks/{id}", "/webhooks/{webhook}", {"description": "x"}, []),
    Step("POST /webhooks/{id}/rotate", "/webhooks/{webhook}/rotate", None, one("webhook.rotate", "{webhook}")),
    Step("POST /webhooks/{id}/test", "/webhooks/{webhook}/test", None, one("webhook.test", "{webhook}")),
    Step(
        "POST /webhooks/{id}/deliveries/{delivery}/retry",
        "/webhooks/{webhook}/deliveries/{delivery}/retry",
        None,
        one("webhook.retry", "{webhook}", delivery="{delivery}"),
    ),
    Step("POST /webhooks/{id}/test", "/webhooks/01JD0000000000000000000000/test", None, []),
    Step("DELETE /webhooks/{id}", "/webhooks/{webhook}", None, one("webhook.remove", "{webhook}")),
    Step("DELETE /webhooks/{id}", "/webhooks/{webhook}", None, []),
    Step("POST /session", "/session", None, one("session.start", None)),
    Step("POST /session/links", "/session/links", None, one("session.link", None)),
    Step("PUT /accounts/{id}", "/accounts/c", ACCOUNT, one("account.put", "c", **MADE)),
    Step("POST /accounts/{id}/rediscover", "/accounts/c/rediscover", None, one("job.submit", "c")),
    Step("POST /accounts/{id}/rediscover", "/accounts/c/rediscover", None, []),
    Step("DELETE /accounts/{id}", "/accounts/c", None, []),
    Step(
        "POST /jobs/{id}/cancel",
        "/jobs/{job}/cancel",
        None,
        one("job.cancel", "{job}", status=["queued", "cancelled"]),
    ),
    Step(
        "DELETE /accounts/{id}",
        "/accounts/c",
        None,
        [("account.empty", "c", {"of": "jobs"}, 1), ("account.delete", "c", {}, 1)],
    ),
    Step("DELETE /accounts/{id}", "/accounts/c", None, []),
)


def ids_of_webhooks(step: Step, answer: Answer) -> dict[str, str]:
    """What was made, if it is one or of one."""
    if answer.status == 201 and step.route == "POST /webhooks":
        return {"webhook": answer.document["id"]}
    return {"delivery": answer.document["id"]} if answer.status == 202 and step.path.endswith("/test") else {}


ELSEWHERE = {"DELETE /session": "session.end"}
"""Routes that need more than a request here, and have tests of their own, with their actions."""


class ChangeTests(SiteTestCase):
    """Each route that changes something."""

    async def test_every_route(self) -> None:
        """What changes something leaves its rows, in the same transaction; nothing else leaves any, nor a secret."""
        self.query(CRAWLER)
        self.query(ERRORS)
        ids: dict[str, str] = {}
        for step in STEPS:
            method, _, _ = step.route.partition(" ")
            path = API + _filled(step.path, ids)
            if step.rows:
                await self._both_or_neither(method, path, step)
            self.query("TRUNCATE audit_log")
            answer = await self._send(method, path, step)
            self.assertIn(answer.status // 100, (2,) if step.rows else (2, 4), answer.body)
            if answer.status == 201 and step.route == "POST /jobs":
                ids["job"] = answer.document["ids"][0]
            if answer.status == 201 and step.path.endswith("/rediscover"):
                ids["job"] = answer.document["id"]
            if answer.status == 201 and "pause" in step.path:
                ids["pause"] = answer.document["id"]
            ids |= ids_of_webhooks(step, answer)
            if answer.status == 202 and step.rows[-1][0] == "operation.start":
                ids["operation"] = answer.document["id"]
            rows = self.query(
                "SELECT action, target, details, count, door, actor, address, outcome FROM audit_log ORDER BY id"
            )
            expected = [
                (action, target and _filled(target, ids), _filled(details, ids), count, *ACTOR, "done")
                for action, target, details, count in step.rows
            ]
            self.assertEqual(rows, expected, step.route)
            self.assertNotIn("secret", str(rows))

    async def _send(self, method: str, path: str, step: Step) -> Answer:
        return await self.request(method, path, **({} if step.body is None else {"json": step.body}))

    async def _both_or_neither(self, method: str, path: str, step: Step) -> None:
        """While no row can be written, or the transaction not be committed, there is neither row nor change."""
        self.query("TRUNCATE audit_log")
        before = self._everything()
        for refuse in (REFUSE_ROWS, REFUSE_COMMITS):
            if refuse == REFUSE_COMMITS and step.route.endswith("/shutdown"):
                continue  # a notification, and no other row
            self.query(refuse)
            answer = await self._send(method, path, step)
            self.assertEqual(answer.status, 500, step.route)
            self.assertEqual((self._everything(), self.query("SELECT id FROM audit_log")), (before, []), step.route)
            self.assertEqual(len(self.flushLoggedErrors(psycopg2.Error)), 1)
            self.query("DROP FUNCTION refuse CASCADE")

    def _everything(self) -> list[Any]:
        return [self.query(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES]

    def test_all_routes(self) -> None:
        """None that changes something is forgotten above."""
        changing = {
            f"{route.method} {route.pattern.removeprefix(API)}"
            for route in routes(self.parts)
            if route.method in WRITING
        }
        self.assertEqual(changing - ELSEWHERE.keys(), {step.route for step in STEPS})

    async def test_pauses_of_a_job_that_is_held(self) -> None:
        """Asking its crawler to give it back is recorded once, and so is changing one's mind."""
        job = await self.held()
        for verb, status in (("pause", 202), ("pause", 202), ("resume", 200)):
            self.assertEqual((await self.post(f"{API}/jobs/{job}/{verb}")).status, status)
        self.assertEqual(
            self.query("SELECT action, target FROM audit_log ORDER BY id"), [("job.pause", job), ("job.resume", job)]
        )

    async def held(self) -> str:
        """A job in the hands of a crawler that takes commands; nothing is recorded yet."""
        await self.account()
        job = await self.job()
        self.query(CRAWLER)
        self.query("UPDATE crawlers SET commands = true")
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, status, crawler_key)"
            " VALUES (%s, %s, 'acme', 1, 'running', 'hello:one')",
            *(job, f"{job}.1.x"),
        )
        self.query("UPDATE jobs SET status = 'running', ready = false")
        self.query("TRUNCATE audit_log")
        return job

    async def test_a_pause_and_an_end(self) -> None:
        """No attempt ends between asking its crawler and looking whether it is held: there would be a second row."""
        job = await self.held()
        original, locked = Transaction.query, []

        async def query(tx: Transaction, statement: str, params: Any = None) -> Any:
            if statement == sql("held_job"):
                with self.assertRaises(psycopg2.errors.LockNotAvailable):
                    self.query("SELECT FROM job_assignments FOR UPDATE NOWAIT")
                locked.append(True)
            return await original(tx, statement, params)

        self.patch(Transaction, "query", query)
        self.assertEqual((await self.post(f"{API}/jobs/{job}/pause")).status, 202)
        self.assertEqual(locked, [True])

    async def test_a_repeated_request(self) -> None:
        """An answer from an Idempotency-Key submits nothing."""
        await self.account()
        for _ in range(2):
            await self.post(f"{API}/jobs", ISSUES, headers={"Idempotency-Key": "k"})
        self.assertEqual(self.query("SELECT count FROM audit_log WHERE action = 'job.submit'"), [(1,)])


class ListTests(SiteTestCase):
    """GET /api/v1/audit."""

    def setUp(self) -> None:
        super().setUp()
        for number, (door, actor, action, target, outcome) in enumerate(
            (
                ("http", "token:a", "job.submit", "acme", "done"),
                ("http", "token:a", "account.change", "acme", "done"),
                ("http", "stranger", "GET /api/v1/jobs", None, "refused"),
                ("cli", "cli:root(0)", "migrate", None, "done"),
                ("wire", "uid:7", "hello as one", None, "refused"),
                (None, "a program", "x", "y" * 5000, "done"),
            )
        ):
            self.query(
                "INSERT INTO audit_log (door, actor, address, action, target, outcome, timestamp, details)"
                " VALUES (%s, %s, '::1', %s, %s, %s, timestamptz '2026-01-05 10:00Z' + %s * interval '1 minute', %s)",
                *(door, actor, action, target, outcome, number, f'{{"number": {number}}}'),
            )

    async def numbers(self, query: str = "") -> list[int]:
        """Which rows are listed, in their order."""
        answer = await self.get(f"{API}/audit{query}")
        self.assertEqual(answer.status, 200, answer.body)
        return [row["details"]["number"] for row in answer.document["audit"]]

    async def test_a_row(self) -> None:
        """Who did what, on what, from where, when, how often, with which outcome."""
        self.query("UPDATE audit_log SET count = 7, last_at = '2026-01-05 10:00:59Z' WHERE actor = 'token:a'")
        [_, row] = (await self.get(f"{API}/audit?actor=token:a")).document["audit"]
        self.assertIsInstance(row.pop("id"), int)
        self.assertEqual(
            row,
            {
                "timestamp": "2026-01-05T10:00:00Z",
                "last_at": "2026-01-05T10:00:59Z",
                "door": "http",
                "actor": "token:a",
                "address": "::1",
                "action": "job.submit",
                "target": "acme",
                "outcome": "done",
                "count": 7,
                "details": {"number": 0},
                "truncated": [],
            },
        )

    async def test_filters(self) -> None:
        """Newest first, by each column alone and by several."""
        self.assertEqual(await self.numbers(), [5, 4, 3, 2, 1, 0])
        for query, found in (
            ("actor=token:a", [1, 0]),
            ("door=wire", [4]),
            ("action=migrate", [3]),
            ("target=acme", [1, 0]),
            (f"target={'y' * 1200}", []),
            ("outcome=refused", [4, 2]),
            ("outcome=refused&door=http", [2]),
            ("after=2026-01-05T10:03:00Z", [5, 4, 3]),
            ("after=2026-01-05T11:01:00%2B01:00&before=2026-01-05T10:03:00Z", [2, 1]),
        ):
            self.assertEqual(await self.numbers(f"?{query}"), found, query)

    async def test_pages(self) -> None:
        """As of every list."""
        first = (await self.get(f"{API}/audit?limit=4")).document
        self.assertEqual(await self.numbers(f"?limit=4&cursor={first['next']}"), [1, 0])

    async def test_faults(self) -> None:
        """Every wrong parameter is named; a cursor of another list is one."""
        await self.account()
        await self.account("b")
        foreign = (await self.get(f"{API}/accounts?limit=1")).document["next"]
        for query, path in (
            ("door=window", "?door"),
            ("outcome=failed", "?outcome"),
            ("after=yesterday", "?after"),
            ("before=2026-01-05T10:00:00", "?before"),
            ("actor=", "?actor"),
            ("reason=x", "?reason"),
            (f"cursor={foreign}", "?cursor"),
        ):
            self.assertEqual(self.paths(await self.get(f"{API}/audit?{query}")), [path])


def _filled(text: Any, ids: dict[str, str]) -> Any:
    if isinstance(text, dict):
        return {name: _filled(value, ids) if isinstance(value, str) else value for name, value in text.items()}
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text
