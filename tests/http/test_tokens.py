"""Tokens in the database: roles, limits to accounts and users, expiry; browsers' sessions."""

from typing import Any

import psycopg2
from twisted.internet.defer import Deferred

from copilot_socket.core.access import hash_of
from copilot_socket.event_bus import Refused
from copilot_socket.http.feed import KEEP_ALIVE
from copilot_socket.store.access import SESSIONS
from tests.http.harness import ACCOUNT, TOKEN, Answer, SiteTestCase
from tests.support.events import EventReader

TOKENS, SESSION = "/api/v1/tokens", "/api/v1/session"
JOBS = "/api/v1/jobs"


def bearer(token: str) -> dict[str, str | None]:
    """The headers of a request with *token*."""
    return {"Authorization": f"Bearer {token}"}


class TokenTestCase(SiteTestCase):
    """Makes tokens."""

    async def make(self, name: str, role: str, **more: Any) -> dict[str, str | None]:
        """The headers of requests with a new token."""
        answer = await self.post(TOKENS, {"name": name, "role": role, **more})
        self.assertEqual(answer.status, 201, answer.body)
        return bearer(answer.document["token"])


class TokenTests(TokenTestCase):
    """Tokens are made, shown once, used and revoked."""

    async def test_life(self) -> None:
        """A new token works at once, is listed without itself, and no more after it was revoked."""
        headers = await self.make("grafana", "read")
        self.assertEqual((await self.get("/api/v1/stats", headers=headers)).status, 200)
        secret = str(headers["Authorization"]).removeprefix("Bearer ")
        self.assertEqual(self.query("SELECT hash FROM http_tokens")[0][0].tobytes(), hash_of(secret))
        await self.access.look()
        [shown] = (await self.get(TOKENS)).document["tokens"]
        self.assertEqual(
            (shown["name"], shown["role"], shown["created_by"]), ("grafana", "read", "token:COPILOT_HTTP_TOKEN")
        )
        self.assertIsNotNone(shown["last_used_at"])
        self.assertNotIn(secret, str(shown))
        self.assertEqual((await self.request("DELETE", f"{TOKENS}/grafana")).status, 200)
        self.assertEqual((await self.get("/api/v1/stats", headers=headers)).status, 401)
        self.assertEqual((await self.request("DELETE", f"{TOKENS}/grafana")).status, 404)

    async def test_revoked_under_a_stream(self) -> None:
        """Live events end with the token that opened them."""
        headers = await self.make("watcher", "read")
        reader = await EventReader.watch(self.number, Authorization=str(headers["Authorization"]))
        self.clock.advance(KEEP_ALIVE)
        self.assertEqual(self.feed.streams, 1)
        await self.request("DELETE", f"{TOKENS}/watcher")
        self.clock.advance(KEEP_ALIVE)
        self.assertEqual(self.feed.streams, 0)
        await reader.ended

    async def test_roles(self) -> None:
        """What each role may do, by a route of each kind."""
        await self.account()
        job = await self.job()
        for role, statuses in (
            ("read", (200, 403, 403, 403)),
            ("operate", (200, 200, 403, 403)),
            ("app", (200, 200, 200, 403)),
            ("admin", (200, 200, 200, 200)),
        ):
            headers = await self.make(role, role)
            found = (
                (await self.get(f"{JOBS}/{job}", headers=headers)).status,
                (await self.post(f"{JOBS}/{job}/pause", headers=headers)).status,
                (await self.request("PUT", "/api/v1/accounts/acme", json=ACCOUNT, headers=headers)).status,
                (await self.get(TOKENS, headers=headers)).status,
            )
            self.assertEqual(found, statuses, role)
            await self.post(f"{JOBS}/{job}/resume")

    async def test_no_role_makes_tokens(self) -> None:
        """But ``admin``: nobody gives itself more rights."""
        for role in ("read", "operate", "app"):
            headers = await self.make(role, role)
            answer = await self.post(TOKENS, {"name": "x", "role": "admin"}, headers=headers)
            self.assertEqual(answer.status, 403, role)
            self.assertIn(f"has the role {role}", answer.document["detail"])

    async def test_expired(self) -> None:
        """A token that has expired is a wrong one, and gives its name away."""
        headers = await self.make("short", "read", expires_at="2190-01-01T00:00:00Z")
        self.assertEqual((await self.get("/api/v1/stats", headers=headers)).status, 200)
        self.assertEqual((await self.post(TOKENS, {"name": "short", "role": "read"})).status, 409)
        self.query("UPDATE http_tokens SET expires_at = now() - interval '1 s' RETURNING 1")
        await self.access.read()
        self.assertEqual((await self.get("/api/v1/stats", headers=headers)).status, 401)
        again = await self.make("short", "operate")
        self.assertEqual((await self.get("/api/v1/stats", headers=again)).status, 200)
        self.assertEqual((await self.get("/api/v1/stats", headers=headers)).status, 401)

    async def test_uses_during_an_outage(self) -> None:
        """They are recorded when that is possible again."""
        await self.get("/api/v1/stats", headers=await self.make("a", "read"))
        self.query("ALTER TABLE http_tokens RENAME last_used_at TO away")
        await self.assertFailure(Deferred.fromCoroutine(self.access.look()), psycopg2.Error)
        self.query("ALTER TABLE http_tokens RENAME away TO last_used_at")
        await self.access.look()
        self.assertEqual(self.query("SELECT last_used_at IS NULL FROM http_tokens"), [(False,)])

    async def test_faults(self) -> None:
        """Names, roles and limits that can't be are refused, naming the field."""
        for body, path in (
            ({"name": "", "role": "read"}, "/name"),
            ({"name": "a b", "role": "read"}, "/name"),
            ({"name": "COPILOT_HTTP_TOKEN", "role": "read"}, "/name"),
            ({"name": "a", "role": "root"}, "/role"),
            ({"name": "a", "role": "read", "accounts": ["acme"]}, "/role"),
            ({"name": "a", "role": "app", "accounts": []}, "/accounts"),
            ({"name": "a", "role": "app", "accounts": "acme"}, "/accounts"),
            ({"name": "a", "role": "app", "users": [7]}, "/users"),
            ({"name": "a", "role": "app", "expires_at": "soon"}, "/expires_at"),
            ({"name": "a", "role": "app", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ):
            self.assertEqual(self.paths(await self.post(TOKENS, body)), [path], body)
        await self.make("a", "read")
        self.assertEqual((await self.post(TOKENS, {"name": "a", "role": "admin"})).status, 409)

    async def test_other_nodes_learn_of_it(self) -> None:
        """A change is notified, whoever makes it."""
        listening = psycopg2.connect(self.database_url)
        self.addCleanup(listening.close)
        listening.autocommit = True
        listening.cursor().execute("LISTEN copilot_access")
        for statement in (
            "INSERT INTO http_tokens (name, hash, role, created_by) VALUES ('x', sha256('x'), 'read', 'me')",
            "DELETE FROM http_tokens",
            "INSERT INTO http_sessions VALUES (sha256('x'), sha256('x'), now(), now())",
            "DELETE FROM http_sessions",
            "INSERT INTO http_links VALUES (sha256('x'), NULL, NULL, 'me', now(), now())",
            "DELETE FROM http_links",
        ):
            self.query(f"{statement} RETURNING 1")
            listening.cursor().execute("SELECT")
            self.assertEqual([each.channel for each in listening.notifies], ["copilot_access"], statement)
            listening.notifies.clear()


class LimitedTests(TokenTestCase):
    """Tokens of web applications that are limited to accounts or users."""

    async def world(self) -> tuple[str, str]:
        """Two accounts, and a job of each."""
        await self.account("mine")
        await self.account("other")
        return await self.job(account_id="mine", user_id="u1"), await self.job(account_id="other", user_id="u2")

    async def test_accounts(self) -> None:
        """What belongs to other accounts is neither shown nor changed."""
        mine, other = await self.world()
        headers = await self.make("app", "app", accounts=["mine", "new"])
        listed = (await self.get(JOBS, headers=headers)).document["jobs"]
        self.assertEqual([job["id"] for job in listed], [mine])
        listed = (await self.get("/api/v1/accounts", headers=headers)).document["accounts"]
        self.assertEqual([account["id"] for account in listed], ["mine"])
        for path, status in (
            (f"{JOBS}/{mine}", 200),
            (f"{JOBS}/{mine}/why", 200),
            (f"{JOBS}/{other}", 404),
            (f"{JOBS}/{other}/why", 404),
            ("/api/v1/accounts/mine", 200),
            ("/api/v1/accounts/other", 403),
            ("/api/v1/areas", 403),
            ("/api/v1/areas?account_id=mine", 200),
            ("/api/v1/areas?account_id=other", 403),
            ("/api/v1/stats", 200),
            ("/api/v1/stats/history", 403),
            ("/api/v1/crawlers", 403),
            ("/api/v1/pauses", 403),
            ("/api/v1/budgets", 403),
            ("/api/v1/events", 403),
            ("/api/v1/events?account_id=other", 403),
        ):
            self.assertEqual((await self.get(path, headers=headers)).status, status, path)
        self.events.clear()
        for action in ("cancel", "pause", "retry", "resume"):
            self.assertEqual((await self.post(f"{JOBS}/{other}/{action}", headers=headers)).status, 404, action)
        refused = [each for each in self.events if isinstance(each, Refused)]
        self.assertEqual({(each.actor, each.reason) for each in refused}, {("token:app", "scope")})
        self.assertEqual(len(refused), 4)
        health = await self.get("/health/socket", headers=headers)
        self.assertEqual(health.document, {"status": "healthy"})
        for account, status in (("new", 201), ("mine", 200), ("other", 403)):
            path = f"/api/v1/accounts/{account}"
            self.assertEqual((await self.request("PUT", path, json=ACCOUNT, headers=headers)).status, status, account)
            renewed = await self.post(f"{path}/credential", {"access_token": "new"}, headers=headers)
            self.assertEqual(renewed.status, 200 if status != 403 else 403, account)
            limited = await self.request("PATCH", path, json={"weight": 7}, headers=headers)
            self.assertEqual(limited.status, 403, account)
        self.assertEqual(self.query("SELECT status FROM jobs WHERE account_id = 'other'"), [("queued",)])

    async def test_submission(self) -> None:
        """All or nothing, naming the jobs that are not within."""
        await self.world()
        headers = await self.make("app", "app", accounts=["mine"])
        jobs = [{"account_id": account, "command": "users"} for account in ("mine", "other", "none")]
        answer = await self.post(JOBS, jobs, headers=headers)
        self.assertEqual(answer.status, 403)
        self.assertEqual([error["path"] for error in answer.document["errors"]], ["/1", "/2"])
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(2,)])
        self.assertEqual((await self.post(JOBS, jobs[0], headers=headers)).status, 201)

    async def test_idempotency_keys(self) -> None:
        """Those of a limited token are its own."""
        await self.world()
        headers = await self.make("app", "app", accounts=["mine"])
        job = {"account_id": "mine", "command": "users"}
        key: dict[str, str | None] = {"Idempotency-Key": "k"}
        self.assertEqual((await self.post(JOBS, [], headers=headers | key)).status, 200)
        self.assertEqual((await self.post(JOBS, job, headers=key)).status, 201)
        self.assertEqual((await self.post(JOBS, job, headers=headers | key)).status, 422)

    async def test_users(self) -> None:
        """A limit to users covers jobs only, and is no way around one to accounts."""
        mine, other = await self.world()
        headers = await self.make("app", "app", users=["u1"])
        self.assertEqual((await self.get(f"{JOBS}/{mine}", headers=headers)).status, 200)
        self.assertEqual((await self.get(f"{JOBS}/{other}", headers=headers)).status, 404)
        self.assertEqual((await self.get("/api/v1/accounts/mine", headers=headers)).status, 403)
        both = await self.make("both", "app", users=["u1"], accounts=["other"])
        self.assertEqual((await self.get("/api/v1/events?account_id=other", headers=both)).status, 403)
        path = "/api/v1/accounts/other"
        self.assertEqual((await self.request("PUT", path, json=ACCOUNT, headers=both)).status, 403)
        self.assertEqual((await self.get("/api/v1/accounts", headers=both)).document["accounts"], [])
        for account, user in (("mine", "u1"), ("other", "u2")):
            job = {"account_id": account, "command": "users", "user_id": user}
            self.assertEqual((await self.post(JOBS, job, headers=both)).status, 403, account)
        job = {"account_id": "other", "command": "users", "user_id": "u1"}
        self.assertEqual((await self.post(JOBS, job, headers=both)).status, 201)


