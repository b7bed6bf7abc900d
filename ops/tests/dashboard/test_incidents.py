"""What goes wrong in a crawl: the dashboard says what and why, and shows that it is mended."""

from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, dialog_of, shown
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor, until
from tests.support.postgres import admin
from tests.support.server import InProcessNode, get_json

NARROW = {"width": 360, "height": 740}
GROUP = "00000000000000aa"
FAILED = """WITH failed AS (INSERT INTO jobs (account_id, command, full_path, status, started_at, finished_at, error)
SELECT 'acct', 'issues', 'acme/' || n, 'failed', now(), now(), %(group)s FROM generate_series(1, %(jobs)s) AS n
RETURNING id)
INSERT INTO job_error_log (job_id, error_type, error_message, is_recoverable, cause, fingerprint)
SELECT id, 'DecodeError', 'Unexpected field', true, 'job_error', %(group)s FROM failed;
INSERT INTO error_groups (fingerprint, error_type, command, text, first_at, last_at, errors)
VALUES (%(group)s, 'DecodeError', 'issues', 'Unexpected field', now(), now(), %(jobs)s);
INSERT INTO error_counts VALUES (%(group)s, date_trunc('hour', now()), 'acct', %(jobs)s)"""


@in_chromium
class IncidentTests(DashboardTestCase):
    """One at a time."""

    async def ask(self, node: InProcessNode, method: str, path: str, body: object = None) -> None:
        """Ask the API for something that works."""
        status, answer = await get_json(node.port, f"/api/v1{path}", method, body)
        self.assertLess(status, 300, answer)

    @in_reactor()
    async def test_paused_path(self) -> None:
        """Jobs behind the pause of a path need a person; it is ended on the page of one of them."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")
        pause = {"scope": "path_prefix", "target": "acme", "reason": "Legal asks us to wait"}
        await self.ask(node, "POST", "/pauses", pause)
        await until(lambda: self.query("SELECT 1 FROM jobs WHERE pause_id IS NOT NULL"), "it is marked")

        def find(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/")
            needs = page.get_by_role("region", name="Needs a person")
            shown(needs).to_contain_text("1 queued job is held back: acme with all below it is paused by")
            shown(needs).to_contain_text("Legal asks us to wait")
            shown(act(needs, "End the pause of acme with all below it")).to_be_visible()
            needs.get_by_role("link", name="acme", exact=True).click()
            page.get_by_role("link", name="issues of acme/shop1").click()
            why = page.get_by_role("region", name="Why")
            shown(why).to_contain_text("Legal asks us to wait")
            act(why, "End the pause of acme with all below it").click()
            shown(why).to_contain_text("no crawler is connected")
            shown(act(why, "End the pause of acme with all below it")).to_have_count(0)
            page.goto("/")
            shown(needs).to_contain_text("No crawler is connected, and 1 job is due")
            shown(needs).not_to_contain_text("Legal")

        await self.browse(node.port, find)
        self.assertEqual(self.status_of(job), "queued")

    @in_reactor()
    async def test_cancelled(self) -> None:
        """A cancelled job says by whom, whether it was cancelled alone or with others."""
        node = await self.node()
        alone, together = self.add_jobs(2, prefix="acme/shop")
        await self.ask(node, "POST", f"/jobs/{alone}/cancel")
        await self.ask(node, "POST", "/jobs/bulk", {"action": "cancel", "filter": {"path_prefix": "acme"}})
        await until(lambda: self.count("cancelled") == 2, "both are cancelled")

        def ask(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/jobs/{alone}")
            why = page.get_by_role("region", name="Why")
            shown(why).to_contain_text("Cancelled by token:COPILOT_HTTP_TOKEN: Audit row")
            page.goto(f"/jobs/{together}")
            shown(why).to_contain_text("Cancelled with others by token:COPILOT_HTTP_TOKEN: Below: acme")

        await self.browse(node.port, ask)

    @in_reactor(300)
    async def test_many_failures(self) -> None:
        """More than are counted are retried: no figure contradicts another, and the group is as it is at the end."""
        node = await self.node()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(FAILED, {"group": GROUP, "jobs": 10_500})

        def retry(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/errors/{GROUP}")
            page.get_by_role("button", name="Retry").click()
            shown(dialog_of(page)).to_contain_text("10,000+ jobs")
            act(dialog_of(page), "Retry").click()
            status = dialog_of(page).get_by_role("status").first
            shown(status).to_have_text("done 10,500 changed", timeout=120_000)
            group = page.get_by_role("region", name="Group")
            shown(group).to_contain_text("none that are still failed", timeout=5_000)

        await self.browse(node.port, retry)

    @in_reactor()
    async def test_held(self) -> None:
        """A budget that is used up is told in words, which stand together on a narrow screen."""
        node = await self.node()
        origin = "https://gitlab.example.org"
        self.query("UPDATE accounts SET gitlab_url = %s RETURNING 1", origin)
        self.add_jobs(prefix="acme/shop")
        budget = {"gitlab_origin": origin, "account_id": "acct", "name": "api", "limit": 2000, "remaining": 9}
        await self.ask(node, "PUT", "/budgets", budget)

        def look(chromium: Chromium) -> None:
            page = chromium.visit(viewport=NARROW)
            page.goto("/")
            row = page.get_by_role("table", name="What is left of GitLab's budgets").get_by_role("row").nth(1)
            shown(row).to_contain_text("no job for another ")
            host, name = row.get_by_text("gitlab.example.org"), row.get_by_text("api", exact=True)
            left, right = (each.evaluate("e => e.getBoundingClientRect().right") for each in (host, name))
            assert max(left, right) < NARROW["width"], (left, right)
            page.goto("/accounts/acct")
            lanes = page.get_by_role("table", name="Lanes of the account")
            shown(lanes).to_contain_text("is closed until")
            shown(lanes.locator("time").first).to_be_visible()

        await self.browse(node.port, look)
