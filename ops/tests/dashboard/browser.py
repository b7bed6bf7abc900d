"""Chromium with the dashboard: pages that are signed in, and what goes wrong in them."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.threads import blockingCallFromThread, deferToThread

from copilot_socket.client.twisted import Crawler, Hello, Job
from ops.tests.pages import CrawledTestCase
from tests.support.crawler import reactor
from tests.support.server import TOKEN, InProcessNode, ServerProcess

PATIENCE = 60.0
"""Seconds for a page to show something."""
WIDE = {"width": 1280, "height": 800}
_LOAD = "Failed to load resource"


class Watched:
    """What goes wrong in a page: errors and warnings of its console, which the policy's violations are, too."""

    def __init__(self, page: Any, origin: str) -> None:
        self.faults: list[str] = []
        """Exceptions, messages, and requests to other origins."""
        self.failed: list[str] = []
        """Requests that were not answered by what they asked for."""
        self._origin = origin
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("console", self._said)
        page.on("request", self._asked)
        page.on("response", self._answered)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_LOAD):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if urlsplit(request.url).scheme in ("http", "https", "ws", "wss"):
            address = urlsplit(request.url)
            if f"{address.scheme}://{address.netloc}" != self._origin:
                self.faults.append(f"request to {request.url}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.request.method} {urlsplit(response.url).path}")


class Chromium:
    """A browser, for one thread. Each sign-in is a profile of its own, as a further person's browser is."""

    def __init__(self, browser: Any, origin: str) -> None:
        self.origin = origin
        self._browser = browser
        self._watched: list[Watched] = []

    def visit(self, token: str | None = TOKEN, **options: Any) -> Any:
        """A new page, in a profile that is signed in with *token*; *options* are those of the profile."""
        context = self._browser.new_context(base_url=self.origin, **{"viewport": WIDE, **options})
        context.set_default_timeout(PATIENCE * 1000)
        if token is not None:
            headers = {"Authorization": f"Bearer {token}"}
            answer = context.request.post("/api/v1/session", headers=headers)
            assert answer.status == 201, answer.text()
        return self.tab(context.new_page())

    def tab(self, page: Any) -> Any:
        """*page*, watched."""
        page.watched = Watched(page, self.origin)
        self._watched.append(page.watched)
        return page

    @property
    def faults(self) -> list[str]:
        """Of all pages so far."""
        return [fault for each in self._watched for fault in each.faults]

    @property
    def failed(self) -> list[str]:
        """Requests of all pages that were refused, each once."""
        return sorted({failed for each in self._watched for failed in each.failed})


@contextmanager
def chromium(port: int) -> Iterator[Chromium]:
    """A browser for the node at *port*, which ends with the block. Blocks: for a thread."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 # not installed everywhere

    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            yield Chromium(browser, f"http://127.0.0.1:{port}")
        finally:
            browser.close()


def shown(locator: Any) -> Any:
    """Assertions about *locator*, which wait until they hold."""
    from playwright.sync_api import expect  # noqa: PLC0415 # not installed everywhere

    return expect(locator)


def in_node(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
    """What the coroutine function returns, which runs in the reactor. Blocks: for the browser's thread."""
    return blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(function(*arguments)))


class Directed:
    """A crawler that does with a job what the test says: reports progress, ends it, or fails it."""

    def __init__(self, socket_path: str, name: str) -> None:
        hello = Hello(name, entity_types=("issue", "commit", "branch", "release"), max_jobs=5)
        self.service = Crawler.at(socket_path, self._crawl, hello, reactor)
        self._steps: dict[str | None, DeferredQueue[Any]] = defaultdict(DeferredQueue)

    async def _crawl(self, job: Job) -> dict[str, int]:
        while (step := await self._steps[job.full_path].get()) is not None:
            if isinstance(step, Exception):
                raise step
            await job.progress(step, total=200)
        return {job.entity_type: 200}

    async def step(self, path: str, step: int | Exception | None) -> None:
        """The job of *path* has processed *step* of 200, fails with *step*, or (None) is completed."""
        self._steps[path].put(step)


class DashboardTestCase(CrawledTestCase):
    """Nodes whose dashboard is open in Chromium."""

    async def directed(self, node: InProcessNode | ServerProcess, name: str = "c1") -> Directed:
        """A crawler that the test directs."""
        directed = Directed(node.socket_path, name)
        directed.service.startService()
        self.addCleanup(directed.service.stopService)
        return directed

    async def browse(self, port: int, work: Callable[[Chromium], Any]) -> Any:
        """What *work* returns, which drives a browser in a thread; nothing may go wrong in its pages."""

        def drive() -> Any:
            with chromium(port) as browser:
                try:
                    result = work(browser)
                except AssertionError as error:
                    said = f"{error}\nfaults: {browser.faults}\nrefused: {browser.failed}"
                    raise AssertionError(said) from error
                assert not browser.faults, browser.faults
                return result

        return await deferToThread(drive)


def act(page: Any, name: str) -> Any:
    """The button of an act, by its whole name."""
    return page.get_by_role("button", name=name, exact=True)


def dialog_of(page: Any) -> Any:
    """The open dialog."""
    return page.get_by_role("dialog")


def messages_of(page: Any) -> Any:
    """What the page has said of acts."""
    return page.get_by_role("log", name="Messages")