class SessionTests(TokenTestCase):
    """Browsers' sessions."""

    async def start(self, headers: dict[str, str | None] | None = None) -> tuple[Answer, dict[str, str | None]]:
        """Start a session; the answer, and the headers of a page of ours that has it."""
        answer = await self.post(SESSION, headers=bearer(TOKEN) | (headers or {}))
        self.assertEqual(answer.status, 201, answer.body)
        cookie = (answer.header("Set-Cookie") or "").partition(";")[0]
        return answer, {"Authorization": None, "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}

    async def test_life(self) -> None:
        """A session does what its token may, and ends when it is ended."""
        answer, page = await self.start()
        cookie = answer.header("Set-Cookie") or ""
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
            self.assertIn(part, cookie)
        self.assertNotIn("Secure", cookie)
        self.assertNotIn(TOKEN, cookie)
        self.assertEqual(answer.document["role"], "admin")
        self.assertEqual((await self.get(SESSION, headers=page)).document["name"], "token:COPILOT_HTTP_TOKEN")
        self.assertEqual((await self.post("/api/v1/queue/pause", headers=page)).status, 201)
        ended = await self.request("DELETE", SESSION, headers=page)
        self.assertIn("Max-Age=0", ended.header("Set-Cookie") or "")
        self.assertEqual((await self.get(SESSION, headers=page)).status, 401)
        rows = self.query("SELECT actor, action FROM audit_log WHERE action LIKE 'session.%' ORDER BY id")
        actor = "token:COPILOT_HTTP_TOKEN"
        self.assertEqual(rows, [(actor, "session.start"), (actor, "session.end")])

    async def test_behind_tls(self) -> None:
        """The cookie never travels unencrypted where it was given over TLS."""
        answer, _ = await self.start({"X-Forwarded-Proto": "https"})
        self.assertIn("; Secure", answer.header("Set-Cookie") or "")

    async def test_forged(self) -> None:
        """No other page can act by the cookie; nor can a request that does not say where it comes from."""
        _, page = await self.start()
        for more in (
            {"Sec-Fetch-Site": None},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            answer = await self.post("/api/v1/queue/pause", headers=page | more)
            self.assertEqual(answer.status, 403, more)
        ours = {"Origin": f"http://127.0.0.1:{self.number}", "Sec-Fetch-Site": None}
        self.assertEqual((await self.post("/api/v1/queue/pause", headers=page | ours)).status, 201)

    async def test_ends_with_its_token(self) -> None:
        """Revoking a token ends its sessions."""
        headers = await self.make("me", "operate")
        _, page = await self.start(headers)
        self.assertEqual((await self.get("/api/v1/stats", headers=page)).status, 200)
        await self.request("DELETE", f"{TOKENS}/me")
        self.assertEqual((await self.get("/api/v1/stats", headers=page)).status, 401)
        self.assertEqual(self.query("SELECT count(*) FROM http_sessions"), [(0,)])

    async def test_expires(self) -> None:
        """A session of which the time is over is none."""
        _, page = await self.start()
        self.query("UPDATE http_sessions SET expires_at = now() - interval '1 s' RETURNING 1")
        await self.access.read()
        self.assertEqual((await self.get("/api/v1/stats", headers=page)).status, 401)

    async def test_is_no_token(self) -> None:
        """The cookie's value is no bearer token, nor a token a cookie's value, nor does a session make sessions."""
        _, page = await self.start()
        value = str(page["Cookie"]).partition("=")[2]
        self.assertEqual((await self.get("/api/v1/stats", headers=bearer(value))).status, 401)
        forged = page | {"Cookie": f"copilot_session={TOKEN}"}
        self.assertEqual((await self.get("/api/v1/stats", headers=forged)).status, 401)
        self.assertEqual((await self.post(SESSION, headers=page)).status, 409)

    async def test_bounded(self) -> None:
        """Of too many sessions of a token the oldest ends."""
        _, first = await self.start()
        for _ in range(SESSIONS):
            _, page = await self.start()
        self.assertEqual((await self.get("/api/v1/stats", headers=first)).status, 401)
        self.assertEqual((await self.get("/api/v1/stats", headers=page)).status, 200)
        self.assertEqual(self.query("SELECT count(*) FROM http_sessions"), [(SESSIONS,)])
