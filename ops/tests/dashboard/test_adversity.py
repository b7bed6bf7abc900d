"""Readers who are quick, type slowly, or close what is under way; crawlers that report oddities."""

import json
import re
from typing import Any

from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, dialog_of, in_node, messages_of, shown
from ops.tests.pages import in_chromium, wait_for
from tests.support.crawler import in_reactor
from tests.support.server import TOKEN, get_json

LONG = "A" * 255


class Held:
    """Requests of *method* to *path*, which wait until they are let go."""

    def __init__(self, page: Any, method: str, path: str) -> None:
        self._routes: list[Any] = []
        self._method = method
        self._page = page
        page.route(f"**{path}", self._hold)

    def _hold(self, route: Any) -> None:
        if route.request.method == self._method:
            self._routes.append(route)
        else:
            route.continue_()

    def wait(self) -> None:
        """Until one is held."""
        wait_for(self._page, lambda: self._routes)

    @property
    def count(self) -> int:
        """How many are held."""
        return len(self._routes)

    def let_go(self) -> None:
        """All of them."""
        for route in self._routes:
            route.continue_()

    def refuse(self) -> None:
        """All of them, as the node might."""
        for route in self._routes:
            route.fulfill(status=422, content_type="application/problem+json", body='{"detail": "Not today"}')

    def abort(self) -> None:
        """None of them reaches the node."""
        for route in self._routes:
            route.abort()


@in_chromium
class ArrivalTests(DashboardTestCase):
    """Pages that come slowly."""

    @in_reactor()
    async def test_focus(self) -> None:
        """The heading has the focus when a page's module is there, and when what it is about is."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            module, read = Held(page, "GET", "/pages/job.js*"), Held(page, "GET", f"/api/v1/jobs/{job}")
            page.get_by_role("link", name="issues of acme/shop1").click()
            heading = page.get_by_role("heading", level=1)
            module.wait()
            shown(heading).to_be_focused()
            module.let_go()
            read.wait()
            shown(heading).to_be_focused()
            page.unroute(f"**/api/v1/jobs/{job}")  # it may be read again
            read.let_go()
            shown(heading).to_have_text("issues of acme/shop1")
            shown(heading).to_be_focused()

        await self.browse(node.port, work)


@in_chromium
class TypingTests(DashboardTestCase):
    """Conditions that are being typed."""

    @in_reactor()
    async def test_events(self) -> None:
        """What is typed stays where events draw the page again meanwhile."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            shown(page.locator(".live")).to_have_text("Live")
            field = page.get_by_label("Search")
            field.press_sequentially("acme/")
            in_node(self._add_jobs)
            shown(page.get_by_role("button", name="Show 1 new job")).to_be_visible()
            shown(field).to_have_value("acme/")
            field.press_sequentially("web")
            field.press("Enter")
            shown(page.get_by_role("row").filter(has_text="acme/web1")).to_be_visible()
            assert page.url.endswith("/jobs?search=acme/web"), page.url
            page.go_back()
            shown(field).to_have_value("")

        await self.browse(node.port, work)

    async def _add_jobs(self) -> None:
        self.add_jobs(prefix="acme/web")


@in_chromium
class ImpatienceTests(DashboardTestCase):
    """Acts that are under way."""

    @in_reactor()
    async def test_clicked_twice(self) -> None:
        """A second click while an act is under way does not carry it out again."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/jobs/{job}")
            held = Held(page, "POST", f"/api/v1/jobs/{job}/pause")
            act(page, "Pause issues of acme/shop1").dblclick()
            held.wait()
            shown(messages_of(page).locator(".notice")).to_have_count(1)
            held.let_go()
            shown(messages_of(page)).to_contain_text("The job is paused")
            assert held.count == 1
            act(page, "Resume issues of acme/shop1").click()  # it is over: others begin
            shown(messages_of(page)).to_contain_text("The job is queued again")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_submitted_twice(self) -> None:
        """A form that is submitted twice before the page is drawn again is sent once; after a refusal, again."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/tokens")
            page.locator("main").get_by_role("button", name="Add a token").click()
            dialog_of(page).get_by_label("Name").fill("grafana")
            for end in ("refuse", "let_go"):
                held = Held(page, "POST", "/api/v1/tokens")
                dialog_of(page).locator("form").evaluate("form => { form.requestSubmit(); form.requestSubmit(); }")
                held.wait()
                shown(messages_of(page).locator(".notice.is-busy")).to_have_count(1)
                assert held.count == 1
                getattr(held, end)()
                shown(messages_of(page).locator(".notice.is-busy")).to_have_count(0)
            shown(dialog_of(page)).to_contain_text("It is shown this once")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_another_dialog(self) -> None:
        """An act whose dialog was closed leaves the dialog of another one open when it ends."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/pauses")
            held = Held(page, "POST", "/api/v1/pauses")
            act(page, "Pause jobs").click()
            dialog_of(page).get_by_label("What").select_option("command")
            dialog_of(page).get_by_label("Reason").fill("a release")
            act(dialog_of(page), "Pause").click()
            held.wait()
            page.keyboard.press("Escape")
            shown(dialog_of(page)).to_have_count(0)
            act(page, "Set a budget").click()
            dialog_of(page).get_by_label("Name of the throttle").fill("web")
            held.let_go()
            shown(messages_of(page)).to_contain_text("Paused: command")
            shown(dialog_of(page).get_by_label("Name of the throttle")).to_have_value("web")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_operation_left(self) -> None:
        """Who closes the dialog of an operation while it is being started is told that it was."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            page.get_by_label("Select all rows of this page").check()
            page.get_by_role("button", name="Pause…").click()
            start = dialog_of(page).get_by_role("button", name="Pause 1 job")
            shown(start).to_be_enabled()
            held = Held(page, "POST", "/api/v1/jobs/bulk")
            start.click()
            held.wait()
            page.keyboard.press("Escape")
            shown(dialog_of(page)).to_have_count(0)
            held.let_go()
            shown(messages_of(page).get_by_role("link", name="Operation ")).to_be_visible()

        await self.browse(node.port, work)
        self.assertEqual(self.query("SELECT count(*) FROM operations"), [(1,)])


