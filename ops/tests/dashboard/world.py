"""Believable data for the dashboard: three accounts, a crawl under way, errors, a pause, an expired credential."""

import math
from typing import Any

from copilot_socket.client.twisted import JobFailure
from copilot_socket.core.histograms import BUCKETS
from copilot_socket.core.history import CAUSES, STATUSES
from ops.tests.dashboard.browser import DashboardTestCase, Directed
from tests.support.crawler import until
from tests.support.server import InProcessNode, get_json

HOST = "https://gitlab.example.org"
BROKEN = "acme/legacy-api"
RUNNING = "acme/shop"
_HOUR = 60


class WorldTestCase(DashboardTestCase):
    """A node with such data."""

    async def world(self) -> tuple[InProcessNode, Directed]:
        """The node, and its crawler, which is in the middle of a job."""
        self.query("DELETE FROM accounts")
        self._add_accounts()
        self._add_history()
        node = await self.node(SOCKET_RETRY_ATTEMPTS="1")
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, started_at, finished_at, updated_at,"
            " created_at, max_attempts) SELECT"
            " (ARRAY['web-team', 'data-team'])[1 + n % 2], (ARRAY['issues', 'commits', 'branches'])[1 + n % 3],"
            " 'acme/' || (ARRAY['shop', 'search', 'billing', 'docs'])[1 + n % 4], 'completed',"
            " now() - n * interval '1 minute', now() - n * interval '1 minute' + interval '40 s',"
            " now() - n * interval '1 minute' + interval '40 s',"
            " now() - n * interval '1 minute' - interval '9 s', 1 FROM generate_series(1, 140) AS n"
        )
        await self.ask(node, "POST", "/pauses", {
            "scope": "path_prefix", "target": "acme/archive", "reason": "The archive moves on Monday",
        })  # fmt: skip
        for path in (RUNNING, BROKEN, "acme/archive/2019", "acme/billing", "acme/docs"):
            job = {"account_id": "web-team", "command": "issues", "full_path": path}
            await self.ask(node, "POST", "/jobs", job)
        self.query(
            "INSERT INTO jobs (account_id, command, full_path) VALUES ('old-team', 'issues', 'legacy/app');"
            " UPDATE jobs SET status = 'waiting_credential' WHERE account_id = 'old-team'"
        )
        await self.ask(node, "POST", "/tokens", {"name": "grafana", "role": "read"})
        hook = {"url": "https://hooks.example.org/jobs", "events": ["credential.expired"]}
        await self.ask(node, "POST", "/webhooks", hook)
        crawler = await self.directed(node, "crawler-1")
        await crawler.step(
            BROKEN,
            JobFailure(
                "Unexpected field 'weight' in the answer of /projects/17/issues",
                recoverable=False,
                error_type="DecodeError",
                stack_trace="at decode (issues.js:88)\nat crawl (index.js:20)",
                context={"httpStatus": 200, "page": 3},
            ),
        )
        await until(lambda: self.count("failed") == 1, "a job has failed")
        await crawler.step(RUNNING, 120)
        await until(lambda: self.query("SELECT 1 FROM jobs WHERE progress ->> 'processed' = '120'"), "one is running")
        found = await self.ask(node, "GET", "/jobs?status=completed&limit=3")
        ids = [job["id"] for job in found["jobs"]]
        operation = await self.ask(node, "POST", "/jobs/bulk", {"action": "delete", "ids": ids})
        await until(lambda: self.query("SELECT 1 FROM operations WHERE status = 'done'"), "an operation is done")
        self.addresses = {
            **{name: f"/{name}" for name in PAGES},
            "overview": "/",
            "job": f"/jobs/{self._id('failed')}",
            "error": f"/errors/{(await self.ask(node, 'GET', '/errors'))['errors'][0]['fingerprint']}",
            "crawler": "/crawlers/crawler-1",
            "account": "/accounts/web-team",
            "operation": f"/operations/{operation['id']}",
        }
        return node, crawler

    async def ask(self, node: InProcessNode, method: str, path: str, body: Any = None) -> Any:
        """The answer of the API."""
        status, answer = await get_json(node.port, f"/api/v1{path}", method, body)
        self.assertLess(status, 300, answer)
        return answer

    def _id(self, status: str) -> str:
        [(found,)] = self.query("SELECT id FROM jobs WHERE status = %s LIMIT 1", status)
        return str(found)

    def _add_accounts(self) -> None:
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, token_expires_at, credential_status,"
            " credential_error) SELECT id, 'gitlab-onprem', %s, 'token', now() + days * interval '1 day', status,"
            " CASE status WHEN 'expired' THEN '401 Unauthorized' END FROM (VALUES ('web-team', 200, 'valid'),"
            " ('data-team', 4, 'valid'), ('old-team', -2, 'expired')) AS a (id, days, status)",
            HOST,
        )
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type) SELECT %s, path, n, name, type"
            " FROM (VALUES ('acme', 1, 'Acme', 'group'), ('acme/shop', 2, 'Shop', 'project'),"
            " ('acme/search', 3, 'Search', 'project'), ('acme/archive', 4, 'Archive', 'group'))"
            " AS a (path, n, name, type)",
            HOST,
        )
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT 'web-team', gitlab_origin, full_path FROM areas"
        )

    def _add_history(self) -> None:
        """What happened in the last hour."""
        for minute in range(1, _HOUR):
            wave = round(14 + 6 * math.sin(minute / 7))
            jobs = [{"queued": 3 * wave, "running": 5}.get(str(status), 0) for status in STATUSES]
            durations = [0] * BUCKETS
            durations[18], durations[24] = wave, wave // 6
            self.query(
                "INSERT INTO job_history (resolution, at, node_id, jobs, created, completed, failed, ended, dispatch,"
                " run, crawlers) VALUES ('minute', date_trunc('minute', now()) - %s * interval '1 minute', %s,"
                " %s::bigint[], %s, %s, %s, %s::bigint[], %s::bigint[], %s::bigint[], 1)",
                *(minute, "n1", None, wave + 2, wave, wave // 9, [0] * len(CAUSES), durations, durations),
            )
            self.query(
                "INSERT INTO job_history (resolution, at, jobs)"
                " VALUES ('minute', date_trunc('minute', now()) - %s * interval '1 minute', %s::bigint[])",
                *(minute, jobs),
            )


PAGES = (
    *("overview", "jobs", "job", "errors", "error", "crawlers", "crawler", "accounts", "account", "areas", "pauses"),
    *("operations", "operation", "audit", "tokens", "settings"),
)
"""All pages, by name."""
