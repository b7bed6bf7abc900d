"""One-time links: who they let in, once, and for how long."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.access import Grant, KnownLink, KnownSession, Role, TokenBook, hash_of
from copilot_socket.event_bus import Refused
from copilot_socket.store.access import LINKS
from tests.http.harness import TOKEN
from tests.http.test_tokens import SESSION, TOKENS, TokenTestCase, bearer

LINK = "/api/v1/session/links"
CONFIGURED = "token:COPILOT_HTTP_TOKEN"


class LinkTests(TokenTestCase):
    """Links."""

    async def link(self, headers: dict[str, str | None] | None = None) -> str:
        """The code of a new link."""
        answer = await self.post(LINK, headers=headers or bearer(TOKEN))
        self.assertEqual(answer.status, 201, answer.body)
        return str(answer.document["code"])

    async def use(self, code: str) -> dict[str, str | None]:
        """The headers of a page of ours that has come by a link."""
        answer = await self.post(SESSION, headers=bearer(code))
        self.assertEqual(answer.status, 201, answer.body)
        cookie = (answer.header("Set-Cookie") or "").partition(";")[0]
        return {"Authorization": None, "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}

    async def session(self, headers: dict[str, str | None]) -> Any:
        """Who somebody is."""
        return (await self.get(SESSION, headers=headers)).document

    async def test_once(self) -> None:
        """A link lets one browser in; it is stored as a hash, and recorded like a session."""
        code = await self.link()
        [(hashed, left)] = self.query("SELECT hash, extract(epoch FROM expires_at - now()) FROM http_links")
        self.assertEqual(bytes(hashed), hash_of(code))
        self.assertTrue(290 < left <= 300, left)
        page = await self.use(code)
        self.assertEqual((await self.session(page))["name"], CONFIGURED)
        self.assertEqual((await self.post("/api/v1/queue/pause", headers=page)).status, 201)
        again = await self.post(SESSION, headers=bearer(code))
        self.assertEqual((again.status, self.query("SELECT count(*) FROM http_links")), (401, [(0,)]))
        rows = self.query("SELECT actor, action FROM audit_log WHERE action LIKE 'session.%' ORDER BY id")
        self.assertEqual(rows, [(CONFIGURED, "session.link"), (CONFIGURED, "session.start")])

    async def test_two_at_once(self) -> None:
        """Where a node does not know yet that a link was used, the database does."""
        code = await self.link()
        self.query("DELETE FROM http_links RETURNING 1")
        answer = await self.post(SESSION, headers=bearer(code))
        self.assertEqual((answer.status, self.query("SELECT count(*) FROM http_sessions")), (409, [(0,)]))

    async def test_nothing_else(self) -> None:
        """The code is no token: it shows and changes nothing, and makes no further link."""
        code = await self.link()
        for method, path in (
            ("GET", "/api/v1/stats"),
            ("GET", SESSION),
            ("POST", LINK),
            ("POST", "/api/v1/queue/pause"),
        ):
            answer = await self.request(method, path, headers=bearer(code))
            self.assertEqual(answer.status, 401, path)
        refused = [(each.reason, each.actor) for each in self.events if isinstance(each, Refused)]
        self.assertEqual(refused, [("wrong_token", "stranger")] * 4)
        health = await self.get("/health/socket", headers=bearer(code))
        self.assertEqual(health.document, {"status": "healthy"})
        page = await self.use(code)
        cookie = str(page["Cookie"]).partition("=")[2]
        self.assertEqual((await self.post(SESSION, headers=bearer(cookie))).status, 401)

    async def test_expires(self) -> None:
        """After five minutes it is a wrong token."""
        code = await self.link()
        self.query("UPDATE http_links SET expires_at = now() - interval '1 s' RETURNING 1")
        self.assertEqual((await self.post(SESSION, headers=bearer(code))).status, 409)
        await self.access.read()
        self.assertEqual((await self.post(SESSION, headers=bearer(code))).status, 401)

    async def test_of_a_token(self) -> None:
        """The session is that of the token, within its limits, and ends with it; so does an unused link."""
        headers = await self.make("app", "app", accounts=["mine"])
        code, other = await self.link(headers), await self.link(headers)
        page = await self.use(code)
        self.assertEqual(
            await self.session(page), {"name": "token:app", "role": "app", "accounts": ["mine"], "users": None}
        )
        by_page = await self.link(page)  # a browser may make one for another
        self.assertEqual((await self.session(await self.use(by_page)))["name"], "token:app")
        await self.request("DELETE", f"{TOKENS}/app")
        self.assertEqual((await self.get(SESSION, headers=page)).status, 401)
        self.assertEqual((await self.post(SESSION, headers=bearer(other))).status, 401)

    async def test_other_nodes(self) -> None:
        """A node with another token of its own takes the link for its own."""
        code = await self.link()
        self.token = "token-of-another-node"
        self.listen()
        self.assertEqual((await self.post(SESSION, headers=bearer(code))).status, 401)  # it has not read it yet
        await self.access.read()
        page = await self.use(code)
        self.assertEqual((await self.session(page))["role"], "admin")

    async def test_bounded(self) -> None:
        """Of too many links the oldest ends; others' stay."""
        first = await self.link(await self.make("me", "read"))
        codes = [await self.link() for _ in range(LINKS + 1)]
        self.assertEqual(self.query("SELECT count(*) FROM http_links"), [(LINKS + 1,)])
        self.assertEqual((await self.post(SESSION, headers=bearer(codes[0]))).status, 401)
        await self.use(codes[1])
        self.assertEqual((await self.session(await self.use(first)))["name"], "token:me")


class LocalUserTests(SynchronousTestCase):
    """The node's own user, who needs no token on ``http.sock``."""

    def test_session(self) -> None:
        """Their sessions and links have their name, and the rights of the node's own token, with which they end."""
        book, local = TokenBook(TOKEN), Grant("uid:7", Role.ADMIN)
        self.assertTrue(local.own)
        self.assertIsNone(book.token_of(local, None, None, 0.0))
        session = KnownSession(hash_of("s"), hash_of(TOKEN), 9.0, "uid:7")
        book.replace((), [session], [KnownLink(hash_of("c"), None, "uid:7", 5.0)])
        self.assertEqual((book.find_session("s", 0.0), book.find_link("c", 0.0)), (local, local))
        self.assertEqual(book.token_of(local, None, "s", 0.0), book.own)
        self.assertIsNone(book.find_link("c", 5.0))
        self.assertIsNone(book.find_link("other", 0.0))
        other = TokenBook("new")
        other.replace((), [session])
        self.assertIsNone(other.find_session("s", 0.0))

    def test_revoked_meanwhile(self) -> None:
        """Who had a token that is no more gets no link of the node's own."""
        self.assertFalse(Grant("token:app", Role.APP).own)
        self.assertIsNone(TokenBook(TOKEN).token_of(Grant("token:app", Role.APP), "t", None, 0.0))
