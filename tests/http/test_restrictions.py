"""Pauses, hosts, limits, budgets and reasons over HTTP."""

from copilot_socket.event_bus import BudgetChanged, PauseChanged
from copilot_socket.store.restrictions import RestrictionStore
from tests.http.harness import ACCOUNT, NOW, SiteTestCase

ORIGIN = "https://gitlab.example"
LATER = "2026-01-05T11:00:00Z"
"""An hour after :data:`NOW`."""
PAUSES = "/api/v1/pauses"


class PauseTests(SiteTestCase):
    """/api/v1/pauses and /api/v1/queue."""

    def setUp(self) -> None:
        super().setUp()
        self.changes: list[PauseChanged] = []
        self.bus.subscribe_by_type({PauseChanged: self.changes.append})

    async def test_from_beginning_to_end(self) -> None:
        """Added, listed, shown, ended; each change is an event."""
        await self.account()
        body = {"scope": "account", "target": "acme", "reason": "moves", "author": "ann", "ends_at": LATER}
        answer = await self.post(PAUSES, body)
        self.assertEqual(answer.status, 201)
        pause = answer.document
        self.assertEqual({name: pause[name] for name in body}, body)
        self.assertEqual(pause["waiting_for_nodes"], [])
        shown = {name: value for name, value in pause.items() if name != "waiting_for_nodes"}
        path = f"{PAUSES}/{pause['id']}"
        self.assertEqual((await self.get(path)).document, shown)
        self.assertEqual((await self.get(PAUSES)).document, {"pauses": [shown], "next": None})
        self.assertEqual((await self.request("DELETE", path)).document, shown)
        self.assertEqual((await self.request("DELETE", path)).status, 404)
        self.assertEqual((await self.get(path)).status, 404)
        self.assertEqual([change.event for change in self.changes], ["added", "ended"])
        self.assertEqual((self.changes[0].author, self.changes[0].target), ("ann", "acme"))

    async def test_pages(self) -> None:
        """As of every list."""
        for number in range(3):
            await self.account(f"a{number}")
            await self.post(PAUSES, {"scope": "account", "target": f"a{number}"})
        first = (await self.get(f"{PAUSES}?limit=2")).document
        second = (await self.get(f"{PAUSES}?limit=2&cursor={first['next']}")).document
        self.assertEqual([each["target"] for each in first["pauses"] + second["pauses"]], ["a0", "a1", "a2"])

    async def test_targets(self) -> None:
        """Hosts are origins, paths lose their slashes; a path may be that of an area or of a job."""
        await self.account()
        await self.job(full_path="acme/shop")
        self.query("UPDATE jobs SET status = 'completed', finished_at = now()")
        for scope, given, kept in (
            ("host", "https://GitLab.example:443/api/v4", ORIGIN),
            ("command", "commits", "commits"),
            ("path_prefix", "/acme/", "acme"),
            ("path_prefix", "acme/shop", "acme/shop"),
        ):
            answer = await self.post(PAUSES, {"scope": scope, "target": given})
            self.assertEqual((answer.status, answer.document["target"]), (201, kept), answer.body)

    async def test_what_makes_no_sense(self) -> None:
        """Scopes that match nothing, ends in the past, targets too many or too few: nothing is changed."""
        await self.account()
        for body, path in (
            ({"scope": "account", "target": "nobody"}, "/target"),
            ({"scope": "host", "target": "https://elsewhere.example"}, "/target"),
            ({"scope": "host", "target": "gitlab"}, "/target"),
            ({"scope": "command", "target": "everything"}, "/target"),
            ({"scope": "path_prefix", "target": "acm"}, "/target"),
            ({"scope": "path_prefix", "target": "//"}, "/target"),
            ({"scope": "everything", "target": "acme"}, "/target"),
            ({"scope": "account"}, "/target"),
            ({"scope": "all"}, "/scope"),
            ({}, "/scope"),
            ({"scope": "everything", "ends_at": "2026-01-05T09:59:59Z"}, "/ends_at"),
            ({"scope": "everything", "ends_at": "tomorrow"}, "/ends_at"),
            ({"scope": "everything", "reason": "x" * 1001}, "/reason"),
            ({"scope": "everything", "until": LATER}, "/until"),
        ):
            self.assertEqual(self.paths(await self.post(PAUSES, body)), [path], body)
        self.assertEqual((await self.get(PAUSES)).document["pauses"], [])
        self.assertEqual(self.changes, [])

    async def test_two_people(self) -> None:
        """Who pauses what is paused already, or ends what has ended, learns so, and nothing is changed."""
        first = await self.post("/api/v1/queue/pause", {"author": "ann"})
        self.assertEqual((first.status, first.document["scope"]), (201, "everything"))
        second = await self.post("/api/v1/queue/pause")
        self.assertEqual((second.status, second.document["pause"]), (409, first.document["id"]))
        self.assertEqual((await self.get(PAUSES)).document["pauses"][0]["author"], "ann")
        resumed = await self.post("/api/v1/queue/resume")
        self.assertEqual((resumed.status, resumed.document["id"]), (200, first.document["id"]))
        self.assertEqual((await self.post("/api/v1/queue/resume")).status, 409)
        self.assertEqual((await self.request("DELETE", f"{PAUSES}/{first.document['id']}")).status, 404)

    async def test_one_that_is_over(self) -> None:
        """It is in nobody's way, even before a node has noticed that its time is over."""
        await self.post("/api/v1/queue/pause", {"ends_at": LATER})
        self.query("UPDATE pauses SET ends_at = now() - interval '1 s'")
        self.assertEqual((await self.post("/api/v1/queue/pause")).status, 201)
        self.assertEqual([change.event for change in self.changes], ["added", "expired", "added"])

    async def test_ids_that_are_none(self) -> None:
        """No such pause."""
        for name in ("%00", "%FF", "x" * 300, "01jd0000000000000000000000"):
            for method in ("GET", "DELETE"):
                self.assertEqual((await self.request(method, f"{PAUSES}/{name}")).status, 404, name)

    async def test_a_node_that_does_not_answer(self) -> None:
        """The pause holds; 202 says where jobs may still go out."""
        self.query("INSERT INTO nodes VALUES ('stuck', 'h', 1, now(), now() + interval '1 hour')")
        self.patch(RestrictionStore.acted_on, "__defaults__", (0.1,))
        answer = await self.post("/api/v1/queue/pause")
        self.assertEqual((answer.status, answer.document["waiting_for_nodes"]), (202, ["stuck"]))


