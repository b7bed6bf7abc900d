"""Secrets: a whole conversation with marked tokens, at debug level, then all output is searched for the mark."""

import io
import json
from typing import Any, get_args

import treq
from twisted.logger import FileLogObserver, LogLevel, eventAsText, globalLogPublisher
from twisted.web.client import Agent, HTTPConnectionPool

from copilot_socket.event_bus import StateEvent
from copilot_socket.logs.lines import LINES
from tests.handlers.gitlab import FakeGitLab
from tests.handlers.support import ALIVE, PROGRESS, Crawler, NodeTestCase
from tests.support.crawler import Message, reactor, until
from tests.support.server import TOKEN

MARK = "MARKED"


class SecretTests(NodeTestCase):
    """All access and refresh tokens contain the mark; it may appear only in crawlers' ``accessToken``."""

    def setUp(self) -> None:
        super().setUp()
        self.gitlab = FakeGitLab(f"{MARK}-access", f"{MARK}-refresh")
        self.addCleanup(self.gitlab.stop)
        self.events: list[str] = []
        self.text = io.StringIO()
        written = [FileLogObserver(self.text, line) for line in LINES.values()]
        for observer in (self.keep, *written):
            globalLogPublisher.addObserver(observer)
            self.addCleanup(globalLogPublisher.removeObserver, observer)

    def keep(self, event: dict[str, Any]) -> None:
        """Record a log event with all its fields."""
        self.events.append(eventAsText(event) + repr({name: str(value) for name, value in event.items()}))

    async def http(self, method: str, path: str, body: object = None) -> bytes:
        """One request to the node's port; headers and body of the answer."""
        client = treq.client.HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))
        url = f"http://127.0.0.1:{self.nodes[0].ports.http_port}{path}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        response = await client.request(method, url, headers=headers, **({} if body is None else {"json": body}))
        content: bytes = await response.content()
        self.answers[f"{method} {path} {len(self.answers)}"] = repr(response.headers).encode() + content
        return content

    async def test_no_token_anywhere(self) -> None:
        """The mark is in no log, error, metric, HTTP answer, and no table except accounts."""
        self.answers: dict[str, bytes] = {}
        client = {"GITLAB_CLIENT_ID": "id", "GITLAB_CLIENT_SECRET": f"{MARK}-secret", "GITLAB_URL": self.gitlab.url}
        await self.node(SOCKET_LOG_LEVEL="debug", **client)
        await self.accounts()
        crawler = await self.crawler(token=f"{MARK}-hello", maxJobs=3)
        await self.everyday_work(crawler)
        await self.failures(crawler)
        await self.ask_everything()
        await crawler.leave()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)  # of the account that the table refused
        self.search(crawler)

    async def accounts(self) -> None:
        """Submit accounts, valid and invalid ones."""
        account: Message = {
            "provider": "gitlab-onprem",
            "gitlab_url": self.gitlab.url,
            "access_token": f"{MARK}-access-1",
            "refresh_token": f"{MARK}-refresh-1",
        }
        await self.http("PUT", "/api/v1/accounts/lab", account)
        for wrong in (
            {"provider": "nobody"},
            {"gitlab_url": "ftp://x"},
            {"token_expires_at": "tomorrow"},
            {"access_token": [f"{MARK}-access-1"]},
            {"refresh_token": {"a": f"{MARK}-refresh-1"}},
            {"access_token": f"{MARK}\x00"},
        ):
            await self.http("PUT", "/api/v1/accounts/wrong", {**account, **wrong})
        await self.http("POST", "/api/v1/accounts/nobody/credential", {"access_token": f"{MARK}-x"})
        self.query("ALTER TABLE accounts ADD CHECK (id <> 'refused')")
        await self.http("PUT", "/api/v1/accounts/refused", account)
        await self.http("POST", "/api/v1/jobs", {"account_id": "lab", "command": "issues", "full_path": "g/1"})

    async def everyday_work(self, crawler: Crawler) -> None:
        """A job, a new token, and the job's end."""
        crawler.say("job_request")
        job = await crawler.job()
        self.assertEqual(job["accessToken"], f"{MARK}-access-1")
        crawler.say("job_started", job["id"])
        crawler.say("job_progress", job["id"], **PROGRESS)
        crawler.say("token_refresh_request", job["id"], error_details="401")
        answer = await crawler.expect("token_refresh_response")
        self.assertEqual(answer["data"]["accessToken"], f"{MARK}-access-2")
        crawler.say("job_completed", job["id"], success=True, finalCounts={})
        await crawler.sync()

    async def failures(self, crawler: Crawler) -> None:
        """Every error that involves a token."""
        job = await self.given(crawler, "g/2", account_id="lab")
        strange = ((500, {"refresh_token": f"{MARK}-refresh-9"}), (200, f"{MARK} <".encode()), (200, {"a": MARK}))
        for answer in strange:
            self.gitlab.token.answer = answer
            crawler.say("token_refresh_request", job)
            await crawler.expect("token_refresh_response")
            self.query("UPDATE accounts SET refresh_after = NULL")
        self.gitlab.token.answer = (400, {"error": "invalid_grant", "error_description": f"{MARK}-refresh-2"})
        crawler.say("token_refresh_request", job)
        await crawler.expect("token_refresh_response")
        await crawler.fail(job)
        await self.http("POST", "/api/v1/accounts/lab/credential", {"access_token": f"{MARK}-access-5"})
        self.gitlab.token.answer = None
        self.query("UPDATE accounts SET token_expires_at = now() + interval '5 s', refresh_token = %s", f"{MARK}-x")
        await crawler.ask()
        await self.becomes(job, "waiting_credential")
        self.query("ALTER TABLE accounts ADD CHECK (access_token NOT LIKE '%access-3') NOT VALID")
        crawler.raw(b'{"type":"hello","timestamp":"t","data":{"token":["%s"]}}\n' % MARK.encode())
        crawler.raw(b'{"type":"hello","timestamp":"t","data":{"crawlerId":"x","token":"%s"}}\n' % MARK.encode())
        early = await self.connect()
        early.say("hello", crawlerId="x", token={MARK: MARK}, accessToken=MARK)
        self.assertNotIn(MARK, json.dumps(await early.error()))
        await crawler.sync()

    async def ask_everything(self) -> None:
        """Read every resource of the HTTP port."""
        await self.nodes[0].metrics.refresh(self.nodes[0].database)
        jobs = [row[0] for row in self.query("SELECT id FROM jobs")]
        pages = ("jobs", "accounts", "crawlers", "areas", "stats", "accounts/lab")
        for page in (*pages, *(f"jobs/{job}" for job in jobs)):
            content = await self.http("GET", f"/api/v1/{page}")
            self.assertTrue(content)
        for page in ("/metrics", "/health/socket", "/health/ready", "/health/live"):
            self.assertTrue(await self.http("GET", page))

    def search(self, crawler: Crawler) -> None:
        """Search for the mark."""
        self.assertIn("token of account lab: refreshed", self.text.getvalue())
        self.assertIn("token of account lab: refused", self.text.getvalue())
        self.assertGreater(len(self.answers), 20)
        for name, content in self.answers.items():
            self.assertNotIn(MARK.encode(), content, name)
        self.assertEqual([event for event in [*self.events, self.text.getvalue()] if MARK in event], [])
        for message in crawler.received:
            for item in [message["data"], *message["data"].get("jobs", ())]:
                item.pop("accessToken", None)
            self.assertNotIn(MARK, json.dumps(message))
        tables = self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'accounts'")
        for (table,) in tables:
            rows = self.query(f'SELECT t::text FROM "{table}" AS t')
            self.assertNotIn(MARK, repr(rows), table)

    async def test_a_pair_that_can_not_be_stored(self) -> None:
        """A new pair that the database refuses is not in the error's log message."""
        await self.node()
        self.add_account("lab", self.gitlab.url, access_token=f"{MARK}-1", refresh_token=f"{MARK}-refresh-1")
        crawler = await self.crawler()
        job = await self.given(crawler, account_id="lab")
        self.query("ALTER TABLE accounts ADD CONSTRAINT no CHECK (access_token NOT LIKE '%-access-2')")
        crawler.say("token_refresh_request", job)
        answer = await crawler.expect("token_refresh_response")
        self.assertFalse(answer["data"]["refreshSuccessful"])
        self.assertIn("refuses a new token", self.text.getvalue())
        self.assertEqual([event for event in self.events if MARK in event], [])

    async def test_what_crawlers_repeat(self) -> None:
        """A token in a crawler's report gets into no table, answer, event or log."""
        self.answers: dict[str, bytes] = {}
        node = await self.node(SOCKET_LOG_LEVEL="debug", SOCKET_RETRY_ATTEMPTS=1)
        changes: list[object] = []
        node.bus.subscribe(changes.append, get_args(StateEvent))
        self.add_account("lab", self.gitlab.url, access_token=f"{MARK}-1", refresh_token=f"{MARK}-refresh-1")
        crawler = await self.crawler(maxJobs=9)
        first = await self.given(crawler, "g/0", account_id="lab")
        for number, token in enumerate((f"{MARK}-1", f"{MARK}-access-2", f"glpat-{MARK}-other-token"), 1):
            if token == f"{MARK}-access-2":
                crawler.say("token_refresh_request", first)
                await crawler.expect("token_refresh_response")
            leaks = {"message": f"no {token}", "resumeState": {"a": token, token: {"PRIVATE-TOKEN": token}}}
            jobs = [await self.given(crawler, f"g/{number}{n}", account_id="lab") for n in range(3)]
            crawler.say("heartbeat", **ALIVE, memoryUsage={"PRIVATE-TOKEN": token})
            crawler.say("jobs_discovered", first, discovered_jobs=[], discovery_summary={"a": token, token: 1})
            crawler.say("job_progress", first, **PROGRESS, **leaks)
            crawler.say("job_progress", jobs[0], **PROGRESS, **leaks, itemCounts={token: 1})
            crawler.say("job_completed", jobs[0], success=True, finalCounts={token: 1}, outputFiles=[f"/x/{token}"])
            crawler.say("job_completed", jobs[1], success=False, finalCounts={token: 1}, message=f"x{token}")
            crawler.say(
                "job_failed",
                jobs[2],
                error=f"401 for https://oauth2:{token}@host",
                isRecoverable=False,
                errorType=token,
                stackTrace=f"at x?private_token={token}\n",
                partialCounts={token: 1},
                context={"headers": {"Authorization": f"Bearer {token}"}, "list": [token]},
                resumeState=leaks["resumeState"],
            )
            await crawler.sync()
        await crawler.leave()
        back = await self.crawler()
        back.say("job_failed", first, error=f"<{MARK}-access-2>", isRecoverable=False)
        await back.sync()
        await self.ask_everything()
        for name, content in self.answers.items():
            self.assertNotIn(MARK.encode(), content, name)
        self.assertEqual([item for item in [*map(str, changes), *self.events] if MARK in item], [])
        self.assertEqual(self.query("SELECT count(*)::int FROM job_error_log"), [(7,)])
        self.assertEqual(
            self.query("SELECT count(*)::int FROM job_error_log WHERE error_message LIKE '%***%'"), [(7,)]
        )


