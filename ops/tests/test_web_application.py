"""docs/web-application.md: its examples, in the order in which they stand, at a real node with a crawler."""

import json
import re
import shutil
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.web.server import Site
from twisted.web.static import Data

from ops.tests.pages import CrawledTestCase, chromium_page, in_chromium, put_page, wait_for
from ops.tests.support import OPS, needs
from ops.tests.test_nginx import Nginx, replaced
from tests.support.crawler import in_reactor, reactor, until
from tests.support.server import TOKEN, run_for, short_directory

PAGE = OPS.parent / "docs" / "web-application.md"
ADDRESS = "127.0.0.1:3000"
"""That of the node of the examples."""
OF_PAGES = "// page.js\n"
"""The first line of examples for pages."""
DEFINES = re.compile(r"\w+\(\) \{")
"""How examples begin that only define a function for others."""


def examples() -> list[tuple[str, str]]:
    """The language of each, and its text."""
    return re.findall(r"^```(js|sh|nginx)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def program() -> tuple[str, str]:
    """What the shell runs first, and then one program for Node.js, with all examples, each in a block of its own."""
    before: list[str] = []
    module = ['import { execFileSync } from "node:child_process";']
    functions = "".join(text for language, text in examples() if language == "sh" and DEFINES.match(text))
    for number, (language, text) in enumerate(examples(), 1):
        if language == "nginx" or text.startswith(OF_PAGES) or DEFINES.match(text):
            continue
        said = f"console.log({json.dumps(f'-- example {number}: {text.splitlines()[0]}')});"
        if language == "sh" and len(module) == 1:
            before.append(text)
        elif language == "sh":
            words = json.dumps(["-euo", "pipefail", "-c", functions + text])
            module.append(f'{said}\nexecFileSync("bash", {words}, {{ stdio: "inherit" }});')
        else:
            module.append(text if "import " in text else f"{said}\n{{\n{text}}}")
    return "".join(before), "\n".join(module)


@needs("node", "bash", "curl")
class ExamplesTests(CrawledTestCase):
    """The examples for Node.js and the shell."""

    def add_account(self) -> None:
        """The one that they are about, and what it may see."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "VALUES ('me', 'gitlab-onprem', 'https://gitlab.example.org', 'glpat-old')"
        )
        place = "'https://gitlab.example.org', 'acme/shop'"
        self.query(f"INSERT INTO areas (gitlab_origin, full_path, name, type) VALUES ({place}, 'Shop', 'project')")
        self.query(f"INSERT INTO area_authorizations (account_id, gitlab_origin, full_path) VALUES ('me', {place})")

    @in_reactor()
    async def test_examples(self) -> None:
        """They work, and operations change what they are about: a failed job, a stuck one, old ones."""
        node = await self.crawled()
        for path in ("acme/broken", "acme/stuck"):
            self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('me', 'issues', %s)", path)
        await until(lambda: self.count("failed") == self.count("running") == 1, "one has failed, one is stuck")
        self.query("UPDATE jobs SET updated_at = now() - interval '2 hours' WHERE full_path = 'acme/stuck'")

        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        before, module = (text.replace(ADDRESS, f"127.0.0.1:{node.port}") for text in program())
        (directory / "package.json").write_text('{"type": "module"}', "utf-8")
        (directory / "examples.js").write_text(module, "utf-8")
        command = ["/bin/bash", "-euo", "pipefail", "-c", f"{before}\nexec node examples.js"]
        run, _ = run_for(self, command, {"COPILOT_HTTP_TOKEN": TOKEN}, directory)
        status = await run.ended
        self.assertEqual(status, 0, (run.out + run.err).decode())

        changed: list[Any] = self.query("SELECT action, status, changed FROM operations ORDER BY created_at, id")
        self.assertEqual(
            changed,
            [
                ("retry", "done", {"failed": 1}),
                ("recover", "done", {"running": 1}),
                ("cancel", "done", {"queued": 4}),
                ("delete", "done", {"cancelled": 2}),
                ("delete", "done", {"cancelled": 1}),
                ("retry", "done", {"failed": 1}),
            ],
        )


class BesideApplication(Nginx):
    """nginx with the locations of the example, before the web application at *port*."""

    def __init__(self, node_port: int, port: int) -> None:
        self._application = f"127.0.0.1:{port}"
        super().__init__(node_port)

    def _site(self, node_port: int) -> str:
        [locations] = [text for language, text in examples() if language == "nginx"]
        instead_of = "    location / {\n        proxy_pass http://copilot_socket;\n    }\n"
        return replaced(
            super()._site(node_port), instead_of, replaced(locations, "127.0.0.1:8080", self._application)
        )


class Application(Data):
    """A page of the web application, with a policy."""

    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        """The page."""
        request.setHeader("Content-Security-Policy", "default-src 'self'")
        return super().render_GET(request)


@needs("nginx", "curl", "openssl")
class NginxTests(CrawledTestCase):
    """The example for nginx."""

    @in_reactor()
    async def test_locations(self) -> None:
        """API, client and live events are the node's, all else is the web application's; cookies are for https."""
        node = await self.node()
        port = reactor.listenTCP(0, Site(Application(b"a page", "text/html")), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        nginx = BesideApplication(node.port, port.getHost().port)
        self.addCleanup(nginx.stop)
        self.assertNotIn("[warn]", nginx.check())
        await nginx.start()
        bearer = ("--header", f"Authorization: Bearer {TOKEN}")

        async def answer(path: str, *words: str) -> str:
            program = nginx.curl(path, "--include", *words)
            await program.ended
            return program.out.decode()

        for path, expected in (
            ("/", "content-security-policy: default-src 'self'\r\n"),
            ("/client.js", "cache-control: no-cache\r\n"),
            ("/api/v1/stats", '"queue"'),
            ("/api/v1/events", "retry: 2000\n"),
        ):
            self.assertIn(expected, await answer(path, "--max-time", "2", *bearer))
        session = await answer("/api/v1/session", "--request", "POST", *bearer)
        self.assertRegex(session, "set-cookie: copilot_session=.*; Secure")


@in_chromium
class PageTests(CrawledTestCase):
    """The example for pages."""

    @in_reactor()
    async def test_page(self) -> None:
        """With a session it shows whose that is, and it ends it."""
        [script] = [text for _, text in examples() if text.startswith(OF_PAGES)]
        node = await self.crawled()
        titles = await deferToThread(_log_out, f"http://127.0.0.1:{node.port}", script)
        self.assertEqual(titles, ["admin of everything", []])


def _log_out(origin: str, script: str) -> list[Any]:
    """The title of the page, and the cookies after it has logged out."""
    with chromium_page() as page:
        put_page(page, script)
        page.context.request.post(f"{origin}/api/v1/session", headers={"Authorization": f"Bearer {TOKEN}"})
        assert page.context.cookies()
        page.goto(f"{origin}/page")
        title = wait_for(page, page.title)
        page.click("#log-out")
        wait_for(page, lambda: not page.context.cookies())
        return [title, page.evaluate("window.faults")]
