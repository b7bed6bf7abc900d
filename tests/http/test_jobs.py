"""Jobs over HTTP, from the outside."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.store import transitions
from tests.http.harness import SiteTestCase

JOBS = "/api/v1/jobs"


class SubmitTests(SiteTestCase):
    """POST /api/v1/jobs."""

    async def test_one(self) -> None:
        """A single job is created with its defaults, and the dispatcher is notified of its lane."""
        await self.account()
        answer = await self.post(JOBS, {"account_id": "acme", "command": "issues", "full_path": "g/p"})
        self.assertEqual(answer.status, 201)
        job_id = answer.document["id"]
        self.assertEqual(answer.document, {"id": job_id, "ids": [job_id], "created": [True]})
        self.assertEqual(self.lanes, [("acme", "issues")])
        shown = (await self.get(f"{JOBS}/{job_id}")).document
        expected = {
            "status": "queued",
            "provider": "gitlab-onprem",
            "gitlab_url": "https://gitlab.example",
            "priority": 0,
            "max_attempts": 4,
            "progress": {},
            "resume_state": None,
            "assignment": None,
            "attempts": 0,
            "tries": 0,
            "failures": 0,
            "history": [],
            "history_total": 0,
            "errors": [],
        }
        self.assertEqual({name: shown[name] for name in expected}, expected)
        self.assertTrue(shown["created_at"].endswith("Z"))

    async def test_every_field(self) -> None:
        """The fields of a job are stored as given; times of other zones are returned in UTC."""
        await self.account()
        given = {
            "command": "commits",
            "full_path": "g/ä",
            "branch": "main",
            "user_id": "u1",
            "gitlab_url": "https://gitlab.example:443/git",
            "priority": -5,
            "scheduled_at": "2031-01-01T01:00:00+01:00",
            "max_attempts": 7,
            "resume_state": {"lastEntityId": "9", "deep": [{"x": 1.5}]},
        }
        shown = (await self.get(f"{JOBS}/{await self.job(**given)}")).document
        given["scheduled_at"] = "2031-01-01T00:00:00Z"
        self.assertEqual({name: shown[name] for name in given}, given)

    async def test_foreign_origins(self) -> None:
        """A job for another GitLab than its account's is refused: which job, what it names and what it may name."""
        await self.account()
        job = {"account_id": "acme", "command": "issues", "full_path": "g/1"}
        urls = (
            "https://evil.example/x",
            "http://gitlab.example",
            "https://gitlab.example:8443",
            "https://gitlab.example/y",
        )
        answer = await self.post(JOBS, [{**job, "full_path": f"g/{url}", "gitlab_url": url} for url in urls])
        self.assertEqual(self.paths(answer), ["/0/gitlab_url", "/1/gitlab_url", "/2/gitlab_url"])
        [first, *_] = answer.document["errors"]
        for said in ("got https://evil.example", "https://gitlab.example,"):
            self.assertIn(said, first["message"])
        for keyed in ({}, {"headers": {"Idempotency-Key": "k"}}):
            answer = await self.post(JOBS, {**job, "gitlab_url": "https://evil.example"}, **keyed)
            self.assertEqual(self.paths(answer), ["/gitlab_url"])
        self.assertEqual(self.query("SELECT count(*)::int FROM jobs"), [(0,)])
        self.assertEqual((await self.post(JOBS, {**job, "gitlab_url": urls[-1]})).status, 201)

    async def test_retry_after_a_move(self) -> None:
        """A job of the GitLab where its account was before is not retried: the account's token is not for it."""
        await self.account()
        job = await self.job()
        await self.post(f"{JOBS}/{job}/cancel")
        self.query("UPDATE accounts SET gitlab_url = 'https://new.example'")
        answer = await self.post(f"{JOBS}/{job}/retry")
        self.assertEqual(answer.status, 409)
        self.assertIn("https://new.example", answer.document["detail"])
        self.query("UPDATE accounts SET gitlab_url = 'https://GITLAB.example/moved'")
        self.assertEqual((await self.post(f"{JOBS}/{job}/retry")).status, 200)

    async def test_list_with_twins(self) -> None:
        """Jobs that are live already, in the database or earlier in the list, give those ids, in the list's order."""
        await self.account()
        old = await self.job(full_path="g/old")
        items = [
            {"account_id": "acme", "command": "issues", "full_path": path} for path in ("g/z", "g/old", "g/a", "g/z")
        ]
        answer = await self.post(JOBS, items)
        ids = answer.document["ids"]
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.document["created"], [True, False, True, False])
        self.assertEqual((ids[1], ids[3]), (old, ids[0]))
        self.assertLess(ids[0], ids[2])
        again = await self.post(JOBS, items)
        self.assertEqual((again.status, again.document), (200, {"ids": ids, "created": [False] * 4}))

    async def test_empty_list(self) -> None:
        """A list of no jobs is fine and creates nothing."""
        answer = await self.post(JOBS, data=b"[]", headers={"Content-Type": "application/json"})
        self.assertEqual((answer.status, answer.document), (200, {"ids": [], "created": []}))

    async def test_all_faults_at_once(self) -> None:
        """Every fault of every job is named by its pointer, and nothing is stored."""
        await self.account()
        answer = await self.post(
            JOBS,
            [
                {"account_id": "acme", "command": "issues", "full_path": "ok"},
                {"command": "nonsense", "a/b": 1, "priority": True},
                {"account_id": "acme", "command": "issues"},
                7,
                {"account_id": "acme", "command": "users", "scheduled_at": "2030-01-01T00:00:00", "max_attempts": 0},
                {"account_id": "acme", "command": "users", "resume_state": [], "gitlab_url": "ftp://x"},
            ],
        )
        self.assertEqual(
            self.paths(answer),
            [
                "/1/command", "/1/a~1b", "/1/priority", "/1/account_id", "/2/full_path", "/3", "/4/scheduled_at",
                "/4/max_attempts", "/5/resume_state", "/5/gitlab_url",
            ],
        )  # fmt: skip
        self.assertIn("GROUP_PROJECT_DISCOVERY", answer.document["errors"][0]["message"])
        self.assertIn("full_path", answer.document["errors"][1]["message"])
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(0,)])
        self.assertEqual(answer.header("content-type"), "application/problem+json")

    async def test_single_fault_path(self) -> None:
        """The pointer into a single object has no index."""
        self.assertEqual(self.paths(await self.post(JOBS, {"account_id": "a", "command": "x"})), ["/command"])

    async def test_unknown_account(self) -> None:
        """Unknown accounts are reported, each at its path; nothing is stored."""
        await self.account()
        answer = await self.post(
            JOBS, [{"account_id": name, "command": "users"} for name in ("acme", "nobody", "acme", "none")]
        )
        self.assertEqual(self.paths(answer), ["/1/account_id", "/3/account_id"])
        self.assertIn("'nobody'", answer.document["errors"][0]["message"])
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(0,)])

    async def test_unstorable_strings(self) -> None:
        """U+0000 and lone surrogates are refused wherever they stand; a backslash before u0000 is just text."""
        await self.account()
        body = (
            rb'[{"account_id":"acme","command":"users","branch":"a\u0000"},'
            rb'{"account_id":"acme","command":"users","user_id":"\ud800"},'
            rb'{"account_id":"acme","command":"users","resume_state":{"x":[{"\u0000":1}]}},'
            rb'{"account_id":"acme","command":"users","resume_state":{"x":"\udfff"}},'
            rb'{"account_id":"acme","command":"users","resume_state":{"x":"\\u0000"}}]'
        )
        answer = await self.post(JOBS, data=body, headers={"Content-Type": "application/json"})
        self.assertEqual(self.paths(answer), ["/0/branch", "/1/user_id", "/2/resume_state", "/3/resume_state"])

    async def test_longest(self) -> None:
        """What passes the checks fits into the index; what would not is named."""
        await self.account()
        fits = "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(1024 // 3))
        await self.job(full_path=fits, branch=fits[::-1])
        longer = {"account_id": "acme", "command": "issues", "full_path": fits + "xx", "branch": fits + "xx"}
        self.assertEqual(self.paths(await self.post(JOBS, longer)), ["/full_path", "/branch"])

    async def test_too_many(self) -> None:
        """A list of more than 10,000 jobs is refused, whatever is in it."""
        self.assertEqual(self.paths(await self.post(JOBS, [0] * 10_001)), [""])

    async def test_not_json(self) -> None:
        """A body that is not JSON is 400, one of another type 415, also none at all."""
        for body in (b"", b"{", b"[NaN]", b'{"a":1e999}', b"\xff", b"[" * 100_000):
            answer = await self.post(JOBS, data=body, headers={"Content-Type": "application/json"})
            self.assertEqual(answer.status, 400, body[:20])
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await self.post(JOBS, data=b"{}", headers={"Content-Type": kind})
            self.assertEqual(answer.status, 415)
        self.assertEqual((await self.post(JOBS)).status, 415)

    async def test_concurrent_bulk(self) -> None:
        """Of many concurrent submissions of the same jobs in different orders, exactly one creates each job."""
        await self.account()
        items = [{"account_id": "acme", "command": "issues", "full_path": f"g/{i}"} for i in range(300)]
        orders = [items, items[::-1], items[150:] + items[:150], items[::2] + items[1::2]]
        answers = await gatherResults([Deferred.fromCoroutine(self.post(JOBS, order)) for order in orders])
        ids = {}
        for order, answer in zip(orders, answers, strict=True):
            self.assertIn(answer.status, (200, 201), answer.body)
            for item, job_id in zip(order, answer.document["ids"], strict=True):
                self.assertEqual(ids.setdefault(item["full_path"], job_id), job_id)
        self.assertEqual(sum(sum(answer.document["created"]) for answer in answers), 300)


