"""Accounts, crawlers and nodes over HTTP."""

import attrs

from copilot_socket.core.jobs import Event, Status
from copilot_socket.event_bus import JobChanged
from copilot_socket.http.endpoints import endpoint_of
from copilot_socket.http.queries import Listed
from copilot_socket.http.table import routes
from tests.http.harness import ACCOUNT, SiteTestCase

ACCOUNTS = "/api/v1/accounts"
PAIR = {"access_token": "glpat-new", "refresh_token": "refresh-new", "token_expires_at": "2031-01-01T00:00:00+00:00"}


class AccountTests(SiteTestCase):
    """PUT, GET and renewal."""

    async def test_put(self) -> None:
        """An account is created, then replaced; what is answered shows no token."""
        created = await self.request("PUT", f"{ACCOUNTS}/a%2Fb", json=ACCOUNT | {"refresh_token": "refresh-secret"})
        self.assertEqual(created.status, 201)
        self.assertEqual(created.document["id"], "a/b")
        self.assertTrue(created.document["has_refresh_token"])
        replaced = await self.request("PUT", f"{ACCOUNTS}/a%2Fb", json=ACCOUNT | {"provider": "gitlab-cloud"})
        self.assertEqual(replaced.status, 200)
        self.assertEqual(replaced.document["provider"], "gitlab-cloud")
        self.assertFalse(replaced.document["has_refresh_token"])
        self.assertEqual(self.query("SELECT token_generation FROM accounts"), [(2,)])
        for answer in (created, replaced, await self.get(f"{ACCOUNTS}/a%2Fb"), await self.get(ACCOUNTS)):
            self.assertNotIn(b"secret", answer.body)

    async def test_faults(self) -> None:
        """Every fault is named, and a faulty token is not repeated."""
        answer = await self.request(
            "PUT",
            f"{ACCOUNTS}/x",
            json={
                "provider": "github",
                "gitlab_url": "gitlab.example",
                "refresh_token": "with blank",
                "token": "t0ken",
            },
        )
        self.assertEqual(
            self.paths(answer), ["/provider", "/gitlab_url", "/refresh_token", "/token", "/access_token"]
        )
        for given in (b"with blank", b"t0ken"):
            self.assertNotIn(given, answer.body)
        answer = await self.request("PUT", f"{ACCOUNTS}/x", json=[])
        self.assertEqual(self.paths(answer)[0], "")
        answer = await self.request("PUT", f"{ACCOUNTS}/{'x' * 256}", json=ACCOUNT)
        self.assertEqual(self.paths(answer), ["/id"])

    async def test_urls(self) -> None:
        """A GitLab's URL has a scheme and a host, and carries no credentials; a slash at the end goes."""
        for url in (
            "http://u:p@gitlab",
            "https://",
            "https://h:x",
            "https://h?q=1",
            "https://h/#f",
            "https://a b",
            "//h",
            5,
        ):
            answer = await self.request("PUT", f"{ACCOUNTS}/x", json=ACCOUNT | {"gitlab_url": url})
            self.assertEqual(self.paths(answer), ["/gitlab_url"], url)
        answer = await self.request("PUT", f"{ACCOUNTS}/x", json=ACCOUNT | {"gitlab_url": "HTTPS://h:8443/git/"})
        self.assertEqual(answer.document["gitlab_url"], "https://h:8443/git")

    async def test_renewal(self) -> None:
        """A renewed credential is valid again; the account's waiting jobs, no others, are queued and published."""
        await self.account()
        await self.account("other")
        mine, running, theirs = (
            await self.job(),
            await self.job(full_path="g/r"),
            await self.job(account_id="other"),
        )
        self.query("UPDATE jobs SET status = 'waiting_credential' WHERE id <> %s", running)
        self.query("UPDATE jobs SET status = 'running' WHERE id = %s", running)
        self.query("UPDATE accounts SET credential_status = 'expired', refresh_node = 'n', refresh_until = now()")
        self.events.clear()
        answer = await self.post(f"{ACCOUNTS}/acme/credential", PAIR)
        self.assertEqual((answer.status, answer.document["credential_status"]), (200, "valid"))
        self.assertEqual(answer.document["token_expires_at"], "2031-01-01T00:00:00Z")
        self.assertEqual(
            self.query("SELECT status FROM jobs ORDER BY id = %s DESC, id = %s DESC", mine, running),
            [("queued",), ("running",), ("waiting_credential",)],
        )
        self.assertEqual(
            self.query("SELECT token_generation, refresh_node, refresh_until FROM accounts WHERE id = 'acme'"),
            [(2, None, None)],
        )
        seen = [
            (change.job_id, change.status, change.event) for change in self.events if isinstance(change, JobChanged)
        ]
        self.assertEqual(seen, [(mine, Status.QUEUED, Event.RENEWED)])
        self.assertNotIn(theirs, [change[0] for change in seen])

    async def test_a_move(self) -> None:
        """An account changes its origin only while none of its jobs is live; nothing is replaced where it may not."""
        await self.account()
        job = await self.job()
        moved = ACCOUNT | {"gitlab_url": "https://new.example", "access_token": "glpat-new"}
        answer = await self.request("PUT", f"{ACCOUNTS}/acme", json=moved)
        self.assertEqual(answer.status, 409)
        self.assertIn("live jobs", answer.document["detail"])
        stored = "SELECT gitlab_url, access_token, token_generation FROM accounts"
        self.assertEqual(self.query(stored), [(ACCOUNT["gitlab_url"], ACCOUNT["access_token"], 1)])
        within = ACCOUNT | {"gitlab_url": f"{ACCOUNT['gitlab_url']}:443/sub"}
        self.assertEqual((await self.request("PUT", f"{ACCOUNTS}/acme", json=within)).status, 200)
        await self.post(f"/api/v1/jobs/{job}/cancel")
        answer = await self.request("PUT", f"{ACCOUNTS}/acme", json=moved)
        self.assertEqual((answer.status, answer.document["gitlab_url"]), (200, "https://new.example"))

    async def test_why_a_credential_fails(self) -> None:
        """What kept the last refresh from working is shown, and when that was, until the credential is renewed."""
        await self.account()
        for field in ("credential_error", "credential_checked_at"):
            self.assertIsNone((await self.get(f"{ACCOUNTS}/acme")).document[field])
        self.query(
            "UPDATE accounts SET credential_error = 'invalid_client: x', refresh_failures = 3,"
            " credential_checked_at = '2026-01-05T10:00:00Z', refresh_after = now() + interval '1 hour'"
        )
        shown = (await self.get(ACCOUNTS)).document["accounts"][0]
        self.assertEqual(
            (shown["credential_error"], shown["credential_checked_at"]), ("invalid_client: x", "2026-01-05T10:00:00Z")
        )
        renewed = (await self.post(f"{ACCOUNTS}/acme/credential", PAIR)).document
        self.assertEqual((renewed["credential_error"], renewed["credential_checked_at"]), (None, None))
        self.assertEqual(self.query("SELECT refresh_failures, refresh_after FROM accounts"), [(0, None)])

    async def test_put_renews_too(self) -> None:
        """Putting an account again also queues what waited for its credential."""
        await self.account()
        await self.job()
        self.query("UPDATE jobs SET status = 'waiting_credential'")
        await self.account()
        self.assertEqual(self.query("SELECT status, ready FROM jobs"), [("queued", True)])

    async def test_renewal_faults(self) -> None:
        """An unknown account is 404; a credential without a token, or of the wrong type, is refused."""
        for name in ("none", "%00"):
            self.assertEqual((await self.post(f"{ACCOUNTS}/{name}/credential", PAIR)).status, 404)
            self.assertEqual((await self.get(f"{ACCOUNTS}/{name}")).status, 404)
        await self.account()
        answer = await self.post(f"{ACCOUNTS}/acme/credential", {"token_expires_at": "tomorrow", "provider": "x"})
        self.assertEqual(self.paths(answer), ["/token_expires_at", "/provider", "/access_token"])

    async def test_pages(self) -> None:
        """Accounts come by id, in pages."""
        for name in ("b", "a", "c"):
            await self.account(name)
        first = (await self.get(f"{ACCOUNTS}?limit=2")).document
        second = (await self.get(f"{ACCOUNTS}?limit=2&cursor={first['next']}")).document
        self.assertEqual([row["id"] for row in first["accounts"] + second["accounts"]], ["a", "b", "c"])
        self.assertIsNone(second["next"])


