"""The JavaScript client as it is installed: its own tests in Node.js, its types under tsc, and pages in Chromium."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

import copilot_socket
from ops.tests.npm import npm_ci
from ops.tests.pages import HTML, POLICY, CrawledTestCase, chromium_page, in_chromium, put_page, wait_for
from ops.tests.support import needs
from tests.support.crawler import in_reactor, reactor
from tests.support.server import TOKEN, run_for, short_directory

HERE = Path(__file__).parent / "javascript"
CLIENT = Path(copilot_socket.__file__).parent / "web" / "client.js"


@needs("node")
class NodeJsTests(TestCase):
    """The client in Node.js, and its types."""

    def setUp(self) -> None:
        """A directory of the test's own."""
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    async def run_node(self, *arguments: str) -> str:
        """What Node.js prints; it must work."""
        node = str(shutil.which("node"))
        program, _ = run_for(self, [node, *arguments], {"COPILOT_CLIENT": str(CLIENT)}, self.directory)
        status = await program.ended
        self.assertEqual(status, 0, (program.out + program.err).decode())
        return program.out.decode()

    @in_reactor()
    async def test_client(self) -> None:
        """Its own tests: all that there are run."""
        files = sorted(str(path) for path in HERE.glob("*.test.js"))
        written = sum(len(re.findall(r"^test\(", Path(file).read_text("utf-8"), re.MULTILINE)) for file in files)
        said = await self.run_node("--test", "--test-reporter=tap", *files)
        self.assertIn(f"\n# pass {written}\n", said)

    @in_reactor(180)
    async def test_types(self) -> None:
        """tsc takes the client, strictly, and of its use what is right."""
        packages = await deferToThread(npm_ci, HERE)
        if packages is None:
            raise SkipTest("npm is not installed here, or can't install TypeScript")
        shutil.copy(HERE / "usage.js", self.directory)
        options = json.loads((HERE / "tsconfig.json").read_text("utf-8"))
        options["compilerOptions"]["paths"] = {"copilot-socket-client": [str(CLIENT)]}
        options["files"] = ["usage.js", str(CLIENT)]
        (self.directory / "tsconfig.json").write_text(json.dumps(options), "utf-8")
        await self.run_node(str(packages / "typescript" / "bin" / "tsc"), "-p", str(self.directory))


SCRIPT = """
import { Client } from "%(node)s/client.js";

async function crawl(client, full_path) {
  const seen = [];
  let submitted;  // whose answer may come after the job's last event
  const onState = ({ state }) => {
    if (state === "open") submitted = client.jobs.submit({ account_id: "acct", command: "issues", full_path });
  };
  for await (const { data } of client.events({ types: "job", onState })) {
    seen.push(data);
    if (data.status === "completed") break;
  }
  const { id } = await submitted;
  return { id, seen, job: await client.jobs.wait(id) };
}

const token = decodeURIComponent(location.hash.slice(1));
try {
  %(body)s
} catch (error) {
  window.result = { error: String(error) };
}
"""
WITH_SESSION = """
  const session = await new Client({ token }).session.start();
  const client = new Client();
  const done = await crawl(client, "acme/grüße 🚀");
  const shown = await client.session.get();
  await client.session.end();
  const after = await client.stats().catch(({ status }) => status);
  window.result = { ...done, role: [session.role, shown.role], after, cookie: document.cookie };
"""
WITH_TOKEN = """
  const client = new Client({ url: "%(node)s", token });
  const done = await crawl(client, "acme/other");
  const refused = await client.jobs.get("01K").catch(({ status, problem }) => [status, problem.title]);
  window.result = { ...done, refused };
"""


class Page(Data):
    """The page, at a server of its own."""

    def __init__(self, policy: str) -> None:
        super().__init__(HTML.encode(), "text/html")
        self._policy = policy

    def render_GET(self, request: Any) -> Any:
        """With its policy."""
        request.setHeader("Content-Security-Policy", self._policy)
        return super().render_GET(request)


def _visit(url: str, script: str | None = None) -> dict[str, Any]:
    """What the page at *url* finds; with *script* it is put there first."""
    with chromium_page() as page:
        if script is not None:
            put_page(page, script)
        page.goto(url)
        result = wait_for(page, lambda: page.evaluate("window.result"))
        return {**result, "faults": page.evaluate("window.faults")}


@in_chromium
class BrowserTests(CrawledTestCase):
    """Pages that use the client."""

    def assert_crawled(self, result: dict[str, Any], path: str) -> None:
        """The page has followed its job to its end."""
        self.assertNotIn("error", result)
        self.assertEqual({data["id"] for data in result["seen"]}, {result["id"]})
        self.assertEqual([result["seen"][0]["event"], result["seen"][-1]["status"]], ["created", "completed"])
        self.assertIn(20, [data.get("progress", {}).get("processed") for data in result["seen"]])
        self.assertEqual((result["job"]["status"], result["job"]["full_path"]), ("completed", path))
        self.assertEqual(result["faults"], [])

    @in_reactor()
    async def test_session(self) -> None:
        """A page of the node's origin: by a session, which its script can't read and which ends."""
        node = await self.crawled()
        script = SCRIPT % {"node": "", "body": WITH_SESSION}
        result = await deferToThread(_visit, f"http://127.0.0.1:{node.port}/page#{TOKEN}", script)
        self.assert_crawled(result, "acme/grüße 🚀")
        self.assertEqual((result["role"], result["after"], result["cookie"]), (["admin", "admin"], 401, ""))

    @in_reactor()
    async def test_other_origin(self) -> None:
        """A page of an allowed origin: with a token; it imports the client from the node, and reads errors."""
        root = Resource()
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        origin = f"http://127.0.0.1:{port.getHost().port}"
        node = await self.crawled(SOCKET_ALLOWED_ORIGINS=origin)
        url = f"http://127.0.0.1:{node.port}"
        script = SCRIPT % {"node": url, "body": WITH_TOKEN % {"node": url}}
        root.putChild(b"page", Page(POLICY.format(node=f" {url}")))
        root.putChild(b"page.js", Data(script.encode(), "text/javascript"))
        result = await deferToThread(_visit, f"{origin}/page#{TOKEN}")
        self.assert_crawled(result, "acme/other")
        self.assertEqual(result["refused"], [404, "Not Found"])
