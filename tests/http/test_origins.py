"""Pages of other origins, as SOCKET_ALLOWED_ORIGINS lets them in."""

from tests.http.harness import ACCOUNT, Answer, SiteTestCase

APP = "https://app.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


class AllowedTests(SiteTestCase):
    """One origin is allowed."""

    origins = frozenset({APP})
    token = "t0ken"

    async def preflight(self, origin: str) -> Answer:
        """The preflight before a page's PUT."""
        return await self.request(
            "OPTIONS", "/api/v1/accounts/a", headers={"Origin": origin, "Authorization": None, **PREFLIGHT}
        )

    async def put(self, origin: str, token: str = "t0ken") -> Answer:
        """The PUT itself."""
        headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
        return await self.request("PUT", "/api/v1/accounts/a", json=ACCOUNT, headers=headers)

    async def test_preflight(self) -> None:
        """The browser learns what its page may send, before any token is sent."""
        answer = await self.preflight(APP)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.header("Access-Control-Allow-Origin"), APP)
        self.assertIn("PUT", answer.header("Access-Control-Allow-Methods") or "")
        self.assertIn("Authorization", answer.header("Access-Control-Allow-Headers") or "")
        self.assertIsNone(answer.header("Access-Control-Allow-Credentials"))

    async def test_page_of_an_allowed_origin(self) -> None:
        """It may write and read, faults included, and needs the token."""
        for answer, status in ((await self.put(APP), 201), (await self.put(APP, "wrong"), 401)):
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.header("Access-Control-Allow-Origin"), APP)
            self.assertEqual(answer.header("Vary"), "Origin")

    async def test_page_of_another_origin(self) -> None:
        """It gets nothing, not even if its name begins or ends alike; caches know that answers differ."""
        for origin in ("https://evil.example", f"{APP}.evil.example", "http://app.example", "null", ""):
            preflight, done = await self.preflight(origin), await self.put(origin)
            self.assertEqual((preflight.status, done.status), (401, 403), origin)
            for answer in (preflight, done):
                self.assertIsNone(answer.header("Access-Control-Allow-Origin"))
                self.assertEqual(answer.header("Vary"), "Origin")

    async def test_no_page(self) -> None:
        """Who is no browser sees no difference but the note for caches."""
        answer = await self.get("/api/v1/stats", headers={"Authorization": "Bearer t0ken"})
        self.assertEqual((answer.status, answer.header("Access-Control-Allow-Origin")), (200, None))


class NoneAllowedTests(SiteTestCase):
    """As it is without configuration."""

    async def test_nothing_is_said(self) -> None:
        """No header, and OPTIONS is a method like others without a route."""
        answer = await self.request("OPTIONS", "/api/v1/stats", headers={"Origin": APP, **PREFLIGHT})
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.header("Vary"), "Accept-Encoding")
