"""The files of the JavaScript client: served, complete, and up to date."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from copilot_socket.http.typescript import declarations
from tests.http.conformity import description
from tests.http.harness import SiteTestCase

WEB = Path(copilot_socket.__file__).parent / "web"
CLIENT, TYPES = WEB / "client.js", WEB / "types.d.ts"
STRANGER = {"Authorization": None}
PAGE = "https://app.example"
NO_METHOD = {"GET /events", "GET /openapi.json"}
"""What is no method of the table: live events have one of their own, and the description is for other tools."""


class FileTests(SynchronousTestCase):
    """The files themselves."""

    def test_types(self) -> None:
        """types.d.ts is what the code makes (``python -m copilot_socket.http.typescript``, into the file)."""
        self.assertEqual(TYPES.read_text("utf-8"), declarations(description()))

    def test_every_endpoint(self) -> None:
        """Each endpoint of the API is one method of the client."""
        named = re.findall(r'"((?:GET|POST|PUT|PATCH|DELETE) /[^"]*)"', _without_comments(CLIENT.read_text("utf-8")))
        there = {
            f"{method.upper()} {path.removeprefix('/api/v1')}"
            for path, methods in description()["paths"].items()
            if path.startswith("/api/v1/")
            for method in methods
        }
        self.assertCountEqual([each for each in named if each not in NO_METHOD], there - NO_METHOD)

    def test_one_argument(self) -> None:
        """No endpoint takes both a query and a body, for which a method has one argument."""
        for path, methods in description()["paths"].items():
            for method, operation in methods.items():
                query = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
                takes = "query" if query else "body" if "requestBody" in operation else None
                sends = "query" if method in {"get", "delete"} else "body"
                self.assertIn(takes, (None, sends), f"{method} {path}")
                self.assertFalse(query and "requestBody" in operation, f"{method} {path}")


class ServedTests(SiteTestCase):
    """The files over HTTP, at a node that lets pages of one origin in."""

    origins = frozenset({PAGE})

    async def test_open(self) -> None:
        """Everybody gets them, as what they are, whatever the query."""
        for path, file, content_type in (
            ("/client.js", CLIENT, "text/javascript; charset=utf-8"),
            ("/client.js?version=1", CLIENT, "text/javascript; charset=utf-8"),
            ("/types.d.ts", TYPES, "text/plain; charset=utf-8"),
        ):
            answer = await self.get(path, headers=STRANGER)
            self.assertEqual((answer.status, answer.header("Content-Type")), (200, content_type))
            self.assertEqual(answer.body, file.read_bytes())
        self.assertEqual((await self.post("/client.js")).status, 405)

    async def test_kept(self) -> None:
        """Who has the file learns that it is still the same; who has another one gets it."""
        first = await self.get("/client.js", headers=STRANGER)
        etag = first.header("ETag") or ""
        self.assertEqual(first.header("Cache-Control"), "no-cache")
        self.assertNotEqual(etag, (await self.get("/types.d.ts")).header("ETag"))
        answer = await self.get("/client.js", headers=STRANGER | {"If-None-Match": f'"other", W/{etag}'})
        self.assertEqual((answer.status, answer.body), (304, b""))
        self.assertEqual((answer.header("ETag"), answer.header("Cache-Control")), (etag, "no-cache"))
        answer = await self.get("/client.js", headers=STRANGER | {"If-None-Match": '"other"'})
        self.assertEqual((answer.status, answer.body), (200, first.body))

    async def test_other_origins(self) -> None:
        """Pages of allowed origins may import it, others not."""
        for origin, allowed in ((PAGE, PAGE), ("https://evil.example", None)):
            answer = await self.get("/client.js", headers=STRANGER | {"Origin": origin})
            self.assertEqual(answer.header("Access-Control-Allow-Origin"), allowed)
            self.assertEqual(answer.header("Vary"), "Origin")


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