class AccountListTests(SiteTestCase):
    """GET /api/v1/accounts with filters."""

    async def test_filters_and_orders(self) -> None:
        """Every filter, alone and with others; by id or by the end of the tokens, in pages with a total."""
        for name, host, expires, status in (
            ("a_b", "one", "2030-01-01", "valid"),
            ("axb", "one", None, "expired"),
            ("c%", "two.one", "2029-01-01", "valid"),
            ("d", "TWO", "2031-01-01", "expired"),
        ):
            self.query(
                "INSERT INTO accounts (id, provider, gitlab_url, access_token, token_expires_at, credential_status)"
                " VALUES (%s, 'gitlab-cloud', 'https://' || %s || '/git', 'x', %s::date, %s)",
                *(name, host, expires, status),
            )
        for query, expected in (
            ("", ["a_b", "axb", "c%", "d"]),
            ("search=A_", ["a_b"]),
            ("search=%25", ["c%"]),
            ("search=two", ["c%", "d"]),
            ("credential_status=expired", ["axb", "d"]),
            ("token_expires_before=2030-06-01T00:00:00Z", ["a_b", "c%"]),
            ("gitlab_origin=https://ONE/x", ["a_b", "axb"]),
            ("gitlab_origin=https://one&credential_status=valid&search=b", ["a_b"]),
            ("order=token_expires_at", ["c%", "a_b", "d"]),
            ("order=token_expires_at&credential_status=expired", ["d"]),
            ("order=id&search=nothing", []),
        ):
            found: list[str] = []
            cursor = ""
            while True:
                path = f"{ACCOUNTS}?limit=2&total=true{'&' if query else ''}{query}{cursor}"
                page = (await self.get(path)).document
                found += [row["id"] for row in page["accounts"]]
                self.assertEqual((page["total"], page["total_exact"]), (len(expected), True), query)
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
            self.assertEqual(found, expected, query)
        bad = f"{ACCOUNTS}?credential_status=x&token_expires_before=soon&order=weight&include=tokens&total=yes"
        self.assertEqual(
            self.paths(await self.get(bad)),
            ["?credential_status", "?token_expires_before", "?order", "?include", "?total"],
        )

    async def test_jobs(self) -> None:
        """On request each account says how many jobs it has, by state."""
        for name in ("acme", "other"):
            await self.account(name)
        await self.job()
        await self.post(f"/api/v1/jobs/{await self.job(command='epics')}/cancel")
        rows = (await self.get(f"{ACCOUNTS}?include=jobs")).document["accounts"]
        none = dict.fromkeys(map(str, Status), 0)
        self.assertEqual([row["jobs"] for row in rows], [{**none, "queued": 1, "cancelled": 1}, none])
        self.assertEqual((await self.get(f"{ACCOUNTS}/acme?include=jobs")).document["jobs"], rows[0]["jobs"])
        self.assertNotIn("jobs", (await self.get(f"{ACCOUNTS}/acme")).document)