class LimitTests(SiteTestCase):
    """max_running of accounts and hosts."""

    async def test_accounts(self) -> None:
        """Set, shown, removed with null; beside a weight."""
        await self.account()
        path = "/api/v1/accounts/acme"
        answer = await self.request("PATCH", path, json={"max_running": 3, "weight": 7})
        self.assertEqual((answer.status, answer.document["max_running"], answer.document["weight"]), (200, 3, 7))
        answer = await self.request("PATCH", path, json={"max_running": None})
        self.assertEqual((answer.document["max_running"], answer.document["weight"]), (None, 7))

    async def test_hosts(self) -> None:
        """A host is where some account is; its limit is named by its origin, encoded."""
        await self.account()
        path = "/api/v1/hosts/https%3A%2F%2Fgitlab.example"
        self.assertEqual((await self.request("PATCH", path, json={"max_running": 3})).status, 200)
        [host] = (await self.get("/api/v1/hosts")).document["hosts"]
        self.assertEqual((host["origin"], host["accounts"], host["max_running"]), (ORIGIN, 1, 3))
        self.assertEqual((host["held_since"], host["last_success_at"]), (None, None))
        await self.request("PATCH", path, json={"max_running": None})
        self.assertIsNone((await self.get("/api/v1/hosts")).document["hosts"][0]["max_running"])

    async def test_out_of_range(self) -> None:
        """Limits and weights have bounds, and belong to what there is."""
        await self.account()
        for path in ("/api/v1/accounts/acme", "/api/v1/hosts/https%3A%2F%2Fgitlab.example"):
            for body in ({"max_running": 0}, {"max_running": 100_001}, {"max_running": "3"}, {"max_running": True}):
                self.assertEqual(self.paths(await self.request("PATCH", path, json=body)), ["/max_running"], body)
        unchanged = await self.request("PATCH", "/api/v1/accounts/acme", json={"weight": None})
        self.assertEqual((unchanged.status, unchanged.document["weight"]), (200, 1))
        host = await self.request("PATCH", "/api/v1/hosts/https%3A%2F%2Fgitlab.example", json={})
        self.assertEqual(self.paths(host), ["/max_running"])
        for path in ("/api/v1/accounts/no", "/api/v1/hosts/https%3A%2F%2Felsewhere", "/api/v1/hosts/x"):
            self.assertEqual((await self.request("PATCH", path, json={"max_running": 1})).status, 404, path)


