"""Accounts, areas, crawlers and stats over HTTP."""

from copilot_socket.core.jobs import Event, Status
from copilot_socket.event_bus import JobChanged
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


class AreaTests(SiteTestCase):
    """GET /api/v1/areas."""

    async def test_areas(self) -> None:
        """Areas come by GitLab and path; filters narrow them to a type, a GitLab, or what an account may see."""
        await self.account()
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type)"
            " SELECT gitlab_origin, a.* FROM (VALUES ('g', 1, 'G', 'group'), ('g/p', 2, 'P', 'project'),"
            " ('h', NULL, 'H', 'group')) AS a, accounts"
        )
        self.query("INSERT INTO areas (gitlab_origin, full_path, name, type) VALUES ('https://x', 'x', 'X', 'group')")
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT 'acme', gitlab_origin, full_path FROM areas WHERE full_path <> 'h'"
        )
        for query, expected in (
            ("", ["g", "g/p", "h", "x"]),
            ("?type=group", ["g", "h", "x"]),
            ("?gitlab_origin=https://x", ["x"]),
            ("?gitlab_origin=HTTPS://X:443/api/v4/", ["x"]),
            ("?account_id=acme", ["g", "g/p"]),
            ("?account_id=acme&type=project", ["g/p"]),
            ("?account_id=none", []),
        ):
            areas = (await self.get(f"/api/v1/areas{query}")).document["areas"]
            self.assertEqual([area["full_path"] for area in areas], expected, query)
        self.assertEqual(self.paths(await self.get("/api/v1/areas?type=user&limit=-1")), ["?type", "?limit"])


class CrawlerTests(SiteTestCase):
    """GET /api/v1/crawlers and stats."""

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
        self.assertEqual(
            first,
            {
                "id": "id-a", "key": "a", "node_id": "n1", "plain": False, "connected": True, "max_jobs": 2,
                "mode": "serving", "suspected_at": None, "owner": "uid:1000",
                "entity_types": ["issue"], "active_jobs": ["held"], "last_heartbeat": "2026-01-03T00:00:00Z",
                "system_status": "error", "connections": 3,
            },
        )  # fmt: skip
        self.assertEqual(
            (second["connected"], second["plain"], second["active_jobs"], second["connections"]), (False, True, [], 0)
        )
        self.assertEqual((second["last_heartbeat"], second["system_status"]), ("2026-01-02T00:00:00Z", "idle"))

    async def test_stats(self) -> None:
        """Every state is counted, also those that no job is in."""
        await self.account()
        self.add_crawler("a", lease="1 minute", plain=True)
        self.add_crawler("b", lease="-1 minute", plain=False)
        await self.job()
        await self.job(command="epics")
        await self.job(command="group", scheduled_at="2090-01-01T00:00:00Z")
        await self.post(f"/api/v1/jobs/{await self.job(command='commits')}/cancel")
        stats = (await self.get("/api/v1/stats")).document
        self.assertEqual(set(stats["jobs"]), {str(status) for status in Status})
        self.assertEqual((stats["jobs"]["queued"], stats["jobs"]["cancelled"], stats["jobs"]["failed"]), (3, 1, 0))
        self.assertGreaterEqual(stats["queue"].pop("oldest_seconds"), 0)
        self.assertEqual(
            stats["queue"],
            {
                "ready": 2,
                "held_back": 0,
                "scheduled": 1,
                "unroutable": 1,
                "unroutable_commands": {"epics": 1},
            },
        )
        self.assertEqual(stats["crawlers"], {"connected": 1, "plain": 1, "known": 2, "assignments": 0})