class TotalTests(SiteTestCase):
    """Totals of lists."""

    async def test_every_list(self) -> None:
        """Each list tells on request how many rows all its pages have, and nothing of it otherwise."""
        await self.account()
        await self.account("b")
        webhook = (await self.post("/api/v1/webhooks", {"url": "http://x", "events": ["host.held"]})).document["id"]
        listed = 0
        for route in routes(self.parts):
            if route.method == "GET" and issubclass(endpoint_of(route.handler).query, Listed):
                [name] = attrs.fields_dict(endpoint_of(route.handler).answers[200]).keys() - {
                    "next", "total", "total_exact",
                }  # fmt: skip
                path = route.pattern.replace("{id}", webhook)
                answer = (await self.get(f"{path}?total=true&limit=1000")).document
                expected = (len(answer[name]), True)
                self.assertEqual((answer["total"], answer["total_exact"]), expected, route.pattern)
                self.assertEqual((await self.get(path)).document.keys(), {name, "next"})
                listed += 1
        self.assertGreaterEqual(listed, 11)


class SealedTests(SiteTestCase):
    """With a key."""

    keys = ("Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMDE=",)

    async def test_at_rest(self) -> None:
        """No token is stored in clear text."""
        await self.account()
        await self.post(f"{ACCOUNTS}/acme/credential", PAIR)
        [(access, refresh)] = self.query("SELECT access_token, refresh_token FROM accounts")
        for stored in (str(access), str(refresh)):
            self.assertTrue(stored.startswith("fernet:"))
            self.assertNotIn("new", stored)