class BudgetTests(SiteTestCase):
    """/api/v1/budgets."""

    def setUp(self) -> None:
        super().setUp()
        self.changes: list[BudgetChanged] = []
        self.bus.subscribe_by_type({BudgetChanged: self.changes.append})

    async def put(self, **fields: object) -> "dict[str, object]":
        """Set one; what is shown of it."""
        answer = await self.request("PUT", "/api/v1/budgets", json={"gitlab_origin": ORIGIN, **fields})
        self.assertEqual(answer.status, 200, answer.body)
        document: dict[str, object] = answer.document
        return document

    async def test_by_hand(self) -> None:
        """What is said replaces what was said; until it is forgotten, or its time is over."""
        await self.account()
        shown = await self.put(account_id="acme", remaining=300, limit=1000)
        self.assertEqual((shown["jobs_allowed"], shown["source"], shown["name"]), (30, "operator", None))
        closed = await self.put(account_id="acme", remaining=10, limit=1000)
        self.assertEqual(closed["jobs_allowed"], 0)
        self.assertIsNone((await self.put(account_id="acme", remaining=900, limit=1000))["until"])
        await self.put(remaining=0, name="api")
        listed = (await self.get("/api/v1/budgets")).document["budgets"]
        self.assertEqual([(each["account_id"], each["name"]) for each in listed], [(None, "api"), ("acme", None)])
        self.assertEqual([change.event for change in self.changes], ["throttled", "closed", "open", "closed"])
        self.query("UPDATE budgets SET reset_at = now() - interval '1 s' WHERE account_id = 'acme'")
        [_host, over] = (await self.get("/api/v1/budgets")).document["budgets"]
        self.assertEqual((over["remaining"], over["jobs_allowed"], over["until"]), (None, None, None))
        path = f"/api/v1/budgets?gitlab_origin={ORIGIN}"
        self.assertEqual((await self.request("DELETE", f"{path}&name=api")).status, 200)
        self.assertEqual((await self.request("DELETE", f"{path}&name=api")).status, 404)
        self.assertEqual((await self.request("DELETE", f"{path}&account_id=acme")).status, 200)
        self.assertEqual((await self.get("/api/v1/budgets")).document["budgets"], [])

    async def test_what_makes_no_sense(self) -> None:
        """Nothing is changed."""
        await self.account()
        await self.request("PUT", "/api/v1/accounts/far", json={**ACCOUNT, "gitlab_url": "https://far.example"})
        for fields, path in (
            ({"remaining": -1}, "/remaining"),
            ({}, "/remaining"),
            ({"remaining": 1, "limit": 0}, "/limit"),
            ({"remaining": 3, "limit": 2}, "/remaining"),
            ({"remaining": 1, "account_id": "nobody"}, "/account_id"),
            ({"remaining": 1, "account_id": "far"}, "/gitlab_origin"),
            ({"remaining": 1, "gitlab_origin": "https://elsewhere.example"}, "/gitlab_origin"),
            ({"remaining": 1, "reset_at": "2026-01-05T09:00:00Z"}, "/reset_at"),
            ({"remaining": 1, "reset_at": "2026-01-05T11:00:01Z"}, "/reset_at"),
        ):
            answer = await self.request("PUT", "/api/v1/budgets", json={"gitlab_origin": ORIGIN, **fields})
            self.assertEqual(self.paths(answer), [path], fields)
        self.assertEqual(self.paths(await self.request("DELETE", "/api/v1/budgets")), ["?gitlab_origin"])
        self.assertEqual((await self.get("/api/v1/budgets")).document["budgets"], [])
        self.assertGreater(NOW, 0)

    async def test_pages(self) -> None:
        """Also behind names with newlines."""
        names = ["a", "b%0Ac", "b%0A%0Ad"]
        for name in names:
            await self.account(name)
            await self.put(account_id=name.replace("%0A", "\n"), remaining=5)
        found, cursor = [], ""
        for _ in names:
            page = (await self.get(f"/api/v1/budgets?limit=1{cursor}")).document
            found += [each["account_id"] for each in page["budgets"]]
            cursor = f"&cursor={page['next']}"
        self.assertEqual((sorted(found), page["next"]), (["a", "b\n\nd", "b\nc"], None))


class WhyTests(SiteTestCase):
    """/api/v1/jobs/{id}/why."""

    async def test_why(self) -> None:
        """A sentence, and reasons with the names of columns."""
        await self.account()
        job = await self.job()
        await self.post(PAUSES, {"scope": "account", "target": "acme", "author": "ann", "reason": "moves"})
        why = (await self.get(f"/api/v1/jobs/{job}/why")).document
        self.assertEqual((why["id"], why["status"]), (job, "queued"))
        self.assertEqual([reason["code"] for reason in why["reasons"]], ["paused", "unroutable"])
        self.assertEqual((why["reasons"][0]["author"], why["reasons"][0]["target"]), ("ann", "acme"))
        self.assertIn('account acme is paused by ann ("moves")', why["sentence"])
        self.assertEqual((await self.get("/api/v1/jobs/01JD0000000000000000000000/why")).status, 404)
        stats = (await self.get("/api/v1/stats")).document["queue"]
        self.assertEqual((stats["held_back"], stats["unroutable"], stats["oldest_seconds"]), (1, 0, 0))
