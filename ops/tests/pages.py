"""Nodes with a crawler, and pages that talk to them in Debian's Chromium."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import Deferred

from copilot_socket.client.twisted import Crawler, Hello, Job, JobFailure
from ops.tests.support import needs
from tests.support.crawler import reactor
from tests.support.server import InProcessNode, NodeTestCase

PATIENCE = 60.0
"""Seconds for a page to do its work."""
HTML = "<!doctype html><button id=log-out>Log out</button><script type=module src=/page.js></script>"
POLICY = "default-src 'none'; script-src 'self'{node}; connect-src 'self'{node}"
"""The strictest Content-Security-Policy with which a page can work at all."""
_WATCH = """
window.faults = [];
addEventListener("error", ({ message, target }) => faults.push(message ?? `can't load ${target.src}`), true);
addEventListener("unhandledrejection", ({ reason }) => faults.push(String(reason)));
addEventListener("securitypolicyviolation", ({ violatedDirective }) => faults.push(violatedDirective));
"""


class CrawledTestCase(NodeTestCase):
    """Nodes with a crawler."""

    async def crawled(self, **environ: str) -> InProcessNode:
        """A node with a crawler that does every job, but for ``acme/broken`` and ``acme/stuck``."""
        node = await self.node(**environ)

        async def crawl(job: Job) -> dict[str, int]:
            if job.full_path == "acme/broken":
                raise JobFailure("it is broken", recoverable=False)
            await job.progress(20, total=20)
            if job.full_path == "acme/stuck":
                await Deferred()
            return {job.entity_type: 20}

        hello = Hello("c1", entity_types=("issue", "commit", "branch", "release"), max_jobs=5)
        crawler = Crawler.at(node.socket_path, crawl, hello, reactor)
        crawler.startService()
        self.addCleanup(crawler.stopService)
        return node


def in_chromium(test_case: Any) -> Any:
    """Skip a test case, saying why, on a machine without Chromium or what drives it."""
    driven = skipUnless(find_spec("playwright"), "needs the module playwright")
    return needs("chromium")(driven(test_case))


@contextmanager
def chromium_page() -> Iterator[Any]:
    """A page of Chromium; its ``window.faults`` are its errors. Blocks, as all that is done with it: for a thread."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 # not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            page = browser.new_page()
            page.add_init_script(_WATCH)
            yield page
        finally:
            browser.close()


def put_page(page: Any, script: str) -> None:
    """Put a page and its *script* beside what there is at an origin, as /page."""
    headers = {"Content-Security-Policy": POLICY.format(node="")}
    page.route("**/page", lambda route: route.fulfill(content_type="text/html", body=HTML, headers=headers))
    page.route("**/page.js", lambda route: route.fulfill(content_type="text/javascript", body=script))


def wait_for(page: Any, look: Callable[[], Any]) -> Any:
    """What *look* returns, once that is something. Not by the page's own means, which need ``unsafe-eval``."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"the page has not done its work: {page.evaluate('window.faults')}"
        page.wait_for_timeout(50)
    return found
