"""Nodes and databases that go away under an open page, and come back."""

from typing import Any

from twisted.internet.defer import Deferred

from copilot_socket.http.events import Scope
from copilot_socket.http.snapshots import Snapshots
from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, in_node, messages_of, shown
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor, until
from tests.support.server import get_json

AGAIN = 75_000
"""Milliseconds for a page to come back, which after a long outage tries that every 30 s."""
_NUMBERED = """
SELECT count(*) > 0 AND bool_and(EXISTS (SELECT FROM event_numbers n WHERE e.seq = ANY (n.seqs))) FROM events e
"""


@in_chromium
class OutageTests(DashboardTestCase):
    """An open page says that it is not of now, keeps what it shows, and recovers by itself."""

    @in_reactor(300)
    async def test_restart(self) -> None:
        """A node is killed and started again: pages catch up with what happened meanwhile, in the same session."""
        await self._restart(kept=True)

    @in_reactor(300)
    async def test_restart_without_events(self) -> None:
        """The same where the events of the meantime are not kept any more."""
        await self._restart(kept=False)

    async def _restart(self, kept: bool) -> None:
        server = await self.process().start()
        [job] = self.add_jobs(prefix="acme/shop")

        def watch(chromium: Chromium) -> None:
            # Six connections to a node are all that a browser has, and each page may take two of them.
            jobs, one, overview = (chromium.visit() for _ in range(3))
            for page, path in ((jobs, "/jobs"), (one, f"/jobs/{job}"), (overview, "/")):
                page.goto(path)
                shown(_live(page)).to_have_text("Live")
                page.evaluate("window.loaded = 1")
            row = jobs.get_by_role("row").filter(has_text="acme/shop1")
            why = one.get_by_role("region", name="Why")
            queued = overview.locator(".tiles li").filter(has_text="queued")
            shown(row).to_contain_text("queued")
            shown(why).to_contain_text("queued")
            shown(queued).to_contain_text("1")

            in_node(server.kill)
            for page in (jobs, one, overview):
                shown(_live(page)).to_have_text("Disconnected; trying again…")
            in_node(self._cancel_elsewhere, job)
            if not kept:
                self.query("TRUNCATE events")
            for place in (row, why):
                shown(place).to_contain_text("queued")  # what it showed

            in_node(server.start)
            for page in (jobs, one, overview):
                shown(_live(page)).to_have_text("Live", timeout=AGAIN)
            for place in (row, why):
                shown(place).to_contain_text("cancelled")
            shown(queued).to_contain_text("0")
            act(one, "Retry issues of acme/shop1").click()
            shown(messages_of(one)).to_contain_text("The job is queued again")  # the session holds
            shown(row).to_contain_text("queued")
            shown(queued).to_contain_text("1")
            for page in (jobs, one, overview):
                assert page.evaluate("window.loaded") == 1, "it was loaded again"

        await self.browse(server.port, watch)

    @in_reactor(300)
    async def test_database(self) -> None:
        """The database takes no connections for a while: the page says so, and an act fails in the server's words."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def watch(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/jobs/{job}")
            why = page.get_by_role("region", name="Why")
            shown(why).to_contain_text("queued")
            shown(_live(page)).to_have_text("Live")
            page.evaluate("window.loaded = 1")
            in_node(self._shut)
            shown(_live(page)).to_have_text("Database unavailable")
            act(page, "Pause issues of acme/shop1").click()
            shown(messages_of(page).get_by_role("alert")).to_contain_text("Database unavailable")
            shown(why).to_contain_text("queued")
            in_node(self._open)
            shown(_live(page)).to_have_text("Live", timeout=AGAIN)
            shown(page.get_by_role("main").get_by_role("alert")).to_have_count(0)
            act(page, "Pause issues of acme/shop1").click()
            shown(why).to_contain_text("paused")
            assert page.evaluate("window.loaded") == 1, "it was loaded again"

        await self.browse(node.port, watch)

    @in_reactor(300)
    async def test_opened_meanwhile(self) -> None:
        """A page that is opened while the database is away does not say that it is live before it is."""
        node = await self.node()

        def watch(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/")  # which adds nothing to the stream of all pages: there is no second one
            shown(_live(page)).to_have_text("Live")
            in_node(self._shut)
            shown(_live(page)).to_have_text("Database unavailable")
            with page.expect_response("**/api/v1/events?*"):
                page.reload()
            page.wait_for_timeout(500)  # for what the page makes of the answer
            shown(_live(page)).to_have_text("Connecting…")
            in_node(self._open)
            shown(_live(page)).to_have_text("Live", timeout=AGAIN)

        await self.browse(node.port, watch)

    @in_reactor()
    async def test_slow_snapshot(self) -> None:
        """What changes before the snapshot of a stream, which has no event of it, is read again with that."""
        snapshot: Deferred[None] = Deferred()
        read = Snapshots._read

        async def read_later(snapshots: Snapshots, scope: Scope) -> None:
            await snapshot
            await read(snapshots, scope)

        self.patch(Snapshots, "_read", read_later)
        node = await self.node()
        pause = {"scope": "everything", "reason": "a release"}
        status, added = await get_json(node.port, "/api/v1/pauses", "POST", pause)
        self.assertEqual(status, 201)

        async def end() -> None:
            [(events,)] = self.query("SELECT count(*) FROM events")
            status, _ = await get_json(node.port, f"/api/v1/pauses/{added['id']}", "DELETE")
            self.assertEqual(status, 200)
            more = "SELECT count(*) > %s FROM events"
            await until(lambda: self.query(more, events) == self.query(_NUMBERED) == [(True,)], "it is numbered")
            snapshot.callback(None)

        def watch(chromium: Chromium) -> None:
            page = chromium.visit()
            with page.expect_response("**/api/v1/events?*"):
                page.goto("/pauses")
            shown(page.get_by_role("row").filter(has_text="a release")).to_be_visible()
            page.wait_for_timeout(3_000)  # longer than a page waits before it reads again
            in_node(end)
            shown(page.get_by_text("Nothing is paused.")).to_be_visible()

        await self.browse(node.port, watch)

    async def _cancel_elsewhere(self, job: str) -> None:
        """Another node cancels the job, and numbers the event of that."""
        other = await self.node()
        status, _ = await get_json(other.port, f"/api/v1/jobs/{job}/cancel", "POST")
        self.assertEqual(status, 200)
        await until(lambda: self.query(_NUMBERED) == [(True,)], "the events are numbered")

    async def _shut(self) -> None:
        self.shut_database()

    async def _open(self) -> None:
        self.open_database()


def _live(page: Any) -> Any:
    return page.locator(".live")