@in_chromium
class SessionTests(DashboardTestCase):
    """Sessions that end under an open page."""

    @in_reactor()
    async def test_signed_out(self) -> None:
        """Nothing of the page is left; who signs in again finds it at the same address."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs?command=issues")
            row = page.get_by_role("row").filter(has_text="acme/shop1")
            shown(row).to_be_visible()
            page.locator("header.top .preferences summary").click()
            held = Held(page, "DELETE", "/api/v1/session")
            act(page, "Sign out").click()
            held.wait()
            held.abort()
            shown(messages_of(page)).to_contain_text("You are still signed in: The node can't be reached")
            shown(row).to_be_visible()
            page.unroute("**/api/v1/session")
            act(page, "Sign out").click()
            shown(page.get_by_role("heading", name="Sign in again")).to_be_visible()
            shown(page.locator("main")).to_have_count(1)
            page.get_by_label("Token").fill(TOKEN)
            act(page, "Sign in").click()
            shown(row).to_be_visible()

        await self.browse(node.port, work)


@in_chromium
class OddityTests(DashboardTestCase):
    """What no page may break at."""

    @in_reactor()
    async def test_progress(self) -> None:
        """Objects where texts are expected are no elements."""
        node = await self.node()
        jobs = self.add_jobs(3, prefix="acme/shop")
        for job, stage in zip(jobs, ({"a": {"b": 1}}, [["x"]], {"type": "script", "props": {}}), strict=True):
            self.query("UPDATE jobs SET progress = %s WHERE id = %s", json.dumps({"stage": stage}), job)

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            shown(page.get_by_role("row")).to_have_count(4)
            for job in jobs:
                page.goto(f"/jobs/{job}")
                shown(page.get_by_role("region", name="Reported progress")).to_contain_text("stage")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_long_names(self) -> None:
        """A long name without a space leaves the others in its row in sight, and so does one's own in the header."""
        node = await self.node()
        self.query("UPDATE accounts SET id = %s", LONG)
        _, token = await get_json(node.port, "/api/v1/tokens", "POST", {"name": LONG[:100], "role": "read"})

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/accounts")
            shown(page.get_by_role("row").nth(1)).to_contain_text(LONG)
            widths = page.evaluate(
                "[...document.querySelectorAll('.table')].map((each) => each.scrollWidth - each.clientWidth)"
            )
            assert widths == [0], widths
            page = chromium.visit(token["token"], viewport={"width": 320, "height": 600})
            for state in ("Live", "Disconnected; trying again…"):
                page.goto("/jobs")
                shown(page.locator(".live")).to_have_text(state)
                shown(page.locator("header.top summary")).to_contain_text("read")
                assert page.evaluate("document.documentElement.scrollWidth") == 320
                page.route("**/api/v1/events?*", lambda route: route.abort())

        await self.browse(node.port, work)

    @in_reactor()
    async def test_addresses(self) -> None:
        """What is no page says so; of a parameter that is given twice the last one counts."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            for path in ("/jobs/", "/nothing", "/jobs/1/2"):
                assert page.goto(path).status == 404
                shown(page.get_by_role("heading", level=1)).to_have_text("No such page")
            page.goto("/jobs?status=failed&status=queued")
            shown(page.get_by_role("row").filter(has_text="acme/shop1")).to_be_visible()
            shown(page.get_by_role("checkbox", name="queued")).to_be_checked()
            shown(page.get_by_role("checkbox", name="failed")).not_to_be_checked()
            page.goto("/jobs?order=full_path&cursor=nonsense")
            shown(page.get_by_role("alert").first).to_contain_text("cursor")
            page.get_by_role("link", name="without what its address asks for").click()
            shown(page.get_by_role("row").filter(has_text="acme/shop1")).to_be_visible()
            page.goto("/jobs/none")
            shown(page.get_by_role("heading", level=1)).to_have_text("Job")
            shown(page.get_by_role("alert").first).to_contain_text("No such job")
            page.goto("/areas?area=https://gitlab.example.org/..")
            shown(page.get_by_role("alert").first).to_contain_text("can't be")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_kept_nonsense(self) -> None:
        """Nonsense in what the browser keeps is passed over."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            kept = {
                "filters": '[null, 1, {"name": "web", "query": "?search=web"}]',
                "times": "nonsense",
                "theme": "nonsense",
            }
            for name, value in kept.items():
                page.add_init_script(f"localStorage.setItem('copilot-socket.{name}', {json.dumps(value)})")
            page.goto("/jobs")
            shown(page.get_by_role("row").nth(1).locator("time").first).not_to_be_empty()
            shown(page.locator("main .preferences summary")).to_have_text("Saved filters (1)")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_kept_page(self) -> None:
        """A page that the browser keeps for going back holds no connection, and is live again when it is back."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            held = Held(page, "GET", "/dashboard/pages/jobs.js")
            page.goto("/jobs")
            held.wait()
            shown(page.locator(".live")).to_have_text("Live")

            def streams(number: int) -> None:
                # What the page asks is answered beside its streams.
                asked = (
                    "async () => (await (await fetch('/metrics')).text()).match(/^copilot_event_streams (\\d+)/m)[1]"
                )
                wait_for(page, lambda: int(page.evaluate(asked)) == number)

            streams(1)
            page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
            streams(0)
            # What the page adds to its streams when it has come does not begin one.
            held.let_go()
            shown(page.get_by_role("row").filter(has_text="acme/shop1")).to_be_visible()
            streams(0)
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
            streams(1)
            shown(page.locator(".live")).to_have_text("Live")

        await self.browse(node.port, work)

    @in_reactor()
    async def test_clock(self) -> None:
        """Ages are right in a browser whose clock is wrong by an hour."""
        node = await self.node()
        self.add_jobs(prefix="acme/shop")

        def work(chromium: Chromium) -> None:
            for hours in (1, -1):
                page = chromium.visit()
                page.add_init_script(f"const right = Date.now; Date.now = () => right() + {hours} * 3_600_000;")
                page.goto("/jobs")
                age = page.get_by_role("row").nth(1).locator("time").first
                shown(age).to_have_text(re.compile(r"^(just now|in 2 s|\d+ s ago)$"))

        await self.browse(node.port, work)


@in_chromium
class SecretTests(DashboardTestCase):
    """What is shown once, and who is signed in."""

    @in_reactor()
    async def test_token(self) -> None:
        """The dialog in which a token is made can't be closed before it has shown the token."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/tokens")
            page.locator("main").get_by_role("button", name="Add a token").click()
            dialog_of(page).get_by_label("Name").fill("grafana")
            held = Held(page, "POST", "/api/v1/tokens")
            act(dialog_of(page), "Add").click()
            held.wait()
            for _ in range(3):
                page.keyboard.press("Escape")
            shown(act(dialog_of(page), "Back")).to_be_disabled()
            held.let_go()
            shown(dialog_of(page)).to_contain_text("It is shown this once")
            page.keyboard.press("Escape")
            shown(dialog_of(page)).to_have_count(0)

        await self.browse(node.port, work)

    @in_reactor()
    async def test_link(self) -> None:
        """A link that is used or has expired says so; while the node is away its code is kept."""
        node = await self.node()

        def work(chromium: Chromium) -> None:
            page = chromium.visit(None)
            page.goto("/jobs#code=used")
            shown(page.get_by_role("alert")).to_contain_text("The link was used already, or has expired")
            assert page.url.endswith("/jobs"), page.url
            page.route("**/api/v1/session", lambda route: route.fulfill(status=501))
            page.goto("/areas#code=used")
            shown(page.get_by_role("alert")).to_be_visible()
            assert page.url.endswith("#code=used"), page.url

        await self.browse(node.port, work)

    @in_reactor()
    async def test_somebody_else(self) -> None:
        """Where somebody with another role has signed in, in another tab, the first refusal shows who it is now."""
        node = await self.node()
        status, reader = await get_json(node.port, "/api/v1/tokens", "POST", {"name": "ann", "role": "read"})
        self.assertEqual(status, 201)

        def work(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/pauses")
            button = act(page, "Pause jobs")
            button.click()
            page.context.request.post("/api/v1/session", headers={"Authorization": f"Bearer {reader['token']}"})
            dialog_of(page).get_by_label("Which").fill("acct")
            dialog_of(page).get_by_label("Reason").fill("a release")
            act(dialog_of(page), "Pause").click()
            shown(dialog_of(page).get_by_role("alert")).to_contain_text("role")
            shown(page.locator("header.top")).to_contain_text("ann read")
            page.keyboard.press("Escape")
            shown(button).to_have_count(0)

        await self.browse(node.port, work)