class MetricTests(NodeTestCase):
    """Metrics of a conversation."""

    async def test_counters_move(self) -> None:
        """Messages by type and outcome, errors by code, attempts, job changes, durations, time to dispatch."""
        node = await self.node()
        crawler, job = await self.working()
        crawler.say("job_started", job)
        crawler.say("job_started", "made.1.up")
        crawler.say("heartbeat", **ALIVE)
        crawler.raw(b"rubbish\n" + crawler.form("snooze") + crawler.form("heartbeat"))
        crawler.say("job_completed", job, success=True, finalCounts={})
        crawler.say("job_progress", job, **PROGRESS)
        await crawler.sync()
        await self.connect()
        await until(lambda: node.status.connections == 2)
        await node.metrics.refresh(node.database)
        expected = [
            ("socket_connections_total", {}, 2),
            ("socket_connections_active", {}, 2),
            ("socket_messages_processed_total", {"type": "hello", "outcome": "ok"}, 1),
            ("socket_messages_processed_total", {"type": "heartbeat", "outcome": "ok"}, 2),
            ("socket_messages_processed_total", {"type": "unknown", "outcome": "invalid_message"}, 1),
            ("socket_messages_processed_total", {"type": "unknown", "outcome": "unknown_type"}, 1),
            ("socket_messages_processed_total", {"type": "unknown", "outcome": "invalid_json"}, 1),
            ("socket_messages_processed_total", {"type": "job_started", "outcome": "ok"}, 1),
            ("socket_messages_processed_total", {"type": "job_started", "outcome": "unknown_job"}, 1),
            ("socket_messages_processed_total", {"type": "job_progress", "outcome": "stale_assignment"}, 1),
            ("socket_errors_total", {"code": "invalid_json"}, 1),
            ("socket_errors_total", {"code": "invalid_message"}, 1),
            ("socket_errors_total", {"code": "unknown_type"}, 1),
            ("socket_errors_total", {"code": "unknown_job"}, 1),
            ("socket_errors_total", {"code": "stale_assignment"}, 1),
            ("socket_processing_duration_seconds_count", {"type": "job_started"}, 2),
            ("copilot_dispatch_seconds_count", {}, 1),
            ("copilot_tries_total", {"outcome": "completed"}, 1),
            ("copilot_job_changes_total", {"status": "running", "event": "job_started"}, 1),
            ("copilot_job_changes_total", {"status": "completed", "event": "job_completed"}, 1),
            ("copilot_jobs", {"status": "completed"}, 1),
            ("copilot_jobs", {"status": "queued"}, 0),
            ("copilot_crawlers_standing", {}, 0),
            ("copilot_crawlers_connected", {"kind": "hello"}, 1),
            ("copilot_crawlers_connected", {"kind": "plain"}, 0),
            ("copilot_crawler_changes_total", {"event": "came"}, 1),
            ("copilot_accounts", {"credential_status": "valid"}, 1),
            ("copilot_accounts", {"credential_status": "expired"}, 0),
            ("copilot_node_running", {}, 1),
            ("copilot_database_up", {}, 1),
        ]
        sample = node.metrics.registry.get_sample_value
        self.assertEqual([(name, labels, sample(name, labels)) for name, labels, _ in expected], expected)

    async def test_levels(self) -> None:
        """An everyday conversation logs nothing above info."""
        loud: list[str] = []

        def keep(event: dict[str, Any]) -> None:
            if event.get("log_level", LogLevel.debug) >= LogLevel.warn:
                loud.append(eventAsText(event))

        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        await self.node()
        crawler, job = await self.working()
        crawler.say("job_completed", job, success=True, finalCounts={})
        await crawler.sync()
        await crawler.leave()
        self.assertEqual(loud, [])
