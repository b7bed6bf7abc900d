"""What the list of jobs shows while these change quickly is what the API says afterwards."""

from typing import Any

from copilot_socket.client.twisted import JobFailure
from ops.tests.dashboard.browser import Chromium, DashboardTestCase, in_node, shown
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor, until
from tests.support.server import InProcessNode, get_json


@in_chromium
class LiveTests(DashboardTestCase):
    """Rows of jobs."""

    @in_reactor()
    async def test_read_under_way(self) -> None:
        """What happens between a read and its answer is shown, in the first answer and in later ones."""
        node = await self.node()
        [first] = self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            job = first

            def hold(route: Any) -> None:
                answer = route.fetch()
                if "acme/" in answer.text() and "total=true" not in route.request.url:
                    in_node(self._cancel, node, job)
                    page.wait_for_timeout(1500)  # the event comes before the answer
                route.fulfill(response=answer)

            page.goto("/pauses")
            shown(page.locator(".live")).to_have_text("Live")
            page.evaluate("import('/dashboard/pages/jobs.js')")
            page.route("**/api/v1/jobs?*", hold)
            page.get_by_role("link", name="Jobs").click()
            shown(page.get_by_role("row").filter(has_text="acme/shop1")).to_contain_text("cancelled")
            page.unroute("**/api/v1/jobs?*")

            [job] = self.add_jobs(prefix="acme/web")
            show = page.get_by_role("button", name="Show 1 new job")
            shown(show).to_be_visible()
            page.route("**/api/v1/jobs?*", hold)
            show.click()
            shown(page.get_by_role("row").filter(has_text="acme/web1")).to_contain_text("cancelled")

        await self.browse(node.port, work)

    async def _cancel(self, node: InProcessNode, job: str) -> None:
        await get_json(node.port, f"/api/v1/jobs/{job}/cancel", "POST")

    @in_reactor()
    async def test_failures(self) -> None:
        """Failures are counted in the row as they happen."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            row = page.get_by_role("row").filter(has_text="acme/shop1")
            shown(row).to_contain_text("0 of 3")
            in_node(self._fail, node)
            shown(row).to_contain_text("1 of 3")
            shown(row).to_contain_text("job_error")

        await self.browse(node.port, work)

    async def _fail(self, node: InProcessNode) -> None:
        crawler = await self.directed(node)
        await crawler.step("acme/shop1", JobFailure("odd", recoverable=True))
        await until(lambda: self.query("SELECT 1 FROM jobs WHERE attempts = 1"), "it has failed once")
