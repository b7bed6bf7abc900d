"""The overview over HTTP, and as a live event."""

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.http.feed import COUNT_EACH
from copilot_socket.http.overview import FRESH, SIZE_EACH
from copilot_socket.store.faults import DatabaseAway
from tests.http.harness import EventsTestCase, SiteTestCase
from tests.support.crawler import until

OVERVIEW = "/api/v1/overview"


class OverviewTests(SiteTestCase):
    """What it has."""

    async def test_content(self) -> None:
        """All parts, each as in its list; what needs a person, weightiest first."""
        await self.account()
        await self.job()
        await self.post("/api/v1/pauses", {"scope": "command", "target": "issues", "reason": "tests"})
        await self.request("PUT", "/api/v1/budgets", json={"gitlab_origin": "https://gitlab.example", "remaining": 0})
        self.query(
            "INSERT INTO nodes (id, host, pid, version, lease_expires_at)"
            " VALUES ('n1', 'h', 1, '1.2', now() - interval '1 minute'),"
            " ('n2', 'h', 2, '1.2', now() + interval '1 hour')"
            " RETURNING 1"
        )
        self.query("UPDATE accounts SET credential_status = 'expired' RETURNING 1")
        found = (await self.get(OVERVIEW)).document
        self.assertEqual(
            [(item["kind"], item["count"], item["names"]) for item in found["attention"]],
            [("credential_expired", 1, ["acme"]), ("node_gone", 1, ["n1"]), ("lane_held", 1, ["acme"])],
        )
        [lane] = found["attention"][2]["lanes"]
        self.assertEqual((lane["account_id"], lane["command"], lane["queued"]), ("acme", "issues", 1))
        self.assertIn('command issues is paused by token:COPILOT_HTTP_TOKEN ("tests")', lane["why"])
        for name in ("nodes", "hosts", "budgets", "pauses"):
            listed = (await self.get(f"/api/v1/{name}")).document[name]
            self.assertEqual((found[name], len(listed)), (listed, 2 if name == "nodes" else 1), name)
        self.assertEqual((found["node_id"], found["nodes"][0]["version"]), ("node", "1.2"))
        database = found["database"]
        self.assertEqual(database.keys() - self.health.database.keys(), {"embedded", "version", "size_bytes"})
        self.assertEqual(database, {**database, **self.health.database, "embedded": True})

    async def test_many_pauses(self) -> None:
        """A pause of everything comes first, however many others are older; there are 100 of them."""
        self.query(
            "INSERT INTO pauses (scope, target, author)"
            " SELECT 'account', 'a' || n, 'x' FROM generate_series(1, 120) AS n RETURNING 1"
        )
        await self.post("/api/v1/pauses", {"scope": "everything", "reason": "tests"})
        overview = (await self.get(OVERVIEW)).document
        pauses = overview["pauses"]
        told = [item for item in overview["attention"] if item["kind"] == "everything_paused"]
        self.assertEqual([item["since"] for item in told], [pauses[0]["created_at"]])
        self.assertIn('("tests")', told[0]["text"])
        self.assertEqual((len(pauses), pauses[0]["scope"]), (100, "everything"))
        self.assertEqual(len({pause["id"] for pause in pauses}), 100)

    async def test_size(self) -> None:
        """The size of the database is measured beside requests, and kept for a minute."""
        await self.get(OVERVIEW)
        await until(lambda: self.overviews._size, "it is measured")
        self.clock.advance(FRESH)
        database = (await self.get(OVERVIEW)).document["database"]
        self.assertGreater(database["size_bytes"], 1_000_000)
        self.assertRegex(database["version"], r"^\d+")
        calls = []

        async def away() -> None:
            calls.append(None)
            raise DatabaseAway("away")

        self.patch(self.overviews._reader, "size", away)
        self.clock.advance(FRESH)
        await self.get(OVERVIEW)
        self.assertEqual(calls, [])
        self.clock.advance(SIZE_EACH)
        self.assertEqual((await self.get(OVERVIEW)).document["database"], database)
        self.assertEqual(calls, [None])

    async def test_read_once(self) -> None:
        """For all who ask at the same time, or a moment later."""
        reads = []
        read = self.overviews._read

        async def counted() -> object:
            reads.append(None)
            return await read()

        self.patch(self.overviews, "_read", counted)
        await gatherResults([Deferred.fromCoroutine(self.get(OVERVIEW)) for _ in range(5)])
        self.assertEqual(len(reads), 1)
        self.clock.advance(FRESH)
        await self.get(OVERVIEW)
        self.assertEqual(len(reads), 2)

    async def test_unhealthy(self) -> None:
        """What the node knows of itself."""
        self.health.error = "the database is read-only"
        [item] = (await self.get(OVERVIEW)).document["attention"]
        self.assertEqual((item["kind"], item["severity"]), ("database", "urgent"))

    async def test_limited(self) -> None:
        """It is about everything: no limited token sees it."""
        answer = await self.post("/api/v1/tokens", {"name": "app", "role": "app", "accounts": ["acme"]})
        headers = {"Authorization": f"Bearer {answer.document['token']}"}
        self.assertEqual((await self.get(OVERVIEW, headers=headers)).status, 403)


class OverviewEventTests(EventsTestCase):
    """The event."""

    async def test_pushed(self) -> None:
        """A change is sent to who watches."""
        reader = await self.watch("?types=snapshot,overview")
        seen = await reader.next()
        self.assertEqual((seen.type, seen.data["overview"]["attention"]), ("snapshot", []))
        self.query("INSERT INTO hosts (origin, held_since, opens_at) VALUES ('https://g', now(), now()) RETURNING 1")
        self.clock.advance(COUNT_EACH)
        seen = await reader.next()
        self.assertEqual((seen.type, seen.id), ("overview", None))
        self.assertEqual([item["kind"] for item in seen.data["attention"]], ["host_held"])
