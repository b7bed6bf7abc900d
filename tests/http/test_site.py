"""The port itself: sizes of bodies, methods, paths, errors, health and metrics."""

import socket

import psycopg2
from prometheus_client import Counter
from twisted.internet.defer import fail
from twisted.internet.threads import deferToThread

from copilot_socket.http.requests import MAX_BODY
from copilot_socket.store.database import DatabaseAway
from tests.http.harness import AUTHORIZATION, SiteTestCase

POST = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + AUTHORIZATION


class BodyTests(SiteTestCase):
    """Bodies over 16 MiB."""

    def blocking(self, data: bytes) -> bytes:
        """Send everything, then read everything; to be called in a thread."""
        with socket.create_connection(("127.0.0.1", self.number), timeout=20) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    async def test_declared(self) -> None:
        """A length over the limit is refused before the body, without 100 Continue."""
        for more in (b"", b"Expect: 100-continue\r\n"):
            received = await self.raw(POST + more + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
            self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received)
            self.assertIn(b"application/problem+json", received)
            self.assertNotIn(b"100 Continue", received)

    async def test_declared_and_sent(self) -> None:
        """A client that sends all of it before it reads still learns why."""
        body = b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1) + b" " * (MAX_BODY + 1)
        received = await deferToThread(self.blocking, POST + body)
        self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received)

    async def test_chunked(self) -> None:
        """A chunked body is refused as soon as it is over the limit, not at its end."""
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        received = await self.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 16, b"1\r\n \r\n")
        self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received)

    async def test_largest(self) -> None:
        """A body of exactly the limit is read."""
        body = b"Connection: close\r\nContent-Length: %d\r\n\r\n[" % MAX_BODY + b" " * (MAX_BODY - 2) + b"]"
        received = await deferToThread(self.blocking, POST + body)
        self.assertTrue(received.startswith(b"HTTP/1.1 200 "), received)

    async def test_others_go_on(self) -> None:
        """A refused connection does not affect others."""
        await self.raw(POST + b"Content-Length: 999999999999\r\n\r\n")
        self.assertEqual((await self.get("/health/live")).status, 200)


class RouteTests(SiteTestCase):
    """Methods and paths."""

    async def test_not_found(self) -> None:
        """What is not in the table is 404, as a problem document."""
        for path in (
            "/none",
            "/api",
            "/api/v1/jobs/",
            "//api/v1/jobs",
            "/api/v1/events/",
            "/%ff",
            "/api/v1/accounts//x",
        ):
            answer = await self.get(path)
            self.assertEqual(answer.status, 404, path)
            self.assertEqual(answer.header("content-type"), "application/problem+json")
            self.assertEqual((answer.document["title"], answer.document["detail"]), ("Not Found", "No such resource"))

    async def test_no_page(self) -> None:
        """Such an address shows the dashboard in a browser, with or without access; those of the API do not."""
        browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        for path in ("/none", "/jobs/", "/jobs/x/y", "/%ff", "/dashboard/none.js"):
            for authorization in ({}, {"Authorization": None}):
                answer = await self.get(path, headers={**browser, **authorization})
                if path.startswith("/dashboard"):
                    self.assertEqual(answer.header("content-type"), "application/problem+json")
                    continue
                self.assertEqual(
                    (answer.status, answer.header("content-type")), (404, "text/html; charset=utf-8"), path
                )
                self.assertIn("script-src 'self'", answer.header("content-security-policy") or "")
        for path, method in (("/api/v1/none", "GET"), ("/none", "POST")):
            answer = await self.request(method, path, headers=browser)
            self.assertEqual((answer.status, answer.header("content-type")), (404, "application/problem+json"), path)

    async def test_methods(self) -> None:
        """Another method is 405 and names what is allowed."""
        for method, path, allow in (
            ("DELETE", "/api/v1/jobs", "GET, HEAD, POST"),
            ("OPTIONS", "/api/v1/jobs", "GET, HEAD, POST"),
            ("GET", "/api/v1/jobs/x/cancel", "POST"),
            ("POST", "/api/v1/accounts/x", "DELETE, GET, HEAD, PATCH, PUT"),
            ("get", "/metrics", "GET, HEAD"),
        ):
            answer = await self.request(method, path) if method.isupper() else None
            if answer is None:
                received = await self.raw(b"get /metrics HTTP/1.0\r\nHost: localhost\r\n" + AUTHORIZATION + b"\r\n")
                self.assertIn(b" 405 ", received)
                continue
            self.assertEqual((answer.status, answer.header("Allow")), (405, allow), path)
            self.assertEqual(answer.document["detail"], f"Method not allowed; use {allow}")

    async def test_head(self) -> None:
        """HEAD is GET without the body."""
        answer = await self.request("HEAD", "/api/v1/stats")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertNotEqual(answer.header("content-length"), "0")

    async def test_database_away(self) -> None:
        """Without the database the API says to come back, and health still answers."""
        for error in (DatabaseAway("gone"), psycopg2.OperationalError("gone")):
            self.patch(self.database, "query", lambda *_args, error=error: fail(error))
            answer = await self.get("/api/v1/accounts")
            self.assertEqual((answer.status, answer.header("Retry-After")), (503, "1"))
            self.assertEqual((await self.get("/health/live")).status, 200)

    async def test_crash(self) -> None:
        """An unexpected exception is a 500 without details, logged once."""
        self.patch(self.database, "query", lambda *_args: fail(RuntimeError("inner secret")))
        answer = await self.get("/api/v1/accounts")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"inner", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class HealthTests(SiteTestCase):
    """Health and metrics."""

    async def test_healthy(self) -> None:
        """The exact shape while all is well."""
        answer = await self.get("/health/socket")
        stamp = answer.document.pop("timestamp")
        self.assertEqual((answer.status, stamp), (200, "2026-01-05T10:00:00Z"))
        self.assertEqual(answer.header("Date"), "Mon, 05 Jan 2026 10:00:00 GMT")
        self.assertEqual(
            answer.document,
            {
                "status": "healthy",
                "socket_server": {"running": True, "connections": 3, "active_connections": 2, "uptime": 12.5},
                "database": self.health.database,
            },
        )

    async def test_unhealthy(self) -> None:
        """503 and the reason when the node can't do its work; it still lives."""
        for running, error in ((True, "the database is away"), (False, None)):
            self.health.running, self.health.error = running, error
            answer = await self.get("/health/socket")
            self.assertEqual((answer.status, answer.document["status"]), (503, "unhealthy"))
            self.assertEqual(answer.document["error"], error or "not listening for crawlers")
            self.assertEqual((await self.get("/health/ready")).status, 503)
            self.assertEqual((await self.get("/health/live")).status, 200)

    async def test_metrics(self) -> None:
        """The registry in Prometheus' format."""
        Counter("things", "Things.", registry=self.registry).inc(3)
        answer = await self.get("/metrics")
        self.assertIn(b"things_total 3.0", answer.body)
        self.assertTrue((answer.header("content-type") or "").startswith("text/plain; version="))

    async def test_metrics_off(self) -> None:
        """Without a registry there are no metrics."""
        self.registry = None
        self.listen()
        self.assertEqual((await self.get("/metrics")).status, 404)
