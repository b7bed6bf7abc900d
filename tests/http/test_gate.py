"""Who is let in: tokens, local users, browsers' pages; and what strangers see."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config.parsers import LONGEST_TOKEN
from copilot_socket.core.access import Grant, KnownToken, Role, TokenBook, hash_of
from copilot_socket.core.actors import Actor
from copilot_socket.core.rate import WRONG_TOKENS
from copilot_socket.event_bus import Refused
from copilot_socket.http.gate import COOKIE, FILES, Gate, RequestHead, host_name
from copilot_socket.http.messages import Problem
from copilot_socket.http.routes import Route
from tests.http.harness import ACCOUNT, TOKEN, SiteTestCase

STATS = "/api/v1/stats"
OPEN = ("/health/live", "/health/ready", "/health/socket")
STRANGER = {"Authorization": None}


async def _unused(_call: Any) -> Any:
    raise AssertionError


class TokenTests(SiteTestCase):
    """The token of the configuration."""

    token = "s3cret-Token"

    async def test_token(self) -> None:
        """The right token opens, under any Host and through any proxy; nothing else does."""
        everywhere = {"Host": "jobs.example", "X-Forwarded-For": "1.2.3.4"}
        for scheme in ("Bearer", "bearer"):
            answer = await self.get(STATS, headers=everywhere | {"Authorization": f"{scheme} {self.token}"})
            self.assertEqual(answer.status, 200)
        for credential in (None, "", "Bearer", f"Basic {self.token}", "Bearer s3cret", f"Bearer {self.token}x"):
            answer = await self.get(STATS, headers={"Authorization": credential})
            self.assertEqual(answer.status, 401, credential)
            self.assertIn("Bearer", answer.header("WWW-Authenticate") or "")
            self.assertNotIn(b"s3cret", answer.body)

    async def test_refusals_are_published(self) -> None:
        """With reason, who it was, from where, and what was asked for."""
        await self.get(STATS, headers=STRANGER)
        await self.get(STATS, headers={"Authorization": "Bearer wrong"})
        # A page that asks who is signed in, before anybody is.
        self.assertEqual((await self.get("/api/v1/session", headers=STRANGER)).status, 401)
        refusals = [each for each in self.events if isinstance(each, Refused)]
        self.assertEqual(
            refusals,
            [
                Refused("http", "no_token", "stranger", "127.0.0.1", f"GET {STATS}"),
                Refused("http", "wrong_token", "stranger", "127.0.0.1", f"GET {STATS}"),
            ],
        )

    async def test_health_of_strangers(self) -> None:
        """They learn the state, and nothing else."""
        self.health.error = "database unavailable"
        for path, status, document in (
            ("/health/live", 200, {"status": "live"}),
            ("/health/ready", 503, {"status": "not ready"}),
            ("/health/socket", 503, {"status": "unhealthy"}),
        ):
            for headers in (STRANGER, {"Authorization": "Bearer wrong"}):
                answer = await self.get(path, headers={"Host": "node-7:3000"} | headers)
                self.assertEqual((answer.status, answer.document), (status, document))
        self.assertEqual((await self.get("/health/ready")).document["error"], "database unavailable")

    async def test_metrics(self) -> None:
        """They are open to this machine, but not through a proxy on it, nor under a name that was pointed at it."""
        for host in ("127.0.0.1", "127.9.9.9:80", "localhost", "LocalHost:3000", "[::1]", "[::1]:3000"):
            self.assertEqual((await self.get("/metrics", headers={"Host": host} | STRANGER)).status, 200, host)
        for host in ("evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "a@localhost"):
            self.assertEqual((await self.get("/metrics", headers={"Host": host} | STRANGER)).status, 401, host)
        for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-anything"):
            self.assertEqual((await self.get("/metrics", headers={name: "1.2.3.4"} | STRANGER)).status, 401, name)
            self.assertEqual((await self.get("/metrics", headers={name: "1.2.3.4"})).status, 200, name)

    async def test_metrics_without_host(self) -> None:
        """No Host, or two, is no loopback Host."""
        for hosts in (b"", b"Host: localhost\r\nHost: evil\r\n"):
            received = await self.raw(b"GET /metrics HTTP/1.0\r\n" + hosts + b"\r\n")
            self.assertTrue(received.startswith(b"HTTP/1.0 401 ") or received.startswith(b"HTTP/1.1 4"), received)

    async def test_unknown_paths(self) -> None:
        """Who is not let in does not learn what exists."""
        self.assertEqual((await self.get("/api/v1/none", headers=STRANGER)).status, 401)
        self.assertEqual((await self.get("/api/v1/none")).status, 404)

    async def test_body_of_a_stranger(self) -> None:
        """The body of who is not let in is not read: the answer comes before it is sent."""
        received = await self.raw(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        self.assertTrue(received.startswith(b"HTTP/1.1 401 "), received)
        self.assertIn(b"WWW-Authenticate: Bearer", received)
        refusals = [each for each in self.events if isinstance(each, Refused)]
        self.assertEqual(refusals, [Refused("http", "no_token", "stranger", "127.0.0.1", "POST")])

    async def test_before_the_tokens_are_read(self) -> None:
        """An unknown token or session may be a good one: try again later. Nobody is signed out by a restart."""
        self.access.book.read = False
        for sent in ({"Authorization": "Bearer other"}, {**STRANGER, "Cookie": f"{COOKIE}=other"}):
            for path in (STATS, "/api/v1/session"):
                answer = await self.get(path, headers=sent)
                self.assertEqual((answer.status, answer.header("Retry-After")), (503, "1"), sent)
        self.assertEqual([each for each in self.events if isinstance(each, Refused)], [])
        self.assertEqual((await self.get(STATS)).status, 200)
        self.access.book.read = True
        self.assertEqual((await self.get(STATS, headers=sent)).status, 401)


class LongTokenTests(SiteTestCase):
    """The longest token that the configuration allows."""

    token = "t" * LONGEST_TOKEN

    async def test_token(self) -> None:
        """It opens as well."""
        self.assertEqual((await self.get(STATS)).status, 200)


class RateTests(SiteTestCase):
    """Clients without a valid token are limited, others never."""

    rate = 3

    async def test_strangers(self) -> None:
        """So many requests a second; then 429, on open paths too."""
        found = [(await self.get(OPEN[0], headers=STRANGER)).status for _ in range(5)]
        self.assertEqual(found[:3], [200, 200, 200])
        answer = await self.get(STATS, headers=STRANGER)
        self.assertIn(429, [*found, answer.status])
        self.assertEqual({(await self.get(STATS)).status for _ in range(8)}, {200})


class GateTests(SynchronousTestCase):
    """Decisions on heads of requests."""

    def setUp(self) -> None:
        """A gate with one token, a clock, and what it publishes."""
        self.now = 100.0
        self.refused: list[Refused] = []
        self.book = TokenBook(TOKEN)
        self.book.replace((), ())
        self.gate = Gate(self.book, frozenset({0, 7}), frozenset(), 0, self.refused.append, lambda: self.now)

    def status(self, head: RequestHead, route: Route | None = None) -> int:
        """200, or that of the refusal."""
        visitor = self.gate.visitor(head)
        try:
            self.gate.count(head, visitor, route)
            self.gate.admit(head, visitor, route)
        except Problem as problem:
            return problem.status
        return 200

    def head(self, peer: str | None = "192.0.2.1", method: str = "GET", **headers: str) -> RequestHead:
        """A head with *headers*; an underscore stands for a hyphen."""
        return RequestHead(method, peer, {name.replace("_", "-"): [value] for name, value in headers.items()})

    def test_local_users(self) -> None:
        """The node's own user and root need no token on the socket; others do, and may have one."""
        for uid, status in ((0, 200), (7, 200), (8, 401)):
            self.assertEqual(self.status(RequestHead("GET", None, {}, uid)), status, uid)
        self.assertEqual(self.status(RequestHead("GET", None, {"authorization": [f"Bearer {TOKEN}"]}, 8)), 200)
        self.assertEqual(self.refused[0].address, "uid:8 on http.sock")
        self.assertEqual(self.gate.visitor(RequestHead("GET", None, {}, 7)).actor, Actor("uid:7", "http.sock"))

    def test_wrong_tokens(self) -> None:
        """After some a minute a client gets 429 for them, but never for the right one, nor do others."""
        wrong = self.head(authorization="Bearer wrong")
        statuses = [self.status(wrong) for _ in range(WRONG_TOKENS + 3)]
        self.assertEqual(statuses, [401] * WRONG_TOKENS + [429] * 3)
        self.assertEqual(self.status(self.head(authorization=f"Bearer {TOKEN}")), 200)
        self.assertEqual(self.status(self.head("192.0.2.2", authorization="Bearer wrong")), 401)
        self.now += 60.0 / WRONG_TOKENS
        self.assertEqual([self.status(wrong), self.status(wrong)], [401, 429])
        self.assertEqual({each.reason for each in self.refused}, {"wrong_token", "too_many_wrong_tokens"})

    def test_clients(self) -> None:
        """A proxy on this machine names its clients; a remote one can't choose its name."""
        for peer, forwarded, client in (
            ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "nonsense", "127.0.0.1"),
            ("127.0.0.1", "203.0.113.9\n198.51.100.1", "198.51.100.1"),
            ("203.0.113.1", "203.0.113.9", "203.0.113.1"),
            ("::ffff:203.0.113.1", "", "203.0.113.1"),
            ("2001:db8::1:2:3:4", "", "2001:db8::/64"),
            (None, "", "local"),
        ):
            headers = {"x-forwarded-for": forwarded.split("\n")} if forwarded else {}
            self.assertEqual(RequestHead("GET", peer, headers).client, client)

    def test_open_routes_have_a_limit_of_their_own(self) -> None:
        """Probes of the node's health get through a flood of other requests from their address."""
        self.gate = Gate(self.book, frozenset(), frozenset(), 2, self.refused.append, lambda: self.now)
        health = Route("GET", "/health/live", _unused, needs=None)
        self.assertEqual([self.status(self.head()) for _ in range(4)], [401, 401, 429, 429])
        self.assertEqual([self.status(self.head(), health) for _ in range(3)], [200, 200, 429])

    def test_files_of_the_dashboard(self) -> None:
        """A page asks for all its files at once: these have a limit of their own, and a flood of them ends there."""
        self.gate = Gate(self.book, frozenset(), frozenset(), 2, self.refused.append, lambda: self.now)
        file = Route("GET", "/dashboard/{name}", _unused, needs=None, file=True)
        self.assertEqual([self.status(self.head()) for _ in range(3)], [401, 401, 429])
        found = [self.status(self.head(), file) for _ in range(2 * FILES + 1)]
        self.assertEqual(found, [200] * 2 * FILES + [429])

    def test_made_up_methods(self) -> None:
        """They are one kind of refusal: nobody can make up many."""
        for method in ("GO1", "GO2", "GET"):
            self.status(self.head(method=method))
        self.assertEqual([each.what for each in self.refused], ["unknown method", "unknown method", "GET"])

    def test_roles(self) -> None:
        """Each role includes those before it, and no more."""
        for role in Role:
            hashed = hash_of(str(role))
            self.book.replace([KnownToken(hashed, Grant(f"token:{role}", role), None)], ())
            for needs in Role:
                route = Route("GET", "/x", _unused, needs=needs)
                status = self.status(self.head(authorization=f"Bearer {role}"), route)
                self.assertEqual(status, 200 if role >= needs else 403, (role, needs))

    def test_expiry(self) -> None:
        """A token is good until it expires."""
        self.book.replace([KnownToken(hash_of("t"), Grant("token:t", Role.READ), 160.0)], ())
        head = self.head(authorization="Bearer t")
        self.assertEqual(self.status(head), 200)
        self.now = 160.0
        self.assertEqual(self.status(head), 401)

    def test_peers(self) -> None:
        """Only loopback addresses are this machine, an IPv4 one in IPv6 clothes included."""
        route = Route("GET", "/metrics", _unused, local=True)
        for peer, status in (
            ("127.0.0.1", 200),
            ("::1", 200),
            ("::ffff:127.0.0.1", 200),
            ("::ffff:10.0.0.1", 401),
            ("10.1.2.3", 401),
            (None, 401),
        ):
            self.assertEqual(self.status(self.head(peer, host="localhost"), route), status, peer)

    @given(
        st.dictionaries(st.sampled_from(["authorization", "cookie", "x-forwarded-for", "host", "origin"]), st.text())
    )
    def test_any_headers(self, headers: dict[str, str]) -> None:
        """Whatever a stranger sends, it gets in nowhere and breaks nothing."""
        head = RequestHead("POST", "127.0.0.1", {name: [value] for name, value in headers.items()})
        self.assertIn(self.status(head), (401, 429))

    @given(st.text(max_size=30))
    def test_any_host(self, host: str) -> None:
        """Whatever is sent as Host is read without a crash, and a name read has no port."""
        name = host_name(host)
        self.assertTrue(name is None or ":" not in name or host.startswith("["))


class PageTests(SiteTestCase):
    """Pages in browsers."""

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