class IdempotencyTests(SiteTestCase):
    """Idempotency-Key."""

    job_body = {"account_id": "acme", "command": "issues", "full_path": "g/p"}

    async def submit(self, key: str, **fields: object) -> tuple[int, object]:
        """POST with a key."""
        answer = await self.post(JOBS, self.job_body | fields, headers={"Idempotency-Key": key})
        return answer.status, answer.document

    async def test_same_again(self) -> None:
        """The same key and body get the same answer, status included, even after the job is over."""
        await self.account()
        first = await self.submit("k")
        self.assertEqual(first[0], 201)
        self.query("UPDATE jobs SET status = 'cancelled'")
        self.assertEqual(await self.submit("k"), first)
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(1,)])

    async def test_other_body(self) -> None:
        """The same key with another body is refused."""
        await self.account()
        await self.submit("k")
        status, document = await self.submit("k", branch="main")
        self.assertEqual(status, 422)
        self.assertIn("Idempotency-Key", document["detail"])

    async def test_failure_frees_the_key(self) -> None:
        """A request that was refused leaves its key unused."""
        self.assertEqual((await self.submit("k"))[0], 422)
        await self.account()
        self.assertEqual((await self.submit("k"))[0], 201)

    async def test_concurrent(self) -> None:
        """Of several concurrent requests one takes effect, and all get its answer."""
        await self.account()
        answers = await gatherResults([Deferred.fromCoroutine(self.submit("k")) for _ in range(4)])
        self.assertEqual(answers, [answers[0]] * 4)
        self.assertEqual(answers[0][0], 201)

    async def test_bad_key(self) -> None:
        """A key that is too long or not printable is refused."""
        for key in ("x" * 256, "ä"):
            self.assertEqual((await self.submit(key))[0], 422)


