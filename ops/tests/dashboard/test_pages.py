"""Every page in a real browser: what axe-core finds, narrow screens, errors, the keyboard; and pictures of them."""

import os
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.threads import deferToThread

from ops.tests.dashboard.browser import WIDE, Chromium, act, dialog_of, shown
from ops.tests.dashboard.world import PAGES, WorldTestCase
from ops.tests.npm import npm_ci
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor

NARROW = {"width": 360, "height": 800}
TALL = {"width": 1280, "height": 1180}
"""With the charts of the overview."""
LISTS = Path(__file__).parents[1] / "javascript"
MOST_BYTES = 120_000
"""Of a first visit, as sent."""
_FINDINGS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => impact !== "minor").flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} (${impact}): ${target.join(" ")}: ${failureSummary}`));
}"""


def _open(page: Any, address: str) -> None:
    """Go to *address*, and wait until all that it shows first is there."""
    page.goto(address)
    shown(page.get_by_role("heading", level=1)).to_be_visible()
    shown(page.get_by_text("Loading…")).to_have_count(0)
    shown(page.locator("[aria-busy=true]")).to_have_count(0)
    shown(page.locator(".live.is-open")).to_be_visible()


@in_chromium
class PageTests(WorldTestCase):
    """All pages, with believable data."""

    def test_all(self) -> None:
        """Every page of the dashboard is looked at here."""
        from copilot_socket.http.dashboard import PAGES as PATTERNS  # noqa: PLC0415

        self.assertEqual(len(PATTERNS), len(PAGES))

    @in_reactor(400)
    async def test_accessible(self) -> None:
        """axe-core finds nothing, in both themes, wide and narrow; nothing is wider than a narrow screen."""
        packages = await deferToThread(npm_ci, LISTS)
        if packages is None:
            raise SkipTest("npm is not installed here, or can't install axe-core")
        axe = (packages / "axe-core" / "axe.min.js").read_text("utf-8")
        node, _ = await self.world()

        def look(chromium: Chromium) -> list[str]:
            found: list[str] = []
            for scheme, size in (("light", None), ("dark", None), ("light", NARROW)):
                page = chromium.visit(color_scheme=scheme, **({"viewport": size} if size else {}))
                for name in PAGES:
                    _open(page, self.addresses[name])
                    page.evaluate(axe)
                    found += [f"{name}, {scheme}, {size}: {each}" for each in page.evaluate(_FINDINGS)]
                    if size:
                        width = page.evaluate("document.documentElement.scrollWidth")
                        found += [f"{name} is {width} px wide"] * (width > size["width"])
                found += page.watched.failed
            return found

        found = await self.browse(node.port, look)
        self.assertEqual(found, [], "\n".join(found))

    @in_reactor(300)
    async def test_faultless(self) -> None:
        """No page asks another origin, writes errors to the console, violates the policy, or is refused anything."""
        node, _ = await self.world()

        def look(chromium: Chromium) -> None:
            page = chromium.visit(reduced_motion="reduce")
            for name in PAGES:
                _open(page, self.addresses[name])
                running = page.evaluate("document.getAnimations().length")
                assert running == 0, f"{running} animations of {name}"
            assert page.watched.failed == [], page.watched.failed

        await self.browse(node.port, look)

    @in_reactor()
    async def test_size(self) -> None:
        """A first visit transfers little; a second asks only whether all is still the same."""
        node, _ = await self.world()

        def weigh(chromium: Chromium) -> list[int]:
            page = chromium.visit()
            network = page.context.new_cdp_session(page)
            network.send("Network.enable")
            sizes: list[int] = []
            network.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
            first = []
            for _visit in range(2):
                sizes.clear()
                _open(page, "/")
                first.append(sum(sizes))
            return first

        cold, warm = await self.browse(node.port, weigh)
        self.assertLess(cold, MOST_BYTES)
        self.assertGreater(cold, 30_000)
        self.assertLess(warm, cold / 2)

    @in_reactor()
    async def test_keyboard(self) -> None:
        """A job is found, chosen and acted on by the keyboard alone; the focus is where one expects it."""
        node, _ = await self.world()

        def type_(chromium: Chromium) -> None:
            page = chromium.visit()
            _open(page, "/")
            press = page.keyboard.press
            focus = page.locator(":focus")
            _tab_to(page, "navigation >> text=Jobs", lambda: focus.inner_text().strip() == "Jobs")
            press("Enter")
            shown(page.get_by_role("heading", level=1)).to_be_focused()
            shown(page.get_by_role("heading", level=1)).to_have_text("Jobs")
            _tab_to(
                page,
                "the search",
                lambda: page.get_by_role("searchbox", name="Search").evaluate("each => each.matches(':focus')"),
            )
            page.keyboard.type("acme/b")
            press("Enter")
            rows = page.locator("tbody tr")
            shown(page.get_by_label("Conditions")).to_contain_text("Search: acme/b")
            shown(page.get_by_text("Loading…")).to_have_count(0)
            shown(rows.first).to_contain_text("acme/billing")
            _tab_to(page, "a row", lambda: focus.evaluate("each => Boolean(each.closest('tbody tr a'))"))
            press("x")
            chosen = page.get_by_role("region", name="Chosen jobs")
            shown(chosen).to_contain_text("1 chosen")
            press("j")
            press("x")
            shown(chosen).to_contain_text("2 chosen")
            press("k")
            press("x")
            shown(chosen).to_contain_text("1 chosen")
            shown(rows.first.get_by_role("checkbox")).not_to_be_checked()
            shown(rows.nth(1).get_by_role("checkbox")).to_be_checked()
            _tab_to(page, "Delete…", lambda: focus.inner_text().strip() == "Delete…")
            press("Enter")
            shown(dialog_of(page)).to_contain_text("1 job")
            press("Escape")
            shown(dialog_of(page)).to_have_count(0)
            shown(act(chosen, "Delete…")).to_be_focused()
            press("Enter")
            shown(act(dialog_of(page), "Delete 1 job")).to_be_enabled()
            _tab_to(page, "Delete 1 job", lambda: focus.inner_text().strip() == "Delete 1 job")
            press("Enter")
            shown(dialog_of(page).get_by_role("status")).to_contain_text("done 1 changed of 1")

        await self.browse(node.port, type_)

    @in_reactor(300)
    async def test_screenshots(self) -> None:
        """Pictures of all pages, in the directory that COPILOT_SCREENSHOTS names."""
        directory = os.environ.get("COPILOT_SCREENSHOTS")
        if not directory:
            raise SkipTest("COPILOT_SCREENSHOTS names no directory")
        place = Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        node, _ = await self.world()

        def picture(chromium: Chromium) -> None:
            light = chromium.visit(color_scheme="light")
            for name in PAGES:
                _open(light, self.addresses[name])
                light.set_viewport_size(TALL if name == "overview" else WIDE)
                light.screenshot(path=place / f"{name}.png")
            for name, options in (
                ("overview-dark", {"color_scheme": "dark"}),
                ("overview-narrow", {"viewport": NARROW}),
            ):
                page = chromium.visit(**options)
                _open(page, "/")
                page.screenshot(path=place / f"{name}.png")

        await self.browse(node.port, picture)


def _tab_to(page: Any, what: str, there: Any) -> None:
    """Press the tab key until the focus is *there*."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if there():
            return
    raise AssertionError(f"the tab key does not lead to {what}")
