"""Dialogs that stay behind: readers go elsewhere, sessions end, links are opened where the page is already."""

from typing import Any

from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, dialog_of, messages_of, shown
from ops.tests.dashboard.test_adversity import Held
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor
from tests.support.server import TOKEN, get_json


@in_chromium
class ElsewhereTests(DashboardTestCase):
    """Who goes to another page."""

    @in_reactor()
    async def test_links(self) -> None:
        """A dialog's link leads to its page, whose heading is focused, and not to one behind it."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            act(page, "Submit a job").click()
            dialog_of(page).get_by_label("Account").fill("acct")
            dialog_of(page).get_by_label("Command").select_option("issues")
            dialog_of(page).get_by_label("Group or project").fill("acme/web")
            act(dialog_of(page), "Submit").click()
            dialog_of(page).get_by_role("link").click()
            _arrived(page, "issues of acme/web")

            page.go_back()
            page.get_by_label("Select all rows of this page").check()
            page.get_by_role("button", name="Pause…").click()
            dialog_of(page).get_by_role("button", name="Pause 2 jobs").click()
            dialog_of(page).get_by_role("link", name="operation ").first.click()
            _arrived(page, "Pause")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_back(self) -> None:
        """Who goes back from a dialog leaves it, but for a token that is shown this once."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            page.get_by_role("link", name="Pauses").click()
            act(page, "Pause jobs").click()
            shown(dialog_of(page)).to_be_visible()
            page.go_back()
            _arrived(page, "Jobs")

            page.get_by_role("link", name="Tokens").click()
            add = page.locator("main").get_by_role("button", name="Add a token")
            add.click()
            shown(dialog_of(page)).to_be_visible()
            page.go_back()
            _arrived(page, "Jobs")
            page.go_forward()
            add.click()
            dialog_of(page).get_by_label("Name").fill("grafana")
            held = Held(page, "POST", "/api/v1/tokens")
            act(dialog_of(page), "Add").click()
            held.wait()
            page.go_back()
            held.let_go()
            shown(dialog_of(page)).to_contain_text("It is shown this once")

        await self.browse(node.port, work)


def _arrived(page: Any, heading: str) -> None:
    shown(page.get_by_role("heading", level=1)).to_contain_text(heading)
    shown(page.get_by_role("heading", level=1)).to_be_focused()
    shown(dialog_of(page)).to_have_count(0)


@in_chromium
class EndTests(DashboardTestCase):
    """Sessions that end, and begin, under an open page."""

    @in_reactor()
    async def test_secret(self) -> None:
        """When the session has ended no dialog or message is left, and nothing hides the field for a token."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/jobs/{job}")
            act(page, "Pause issues of acme/shop1").click()
            shown(messages_of(page)).to_contain_text("The job is paused")
            page.get_by_role("link", name="Tokens").click()
            page.locator("main").get_by_role("button", name="Add a token").click()
            dialog_of(page).get_by_label("Name").fill("grafana")
            act(dialog_of(page), "Add").click()
            shown(dialog_of(page)).to_contain_text("It is shown this once")
            page.context.clear_cookies()
            page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
            shown(page.get_by_role("heading", name="Sign in again")).to_be_visible()
            shown(dialog_of(page)).to_have_count(0)
            shown(messages_of(page)).to_be_empty()
            shown(page.get_by_label("Token")).to_be_focused()

        await self.browse(node.port, work)

    @in_reactor()
    async def test_link(self) -> None:
        """A link that is opened in the tab that waits for somebody to sign in signs them in; a used one says so."""
        node = await self.node()
        _, link = await get_json(node.port, "/api/v1/session/links", "POST")

        def work(chromium: Chromium) -> None:
            page = chromium.visit(None)
            page.goto("/jobs")
            sign_in = page.get_by_role("heading", name="Sign in")
            shown(sign_in).to_be_visible()
            page.goto(f"/jobs#code={link['code']}")
            shown(page.get_by_role("heading", level=1)).to_have_text("Jobs")
            assert page.url.endswith("/jobs"), page.url
            page.locator("header.top .preferences summary").click()
            act(page, "Sign out").click()
            shown(sign_in).to_be_visible()
            page.goto(f"/jobs#code={link['code']}")
            shown(page.get_by_role("alert")).to_contain_text("The link was used already, or has expired")
            assert page.url.endswith("/jobs"), page.url

        await self.browse(node.port, work)

    @in_reactor()
    async def test_no_cookies(self) -> None:
        """A browser that keeps no cookies is not said to have had a session that has ended."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit(None)
            page.goto("/jobs")
            page.route("**/api/v1/session", _without_cookie)
            page.get_by_label("Token").fill(TOKEN)
            act(page, "Sign in").click()
            shown(page.get_by_role("alert")).to_contain_text("allow cookies for this address")
            page.unroute("**/api/v1/session")
            act(page, "Sign in").click()
            shown(page.get_by_role("heading", level=1)).to_have_text("Jobs")

        await self.browse(node.port, work)


def _without_cookie(route: Any) -> None:
    if route.request.method == "POST":
        route.fulfill(status=201, json={"name": "token:ann", "role": "read", "accounts": None, "users": None})
    else:
        route.continue_()