class CrawlerTests(SiteTestCase):
    """GET and POST under /api/v1/crawlers."""

    def add_crawler(self, key: str, *, lease: str, plain: bool) -> None:
        """Have a crawler whose lease ends *lease* from now."""
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
            " VALUES (%s, %s, 'n1', now() + %s::interval, 2, '{issue}', %s)",
            key, f"id-{key}", lease, plain,
        )  # fmt: skip

    async def test_weight(self) -> None:
        """A weight from 1 to 100 is set; anything else is refused, and changes nothing."""
        await self.account()
        answer = await self.request("PATCH", f"{ACCOUNTS}/acme", json={"weight": 7})
        self.assertEqual((answer.status, answer.document["weight"]), (200, 7))
        for body in (
            {"weight": 0},
            {"weight": 101},
            {"weight": "7"},
            {"weight": True},
            {"x": 1},
            [],
        ):
            self.assertEqual((await self.request("PATCH", f"{ACCOUNTS}/acme", json=body)).status, 422, body)
        self.assertEqual((await self.request("PATCH", f"{ACCOUNTS}/nobody", json={"weight": 7})).status, 404)
        self.assertEqual(self.query("SELECT weight FROM accounts WHERE id = 'acme'"), [(7,)])

    async def test_modes(self) -> None:
        """Crawlers are drained, quarantined and released by their ids; one that is connected is asked to exit."""
        self.add_crawler("a", lease="1 minute", plain=False)
        self.add_crawler("b", lease="-1 minute", plain=True)
        for action, mode in (("drain", "draining"), ("quarantine", "quarantined"), ("release", "serving")):
            answer = await self.post(f"/api/v1/crawlers/id-a/{action}")
            self.assertEqual((answer.status, answer.document), (200, {"id": "id-a", "mode": mode}))
            self.assertEqual(self.query("SELECT mode FROM crawlers WHERE key = 'a'"), [(mode,)])
        self.assertEqual((await self.post("/api/v1/crawlers/id-a/shutdown")).status, 202)
        self.assertEqual((await self.post("/api/v1/crawlers/id-b/shutdown")).status, 409)
        for action in ("drain", "shutdown"):
            for name in ("nobody", "%00", "x" * 256):
                self.assertEqual((await self.post(f"/api/v1/crawlers/{name}/{action}")).status, 404, name)

    async def test_crawlers(self) -> None:
        """A crawler comes with what it holds, its connections and how it was last seen."""
        await self.account()
        job_id = await self.job()
        self.add_crawler("a", lease="1 minute", plain=False)
        self.add_crawler("b", lease="-1 minute", plain=True)
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key, completed_at)"
            " VALUES (%s, 'held', 'acme', 1, 'a', NULL), ('over', 'over', 'acme', 1, 'a', now())",
            job_id,
        )
        self.query(
            "INSERT INTO socket_connections (id, crawler_key, node_id, is_active, system_status, last_heartbeat)"
            " VALUES ('1', 'a', 'n1', true, 'idle', '2026-01-01Z'),"
            " ('2', 'a', 'n1', true, 'crawling', '2026-01-02Z'),"
            " ('3', 'a', 'n1', true, NULL, NULL), ('4', 'a', 'n1', false, 'error', '2026-01-03Z'),"
            " ('5', 'b', 'n1', false, 'idle', '2026-01-01Z'), ('6', 'b', 'n1', false, NULL, '2026-01-02Z')"
        )
        self.query("UPDATE crawlers SET owner = 'uid:1000' WHERE key = 'a'")
        first, second = (await self.get("/api/v1/crawlers")).document["crawlers"]
        first.pop("first_seen")
        self.assertGreater(first.pop("silent_seconds"), 86400)
        self.assertEqual(
            first,
            {
                "id": "id-a", "key": "a", "node_id": "n1", "plain": False, "connected": True, "stale": False,
                "max_jobs": 2, "mode": "serving", "suspected_at": None, "owner": "uid:1000",
                "entity_types": ["issue"], "active_jobs": ["held"], "last_heartbeat": "2026-01-03T00:00:00Z",
                "system_status": "error", "connections": 3, "version": None,
                "recent": {"ended": {}, "completed": 0, "failed": 0, "seconds": None},
            },
        )  # fmt: skip
        self.assertEqual(
            (second["connected"], second["plain"], second["active_jobs"], second["connections"]), (False, True, [], 0)
        )
        self.assertEqual((second["last_heartbeat"], second["system_status"]), ("2026-01-02T00:00:00Z", "idle"))

    async def test_stale(self) -> None:
        """A crawler without lease whose connection is open is stale; filters and totals tell such ones apart."""
        for key, lease in (("a", "1 minute"), ("b", "-1 second"), ("c", "-1 second"), ("d", "1 minute")):
            self.add_crawler(key, lease=lease, plain=False)
        self.query(
            "INSERT INTO socket_connections (id, crawler_key, node_id, is_active, last_heartbeat)"
            " VALUES ('1', 'a', 'n1', true, now() - interval '5 s'),"
            " ('2', 'b', 'n1', true, now() - interval '3 min'), ('3', 'c', 'n1', false, now() - interval '3 min')"
        )
        self.query("UPDATE crawlers SET mode = 'draining' WHERE key IN ('b', 'd')")
        for query, expected in (
            ("", "abcd"), ("stale=true", "b"), ("stale=false", "acd"), ("connected=true", "ad"),
            ("connected=false&mode=serving", "c"), ("mode=draining", "bd"), ("stale=true&connected=true", ""),
        ):  # fmt: skip
            answer = (await self.get(f"/api/v1/crawlers?limit=1000&total=true&{query}".rstrip("&"))).document
            self.assertEqual([row["key"] for row in answer["crawlers"]], list(expected), query)
            self.assertEqual((answer["total"], answer["total_exact"]), (len(expected), True), query)
        rows = {row["key"]: row for row in (await self.get("/api/v1/crawlers")).document["crawlers"]}
        self.assertTrue(5 <= rows["a"]["silent_seconds"] < 65, rows["a"])
        self.assertTrue(180 <= rows["b"]["silent_seconds"] < 240, rows["b"])
        self.assertIsNone(rows["d"]["silent_seconds"])
        stats = (await self.get("/api/v1/stats")).document["crawlers"]
        self.assertEqual(stats["modes"], {"serving": 1, "draining": 1, "quarantined": 0})
        self.assertEqual((stats["stale"], stats["connected"], stats["known"]), (1, 2, 4))
        self.assertEqual(self.paths(await self.get("/api/v1/crawlers?stale=1&mode=x")), ["?stale", "?mode"])

    async def test_nodes(self) -> None:
        """Each node comes with what it serves, and whether it lives."""
        await self.account()
        self.query(
            "INSERT INTO nodes (id, host, pid, lease_expires_at) VALUES ('n1', 'one', 11, now() + interval '30 s'),"
            " ('n2', 'two', 22, now() - interval '1 s')"
        )
        for key, lease in (("a", "1 minute"), ("b", "1 minute"), ("c", "-1 second")):
            self.add_crawler(key, lease=lease, plain=False)
        for number, key in enumerate("aab"):
            self.query(
                "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key)"
                " VALUES (%s, %s, 'acme', 1, %s)",
                *(await self.job(full_path=f"g/{number}"), f"x{number}", key),
            )
        self.query(
            "INSERT INTO socket_connections (id, crawler_key, node_id) VALUES ('1', 'a', 'n1'), ('2', 'b', 'n1')"
        )
        self.query("INSERT INTO operations (action, created_by, node_id) VALUES ('retry', 'x', 'n1')")
        answer = (await self.get("/api/v1/nodes?total=true")).document
        self.assertEqual((answer["total"], answer["next"]), (2, None))
        one, two = answer["nodes"]
        for name, first, second in (
            ("id", "n1", "n2"), ("host", "one", "two"), ("pid", 11, 22), ("live", True, False), ("crawlers", 2, 0),
            ("assignments", 3, 0), ("connections", 2, 0), ("operations", 1, 0),
        ):  # fmt: skip
            self.assertEqual((one[name], two[name]), (first, second), name)
        self.assertLess(two["lease_expires_at"], one["lease_expires_at"])
