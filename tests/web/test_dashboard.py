"""The dashboard's page and files: served to everybody, with the right headers, and no other files."""

import gzip
import re
from pathlib import Path
from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from copilot_socket.http.dashboard import PAGES, POLICY, load
from tests.http.test_compression import ExchangeTestCase

PLACE = Path(copilot_socket.__file__).parent / "dashboard"
STRANGER = {"Authorization": None}
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
PREACT = "/dashboard/vendor/preact.js"
LIBRARIES = ("vendor/hooks.js", "vendor/htm.js", "vendor/preact.js", "vendor/uplot.js", "vendor/uplot.css")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
IMPORT = re.compile(r"""(?:^\s*(?:import|export)\b(?:[^"';]*\bfrom)?|\bimport\()\s*["']([^"']+)["']""", re.MULTILINE)


def served() -> dict[str, Path]:
    """The files that are served, by their URLs."""
    own = [path for path in PLACE.glob("*") if path.is_file()]
    own += [path for path in PLACE.glob("*/*") if path.parent.name != "node_modules"]
    return {f"/dashboard/{path.relative_to(PLACE)}": path for path in own if path.suffix in TYPES}


class LoadTests(SynchronousTestCase):
    """What is read at the start."""

    def test_found(self) -> None:
        """Files of the known kinds, at most one folder deep, none of npm's."""
        place = Path(self.mktemp())
        for name in (
            *("index.html", "a.js", "b.css", "package.json", "tsconfig.json", "types.d.ts"),
            *("ui/c.js", "ui/deep/d.js", "node_modules/e.js"),
        ):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("<p><!-- modules --></p>")
        found = load(place)
        self.assertEqual(set(found.files), {"a.js", "b.css", "ui/c.js"})

    def test_listed(self) -> None:
        """The page lists the modules that main.js imports, and that these import, but not those of single pages."""
        place = Path(self.mktemp())
        for name, text in {
            "index.html": "<p><!-- modules --></p>",
            "main.js": '/** @import { T } from "./t.js" */\nimport {\n a\n} from "./a.js";\nimport("./page.js");',
            "a.js": 'import{b}from"/dashboard/ui/b.js";\nexport { c } from "/client.js";',
            "ui/b.js": 'import { a } from "../a.js";',
            "page.js": 'import { a } from "./a.js";',
        }.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        urls = ("/client.js", "/dashboard/a.js", "/dashboard/main.js", "/dashboard/ui/b.js")
        links = "\n".join(f'<link rel="modulepreload" href="{url}">' for url in urls)
        self.assertEqual(load(place).page.content.decode(), f"<p>{links}</p>")

    def test_imports(self) -> None:
        """Each module imports only what is served, by relative or rooted URLs."""
        there = {*served(), "/client.js"}
        for url, path in served().items():
            if path.suffix == ".js":
                code = COMMENT.sub("", path.read_text("utf-8"))  # those import types
                for name in IMPORT.findall(code):
                    self.assertIn(urljoin(url, name) if name[0] in "./" else name, there, url)


class ServedTests(ExchangeTestCase):
    """The dashboard over HTTP."""

    async def test_pages(self) -> None:
        """Each path of a page answers the same page to everybody, under a strict policy."""
        bodies = set()
        for pattern in PAGES:
            path = re.sub(r"\{.*\}", "x%2Fy", pattern)
            answer = await self.get(f"{path}?status=failed&include&%ff", headers=STRANGER)
            self.assertEqual((answer.status, answer.header("Content-Type")), (200, "text/html; charset=utf-8"), path)
            for name, value in (
                ("Content-Security-Policy", POLICY),
                ("Cross-Origin-Opener-Policy", "same-origin"),
                ("Referrer-Policy", "same-origin"),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-cache"),
            ):
                self.assertEqual(answer.header(name), value)
            bodies.add(answer.body)
        self.assertEqual(len(bodies), 1)
        [body] = bodies
        listed = re.findall(r'<link rel="modulepreload" href="([^"]+)">', body.decode())
        self.assertLessEqual({"/client.js", "/dashboard/main.js", "/dashboard/ui/acts.js", PREACT}, {*listed})
        self.assertLessEqual({*listed}, {*served(), "/client.js"})
        self.assertFalse([url for url in listed if url.startswith("/dashboard/pages/")])
        self.assertNotIn(b"<!-- modules -->", body)
        self.assertNotRegex(body, b"(?i)<script(?![^>]* src=)|<style| style=| on[a-z]+=")  # which the policy forbids

    async def test_files(self) -> None:
        """Each file is answered to everybody, as what it is."""
        self.assertLessEqual({f"/dashboard/{name}" for name in LIBRARIES}, set(served()))
        for url, path in served().items():
            answer = await self.get(url, headers=STRANGER)
            self.assertEqual((answer.status, answer.header("Content-Type")), (200, TYPES[path.suffix]), url)
            self.assertEqual(answer.body, path.read_bytes())
            self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
            self.assertEqual(answer.header("Cache-Control"), "no-cache")

    async def test_compressed(self) -> None:
        """In gzip for those who accept it, under a tag of its own."""
        _, plain, expected = await self.exchange(PREACT, "identity")
        _, headers, body = await self.exchange(PREACT)
        self.assertEqual((plain.get("content-encoding"), headers["content-encoding"]), (None, ["gzip"]))
        self.assertEqual(gzip.decompress(body), expected)
        self.assertLess(len(body), len(expected) / 2)
        self.assertNotEqual(headers["etag"], plain["etag"])

    async def test_kept(self) -> None:
        """Who has a file or the page, in gzip or not, is told that it is the same, and else gets it."""
        for url, accepted in ((PREACT, "gzip"), (PREACT, "identity"), ("/jobs/1", "identity")):
            _, headers, body = await self.exchange(url, accepted)
            [tag] = headers["etag"]
            status, again, nothing = await self.exchange(url, accepted, **{"If-None-Match": tag})
            self.assertEqual((status, nothing, again["etag"]), (304, b"", [tag]))
            self.assertEqual(again["cache-control"], ["no-cache"])
            status, _, other = await self.exchange(url, accepted, **{"If-None-Match": '"other"'})
            self.assertEqual((status, other), (200, body))

    async def test_head(self) -> None:
        """HEAD answers the headers alone."""
        for url in ("/", "/dashboard/main.js"):
            _, expected, _ = await self.exchange(url)
            status, headers, body = await self.exchange(url, method="HEAD")
            expected["date"] = headers["date"]
            self.assertEqual((status, headers, body), (200, expected, b""))

    async def test_nothing_else(self) -> None:
        """What builds and checks the dashboard is not served, nor anything beside it."""
        for path in (
            *("package.json", "package-lock.json", "tsconfig.json", "index.html", "none.js", "vendor/stamp"),
            *("vendor", "vendor/none.js", "..%2Fweb%2Fclient.js", "%2e%2e/__init__.py", "vendor/..%2Fmain.js"),
        ):
            answer = await self.get(f"/dashboard/{path}", headers=STRANGER)
            self.assertEqual((answer.status, answer.document and answer.document["title"]), (404, "Not Found"), path)
        for path in ("/dashboard/", "/dashboard/vendor/x/preact.js", "/dashboard/../web/client.js", "/nothing"):
            self.assertEqual((await self.get(path, headers=STRANGER)).status, 401, path)
            self.assertEqual((await self.get(path)).status, 404, path)
        self.assertEqual((await self.post("/")).status, 405)
        self.assertEqual((await self.post("/dashboard/main.js")).status, 405)
