"""Who is let in, without and with a token, and what browsers may do."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config.parsers import LONGEST_TOKEN
from copilot_socket.http.gate import Gate, RequestHead, host_name
from copilot_socket.http.messages import Problem
from tests.http.harness import ACCOUNT, SiteTestCase

STATS = "/api/v1/stats"
OPEN = ("/health/socket", "/health/live", "/health/ready")


def is_refused(head: RequestHead) -> bool:
    """Whether a gate without a token refuses *head*."""
    try:
        Gate(None).admit(head)
    except Problem:
        return True
    return False


class LoopbackTests(SiteTestCase):
    """Without a token."""

    async def test_loopback_names(self) -> None:
        """Every loopback name of this machine is answered, with or without a port."""
        for host in ("127.0.0.1", "127.9.9.9:80", "localhost", "LocalHost:3000", "[::1]", "[::1]:3000"):
            answer = await self.get(STATS, headers={"Host": host})
            self.assertEqual(answer.status, 200, host)

    async def test_other_hosts(self) -> None:
        """Another name, as a page with a rebound name would send, is refused, naming the variable."""
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "a@localhost",
        ):
            answer = await self.get(STATS, headers={"Host": host})
            self.assertEqual(answer.status, 403, host)
            self.assertIn("COPILOT_HTTP_TOKEN", answer.document["detail"])

    async def test_no_host(self) -> None:
        """No Host, or two, is no loopback Host."""
        for hosts in (b"", b"Host: localhost\r\nHost: evil\r\n"):
            received = await self.raw(b"GET /api/v1/stats HTTP/1.0\r\n" + hosts + b"\r\n")
            self.assertTrue(received.startswith(b"HTTP/1.0 403 ") or received.startswith(b"HTTP/1.1 4"), received)

    async def test_proxied(self) -> None:
        """Whatever came through a proxy is refused."""
        for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-anything"):
            self.assertEqual((await self.get(STATS, headers={name: "1.2.3.4"})).status, 403, name)

    async def test_health_is_open(self) -> None:
        """Health answers everyone; metrics do not."""
        for path in OPEN:
            self.assertEqual((await self.get(path, headers={"Host": "node-7:3000"})).status, 200, path)
        self.assertEqual((await self.get("/metrics", headers={"Host": "node-7:3000"})).status, 403)

    async def test_unknown_paths(self) -> None:
        """Who is not let in does not learn what exists."""
        self.assertEqual((await self.get("/api/v1/none", headers={"Host": "evil"})).status, 403)

    async def test_other_origins(self) -> None:
        """A page of another origin can't write; our own can."""
        for origin in ("https://evil.example", "null", f"http://localhost:{self.number}", "http://127.0.0.1"):
            answer = await self.request("PUT", "/api/v1/accounts/a", json=ACCOUNT, headers={"Origin": origin})
            self.assertEqual(answer.status, 403, origin)
        ours = {"Origin": f"http://127.0.0.1:{self.number}"}
        answer = await self.request("PUT", "/api/v1/accounts/a", json=ACCOUNT, headers=ours)
        self.assertEqual(answer.status, 201)
        self.assertIsNone(answer.header("Access-Control-Allow-Origin"))

    async def test_other_sites(self) -> None:
        """Browsers say where a request comes from even where they name no origin."""
        for site, status in (
            ("cross-site", 403),
            ("same-site", 403),
            ("x", 403),
            ("same-origin", 201),
            ("none", 200),
        ):
            headers = {"Sec-Fetch-Site": site}
            answer = await self.request("PUT", "/api/v1/accounts/a", json=ACCOUNT, headers=headers)
            self.assertEqual(answer.status, status, site)
        self.assertEqual((await self.get("/api/v1/accounts", headers={"Sec-Fetch-Site": "cross-site"})).status, 200)

    async def test_security_headers(self) -> None:
        """On every answer, a refusal too: nothing is kept, framed, run, or read by other sites' pages."""
        for path in ("/api/v1/accounts", "/none", "/health/live"):
            answer = await self.get(path)
            for name, value in (
                ("Cache-Control", "no-store"),
                ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("Referrer-Policy", "no-referrer"),
                ("X-Content-Type-Options", "nosniff"),
            ):
                self.assertEqual(answer.header(name), value, path)

    async def test_security_headers_of_an_early_answer(self) -> None:
        """One that comes before the end of the request."""
        answer = await self.request("POST", "/api/v1/jobs", data=b" " * 20_000_000)
        self.assertEqual((answer.status, answer.header("Referrer-Policy")), (413, "no-referrer"))

    async def test_cross_site_without_body(self) -> None:
        """An action without a body can't be set off by another origin either."""
        await self.account()
        job_id = await self.job()
        cancel = f"/api/v1/jobs/{job_id}/cancel"
        self.assertEqual((await self.post(cancel, headers={"Origin": "http://evil.example"})).status, 403)
        self.assertEqual(self.query("SELECT status FROM jobs"), [("queued",)])


class TokenTests(SiteTestCase):
    """With a token."""

    token = "s3cret-Token"

    async def test_token(self) -> None:
        """The right token opens, under any Host and through any proxy; nothing else does."""
        everywhere = {"Host": "jobs.example", "X-Forwarded-For": "1.2.3.4"}
        for scheme in ("Bearer", "bearer"):
            answer = await self.get(STATS, headers=everywhere | {"Authorization": f"{scheme} {self.token}"})
            self.assertEqual(answer.status, 200)
        for credential in ("", "Bearer", "Bearer s3cret", f"Basic {self.token}", f"Bearer {self.token}x", "Bearer ä"):
            answer = await self.get(STATS, headers={"Authorization": credential})
            self.assertEqual(answer.status, 401, credential)
            self.assertIn("Bearer", answer.header("WWW-Authenticate") or "")
            self.assertNotIn(b"s3cret", answer.body)

    async def test_metrics_and_health(self) -> None:
        """Metrics need the token, health does not."""
        self.assertEqual((await self.get("/metrics")).status, 401)
        for path in OPEN:
            self.assertEqual((await self.get(path)).status, 200)

    async def test_body_of_a_stranger(self) -> None:
        """The body of who is not let in is not read: the answer comes before it is sent."""
        received = await self.raw(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        self.assertTrue(received.startswith(b"HTTP/1.1 401 "), received)
        self.assertIn(b"WWW-Authenticate: Bearer", received)


class LongTokenTests(SiteTestCase):
    """The longest token that the configuration allows."""

    token = "t" * LONGEST_TOKEN

    async def test_token(self) -> None:
        """It opens as well."""
        answer = await self.get(STATS, headers={"Authorization": f"Bearer {self.token}"})
        self.assertEqual(answer.status, 200)


class HostTests(SynchronousTestCase):
    """Reading names and addresses."""

    def test_peers(self) -> None:
        """Only loopback addresses are this machine, an IPv4 one in IPv6 clothes included."""
        headers = {"host": ["localhost"]}
        for peer, refused in (
            ("127.0.0.1", False),
            ("::1", False),
            ("::ffff:127.0.0.1", False),
            ("::ffff:10.0.0.1", True),
            ("10.1.2.3", True),
            (None, True),
        ):
            self.assertEqual(is_refused(RequestHead("GET", peer, headers)), refused, peer)

    @given(st.text(max_size=30))
    def test_any_host(self, host: str) -> None:
        """Whatever is sent as Host is read without a crash, and a name read has no port."""
        name = host_name(host)
        self.assertTrue(name is None or ":" not in name or host.startswith("["))
