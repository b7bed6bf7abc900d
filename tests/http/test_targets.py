"""The forms of a request's target."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http.messages import Problem
from copilot_socket.http.targets import Target, target
from tests.http.harness import TOKEN, SiteTestCase


class TargetTests(SynchronousTestCase):
    """What a target means."""

    def test_forms(self) -> None:
        """The path alone, the whole URL, or the server itself."""
        for method, uri, expected in (
            ("GET", "/health/live", Target("/health/live", "")),
            ("GET", "/a?b=/?c", Target("/a", "b=/?c")),
            ("GET", "//x/y", Target("//x/y", "")),
            ("GET", "http://h:3000/a%2Fb?c=d", Target("/a%2Fb", "c=d", "h:3000")),
            ("GET", "HTTPS://[::1]:3000", Target("/", "", "[::1]:3000")),
            ("GET", "http://h?c=http://x/", Target("/", "c=http://x/", "h")),
            ("OPTIONS", "*", Target("*", "")),
        ):
            self.assertEqual(target(method, uri), expected, uri)

    def test_others(self) -> None:
        """Anything else is refused."""
        for method, uri in (
            ("GET", "*"),
            ("GET", "health/live"),
            ("GET", "http:///path"),
            ("GET", "http://user:password@h/"),
            ("GET", "ftp://h/"),
            ("CONNECT", "h:443"),
            ("GET", ""),
        ):
            self.assertEqual(self.assertRaises(Problem, target, method, uri).status, 400, uri)


class RequestTests(SiteTestCase):
    """Whole requests."""

    async def ask(self, line: str, host: str = "localhost", authorization: str = f"Bearer {TOKEN}") -> str:
        """The status line and head of the answer to a request line."""
        request = f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n"
        return (await self.raw(request.encode())).decode().partition("\r\n\r\n")[0]

    async def test_absolute_form(self) -> None:
        """It is answered like its path, and its host replaces the Host header."""
        self.assertIn(" 200 ", await self.ask("GET http://any.example/health/live"))
        self.assertIn(" 200 ", await self.ask("GET http://localhost:1/api/v1/jobs?limit=1"))
        self.assertIn(" 200 ", await self.ask("GET http://127.0.0.1/metrics", "evil.example", ""))
        self.assertIn(" 401 ", await self.ask("GET http://evil.example/metrics", "localhost", ""))
        self.assertIn(" 404 ", await self.ask("GET http://localhost/nothing"))

    async def test_the_server_itself(self) -> None:
        """OPTIONS * says which methods there are."""
        answer = await self.ask("OPTIONS *")
        self.assertIn(" 204 ", answer)
        self.assertIn("Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", answer)
        self.assertIn(" 400 ", await self.ask("GET *"))
