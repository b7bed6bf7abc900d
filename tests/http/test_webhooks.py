"""Webhooks over HTTP: what may be made, changed and seen."""

from typing import Any

from copilot_socket.store.webhooks import MOST
from tests.http.harness import SiteTestCase

HOOKS = "/api/v1/webhooks"
URL = "https://hooks.example/crawls?key=x"
NONE = "01JD0000000000000000000000"


class WebhookTests(SiteTestCase):
    """``/api/v1/webhooks``."""

    async def make(self, **more: Any) -> Any:
        """A webhook."""
        answer = await self.post(HOOKS, {"url": URL, "events": ["host.held"], **more})
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(answer.header("Location"), f"{HOOKS}/{answer.document['id']}")
        return answer.document

    async def test_life(self) -> None:
        """It is made, shown without its secret, changed, rotated and removed."""
        made = await self.make(description="pages")
        secret = made.pop("secret")
        self.assertRegex(secret, "^whsec_")
        self.assertEqual(
            {name: made[name] for name in ("url", "events", "description", "active", "former_secret_until")},
            {
                "url": URL,
                "events": ["host.held"],
                "description": "pages",
                "active": True,
                "former_secret_until": None,
            },
        )
        path = f"{HOOKS}/{made['id']}"
        self.assertEqual((await self.get(path)).document, made)
        self.assertEqual((await self.get(HOOKS)).document["webhooks"], [made])
        change = {"url": "HTTP://127.0.0.1:8080/", "events": ["job.failed", "job.failed"], "description": None}
        changed = await self.request("PATCH", path, json=change)
        self.assertEqual(
            changed.document,
            {**made, "url": "http://127.0.0.1:8080/", "events": ["job.failed"], "description": None},
        )
        rotated = (await self.post(f"{path}/rotate")).document
        self.assertIsNotNone(rotated["former_secret_until"])
        self.assertNotEqual(rotated["secret"], secret)
        self.assertIsNone(
            (await self.post(f"{path}/rotate", {"former_valid_hours": 0})).document["former_secret_until"]
        )
        self.assertEqual((await self.request("DELETE", path)).document, {"id": made["id"], "removed": True})
        self.assertEqual((await self.get(path)).status, 404)

    async def test_faults(self) -> None:
        """Each wrong value is named."""
        for body, paths in (
            ({}, {"/url", "/events"}),
            ({"url": "ftp://x", "events": ["x"]}, {"/url", "/events"}),
            ({"url": "https://u:p@x/", "events": []}, {"/url", "/events"}),
            ({"url": "https://x/#a", "events": ["host.held"], "active": 1}, {"/url", "/active"}),
            ({"url": "https://x:99999", "events": ["host.held"], "secret": "x"}, {"/url", "/secret"}),
            ({"url": "https://ü/", "events": ["host.held"], "description": ""}, {"/url", "/description"}),
        ):
            self.assertEqual(set(self.paths(await self.post(HOOKS, body))), paths, body)
        made = await self.make()
        path = f"{HOOKS}/{made['id']}"
        self.assertEqual(
            self.paths(await self.post(f"{path}/rotate", {"former_valid_hours": 169})), ["/former_valid_hours"]
        )
        self.assertEqual(self.paths(await self.get(f"{path}/deliveries?status=x")), ["?status"])

    async def test_none(self) -> None:
        """What there is not is 404."""
        made = await self.make()
        for method, path in (
            ("GET", f"{HOOKS}/{NONE}"),
            ("GET", f"{HOOKS}/x"),
            ("PATCH", f"{HOOKS}/{NONE}"),
            ("DELETE", f"{HOOKS}/{NONE}"),
            ("POST", f"{HOOKS}/{NONE}/rotate"),
            ("POST", f"{HOOKS}/{NONE}/test"),
            ("GET", f"{HOOKS}/{NONE}/deliveries"),
            ("POST", f"{HOOKS}/{made['id']}/deliveries/{NONE}/retry"),
            ("POST", f"{HOOKS}/{made['id']}/deliveries/x/retry"),
        ):
            json = {"json": {}} if method == "PATCH" else {}
            self.assertEqual((await self.request(method, path, **json)).status, 404, path)

    async def test_of_another(self) -> None:
        """A delivery is found under its own webhook only."""
        one, other = await self.make(), await self.make()
        delivery = (await self.post(f"{HOOKS}/{one['id']}/test")).document
        self.assertEqual((delivery["event"], delivery["status"], delivery["payload"]), ("ping", "pending", {}))
        self.assertEqual((await self.get(f"{HOOKS}/{other['id']}/deliveries")).document["deliveries"], [])
        answer = await self.post(f"{HOOKS}/{other['id']}/deliveries/{delivery['id']}/retry")
        self.assertEqual(answer.status, 404)

    async def test_inactive(self) -> None:
        """Then nothing is sent, and what is pending is given up."""
        made = await self.make()
        path = f"{HOOKS}/{made['id']}"
        delivery = (await self.post(f"{path}/test")).document["id"]
        self.assertFalse((await self.request("PATCH", path, json={"active": False})).document["active"])
        [shown] = (await self.get(f"{path}/deliveries")).document["deliveries"]
        self.assertEqual((shown["status"], shown["error"]), ("failed", "the webhook was made inactive"))
        for action in ("test", f"deliveries/{delivery}/retry"):
            self.assertEqual((await self.post(f"{path}/{action}")).status, 409)

    async def test_at_most(self) -> None:
        """There is a largest number."""
        for _ in range(MOST):
            await self.make()
        answer = await self.post(HOOKS, {"url": URL, "events": ["host.held"]})
        self.assertEqual(answer.status, 409)
        self.assertEqual(self.query("SELECT count(*) FROM webhooks"), [(MOST,)])

    async def test_role(self) -> None:
        """Only administrators see them: a URL may hold a secret."""
        made = await self.make()
        for role in ("read", "operate", "app"):
            token = (await self.post("/api/v1/tokens", {"name": role, "role": role})).document["token"]
            headers = {"Authorization": f"Bearer {token}"}
            for path in (HOOKS, f"{HOOKS}/{made['id']}", f"{HOOKS}/{made['id']}/deliveries"):
                self.assertEqual((await self.get(path, headers=headers)).status, 403)