class ReadTests(SiteTestCase):
    """GET /api/v1/jobs and one job."""

    async def test_pages(self) -> None:
        """A list comes newest first, in pages that leave nothing out and repeat nothing."""
        await self.account()
        ids = [await self.job(full_path=f"g/{i}") for i in range(5)]
        seen: list[str] = []
        query = "?limit=2"
        for size in (2, 2, 1):
            page = (await self.get(JOBS + query)).document
            self.assertEqual(len(page["jobs"]), size)
            seen += [job["id"] for job in page["jobs"]]
            query = f"?limit=2&cursor={page['next']}"
        self.assertIsNone(page["next"])
        self.assertEqual(seen, sorted(ids, reverse=True))

    async def test_filters(self) -> None:
        """Filters narrow the list, alone and together."""
        await self.account()
        await self.account("other")
        first = await self.job()
        second = await self.job(account_id="other", command="commits")
        self.query("UPDATE jobs SET status = 'failed' WHERE id = %s", second)
        for query, ids in (
            ("status=failed", [second]),
            ("account_id=acme", [first]),
            ("command=commits&status=queued", []),
            ("full_path=g/p&command=commits", [second]),
            ("full_path=g/none", []),
        ):
            listed = (await self.get(f"{JOBS}?{query}")).document["jobs"]
            self.assertEqual([job["id"] for job in listed], ids, query)

    async def test_bad_queries(self) -> None:
        """Unknown parameters, bad limits, cursors and filters are all reported together."""
        query = "?limit=1001&cursor=!&status=done&color=red&limit=2"
        answer = await self.get(JOBS + query)
        self.assertEqual(self.paths(answer), ["?limit", "?cursor", "?status", "?color", "?limit"])
        self.assertIn("account_id", answer.document["errors"][3]["message"])
        for query in ("?limit=0", "?limit=x", "?limit=", "?full_path=%00", "?cursor=AA"):
            self.assertEqual((await self.get(JOBS + query)).status, 422, query)
        for query in ("?a", "?full_path=%ff", "?" + "&".join(["a=1"] * 60)):
            self.assertEqual((await self.get(JOBS + query)).status, 400, query)

    async def test_show(self) -> None:
        """A job is shown with its assignment, its attempts and its errors."""
        await self.account()
        job_id = await self.job()
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key)"
            " VALUES (%s, %s, 'acme', 2, 'key')",
            job_id,
            f"{job_id}.2.x",
        )
        self.query(
            "INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, outcome, reason)"
            " VALUES (%s, 1, %s, 'key', now(), 'failed', 'broke')",
            job_id,
            f"{job_id}.1.x",
        )
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable, context)"
            " VALUES (%s, 'one', true, '{\"a\": 1}'), (%s, 'two', false, NULL)",
            job_id,
            job_id,
        )
        shown = (await self.get(f"{JOBS}/{job_id}")).document
        self.assertEqual(shown["assignment"]["crawler_job_id"], f"{job_id}.2.x")
        self.assertEqual([(item["try"], item["reason"]) for item in shown["history"]], [(1, "broke")])
        self.assertEqual([error["error_message"] for error in shown["errors"]], ["one", "two"])
        self.assertEqual(shown["errors"][0]["context"], {"a": 1})

    async def test_nothing_there(self) -> None:
        """An id of no job is 404, also one that can't be an id."""
        for job_id in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x", "%00", "a%2Fb", "%ff"):
            for method, action in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
                answer = await self.request(method, f"{JOBS}/{job_id}{action}")
                self.assertEqual(answer.status, 404, (job_id, action))


class ChangeTests(SiteTestCase):
    """Cancel and retry."""

    async def test_cancel_and_retry(self) -> None:
        """A job is cancelled once, then can be retried once."""
        await self.account()
        job_id = await self.job()
        cancelled = await self.post(f"{JOBS}/{job_id}/cancel")
        self.assertEqual((cancelled.status, cancelled.document), (200, {"id": job_id, "status": "cancelled"}))
        again = await self.post(f"{JOBS}/{job_id}/cancel", {})
        self.assertEqual((again.status, again.document["state"]), (409, "cancelled"))
        retried = await self.post(f"{JOBS}/{job_id}/retry")
        self.assertEqual((retried.status, retried.document["status"]), (200, "queued"))
        refused = await self.post(f"{JOBS}/{job_id}/retry")
        self.assertEqual((refused.status, refused.document["state"]), (409, "queued"))

    async def test_twin(self) -> None:
        """A retry beside a live twin is refused and names it."""
        await self.account()
        job_id = await self.job()
        await self.post(f"{JOBS}/{job_id}/cancel")
        twin = await self.job()
        answer = await self.post(f"{JOBS}/{job_id}/retry")
        self.assertEqual((answer.status, answer.document["twin"]), (409, twin))

    async def test_twin_comes_meanwhile(self) -> None:
        """A twin that comes between the look for one and the retry is named all the same."""
        await self.account()
        job_id = await self.job()
        await self.post(f"{JOBS}/{job_id}/cancel")
        twin = await self.job()
        look = transitions._obstacles
        looks = []

        async def too_early(*args: Any) -> Any:
            looks.append(args)
            return await look(*args) if len(looks) > 1 else {}

        self.patch(transitions, "_obstacles", too_early)
        answer = await self.post(f"{JOBS}/{job_id}/retry")
        self.assertEqual((answer.status, answer.document["twin"], len(looks)), (409, twin, 2))

    async def test_body(self) -> None:
        """These actions take no fields."""
        await self.account()
        job_id = await self.job()
        self.assertEqual((await self.post(f"{JOBS}/{job_id}/cancel", {"reason": "x"})).status, 422)
        self.assertEqual((await self.post(f"{JOBS}/{job_id}/cancel", data=b"{}")).status, 415)
