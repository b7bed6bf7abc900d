"""Deleting accounts, and discovering their areas again, over HTTP."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core import bulk
from copilot_socket.core.jobs import Event
from copilot_socket.event_bus import JobCreated, PauseChanged
from copilot_socket.store import account_deletion
from copilot_socket.store.connection import Transaction
from tests.http.test_tokens import TokenTestCase
from tests.support.locks import until_waiting

ACCOUNTS, JOBS = "/api/v1/accounts", "/api/v1/jobs"


class DeletionTests(TokenTestCase):
    """DELETE /api/v1/accounts/{id}."""

    async def delete(self, name: str = "acme", **kwargs: Any) -> tuple[int, Any]:
        """The status and document."""
        answer = await self.request("DELETE", f"{ACCOUNTS}/{name}", **kwargs)
        return answer.status, answer.document

    async def jobs(self, number: int, account: str = "acme") -> list[str]:
        """Cancelled jobs."""
        paths = [f"g/p{n}" for n in range(number)]
        listed = [{"account_id": account, "command": "issues", "full_path": path} for path in paths]
        jobs = (await self.post(JOBS, listed)).document["ids"]
        await self.transitions.apply(jobs, Event.CANCELLED)
        return list(jobs)

    async def test_all_of_it(self) -> None:
        """With an account go its jobs with their attempts, authorizations, pauses and budgets; of others nothing."""
        await self.account()
        await self.account("other")
        mine = await self.jobs(3)
        [child] = await self.jobs(1, "other")
        self.query("UPDATE jobs SET spawned_from = %s WHERE id = %s", mine[0], child)
        self.query(
            "INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, outcome)"
            " SELECT id, 1, id, 'k', now(), 'cancelled' FROM jobs"
        )
        self.query("INSERT INTO areas (gitlab_origin, full_path, name, type) VALUES ('https://g', 'a', 'A', 'group')")
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT id, 'https://g', 'a' FROM accounts"
        )
        self.query(
            "INSERT INTO budgets (gitlab_origin, account_id, remaining) SELECT 'https://g', id, 1 FROM accounts"
        )
        for name in ("acme", "other"):
            await self.post("/api/v1/pauses", {"scope": "account", "target": name})
        self.events.clear()
        done = {"id": "acme", "deleted": True, "jobs_deleted": 3, "jobs_left": 0}
        self.assertEqual(await self.delete(), (200, done))
        for statement in (
            "SELECT id FROM accounts",
            "SELECT account_id FROM jobs",
            "SELECT account_id FROM area_authorizations",
            "SELECT account_id FROM budgets",
            "SELECT target FROM pauses",
        ):
            self.assertEqual(self.query(statement), [("other",)], statement)
        self.assertEqual(self.query("SELECT job_id FROM job_past_tries"), [(child,)])
        self.assertEqual(self.query("SELECT spawned_from FROM jobs"), [(None,)])
        ended = [(each.event, each.target) for each in self.events if isinstance(each, PauseChanged)]
        self.assertEqual(ended, [("ended", "acme")])
        self.assertEqual((await self.delete())[0], 404)
        self.assertEqual((await self.delete("%00"))[0], 404)

    async def test_live_jobs(self) -> None:
        """An account with a live job is not deleted, and neither are its other jobs."""
        await self.account()
        await self.jobs(2)
        live = await self.job(full_path="live")
        status, document = await self.delete()
        self.assertEqual(status, 409)
        self.assertIn("live jobs", document["detail"])
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(3,)])
        await self.transitions.apply([live], Event.CANCELLED)
        self.assertEqual((await self.delete())[0], 200)

    async def test_in_parts(self) -> None:
        """A request has some seconds: then it says what is left, and another one goes on."""
        await self.account()
        await self.jobs(5)
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, name, type)"
            " SELECT 'g', n, n, 'group' FROM unnest('{a,b,c}'::text[]) n"
        )
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT 'acme', 'g', full_path FROM areas"
        )
        self.patch(account_deletion, "PATIENCE", 0.0001)
        for name in ("FIRST_SLICE", "MOST"):
            self.patch(bulk, name, 2)
        lefts = []
        while (answer := await self.delete())[0] == 202:
            self.assertIs(answer[1]["deleted"], False)
            lefts.append((answer[1]["jobs_deleted"], answer[1]["jobs_left"]))
        self.assertEqual(lefts, [(2, 3), (2, 1), (1, 0), (0, 0), (0, 0)])
        self.assertEqual((answer[0], answer[1]["deleted"]), (200, True))
        rows = self.query(
            "SELECT action, details, count FROM audit_log WHERE action LIKE 'account.%' ORDER BY id OFFSET 1"
        )
        jobs, areas = {"of": "jobs"}, {"of": "areas"}
        self.assertEqual(
            rows,
            [("account.empty", jobs, n) for n in (2, 2, 1)]
            + [("account.empty", areas, n) for n in (2, 1)]
            + [("account.delete", {}, 1)],
        )

    async def test_a_job_meanwhile(self) -> None:
        """A job that comes to life after the first look keeps the account, or is refused; it is never lost."""
        await self.account()
        [job] = await self.jobs(1)
        original = account_deletion.delete_jobs

        async def retried(tx: Transaction, jobs: Any) -> Any:
            self.query("UPDATE jobs SET status = 'queued'")
            return await original(tx, jobs)

        self.patch(account_deletion, "delete_jobs", retried)
        status, document = await self.delete()
        self.assertEqual((status, "live jobs" in document["detail"]), (409, True))
        self.assertEqual(self.query("SELECT id, status FROM jobs"), [(job, "queued")])

    async def test_a_submission_meanwhile(self) -> None:
        """One that comes while the account is being deleted waits for that, and is told that there is none."""
        await self.account()
        original, submitted = account_deletion.AccountDeletion._end, list[Any]()

        async def end(*arguments: Any) -> Any:
            done = await original(*arguments)
            one = {"account_id": "acme", "command": "users"}
            submitted.extend(Deferred.fromCoroutine(self.post(JOBS, body)) for body in (one, [one, one]))
            await until_waiting(self, 2)
            return done

        self.patch(account_deletion.AccountDeletion, "_end", end)
        self.assertEqual((await self.delete())[0], 200)
        for answer in await gatherResults(submitted):
            self.assertIn(self.paths(answer), (["/account_id"], ["/0/account_id", "/1/account_id"]))

    async def test_two_at_once(self) -> None:
        """Both succeed, and each job is counted once."""
        await self.account()
        await self.jobs(9)
        self.patch(bulk, "FIRST_SLICE", 2)
        answers = await gatherResults([Deferred.fromCoroutine(self.delete()) for _ in range(2)])
        self.assertEqual([status for status, _ in answers], [200, 200])
        self.assertEqual(sum(document["jobs_deleted"] for _, document in answers), 9)
        self.assertEqual(self.query("SELECT count(*) FROM audit_log WHERE action = 'account.delete'"), [(1,)])

    async def test_rights(self) -> None:
        """It takes the role app, and a limited token may delete its accounts only."""
        await self.account()
        await self.account("other")
        operator = await self.make("operator", "operate")
        self.assertEqual((await self.delete(headers=operator))[0], 403)
        limited = await self.make("limited", "app", accounts=["acme"])
        self.assertEqual((await self.delete("other", headers=limited))[0], 403)
        self.assertEqual((await self.delete("acme", headers=limited))[0], 200)


class RediscoveryTests(TokenTestCase):
    """POST /api/v1/accounts/{id}/rediscover."""

    async def discover(self, hours: float | None = None, **kwargs: Any) -> tuple[int, Any]:
        """The status and document."""
        body = {} if hours is None else {"unless_within_hours": hours}
        answer = await self.post(f"{ACCOUNTS}/acme/rediscover", body, **kwargs)
        return answer.status, answer.document

    async def test_once(self) -> None:
        """A new job, which is announced and handed out like any other; not a second one while it is live."""
        await self.account()
        self.lanes.clear()
        self.bus.subscribe_by_type({JobCreated: self.events.append})
        status, document = await self.discover()
        self.assertEqual((status, document["created"]), (201, True))
        self.assertEqual(self.lanes, [("acme", "GROUP_PROJECT_DISCOVERY")])
        shown = (await self.get(f"{JOBS}/{document['id']}")).document
        self.assertEqual(
            (shown["command"], shown["full_path"], shown["max_attempts"]), ("GROUP_PROJECT_DISCOVERY", None, 4)
        )
        self.assertEqual([each.job_id for each in self.events if isinstance(each, JobCreated)], [document["id"]])
        self.assertEqual(await self.discover(), (200, {"id": document["id"], "created": False}))
        self.assertEqual(await self.discover(24), (200, {"id": document["id"], "created": False}))
        self.assertEqual(len(self.lanes), 1)
        await self.post(f"{JOBS}/{document['id']}/cancel")
        self.assertEqual((await self.discover(24))[0], 201)

    async def test_not_if_done_of_late(self) -> None:
        """One that was completed within the time will do; one of a part, a failed one or an older one won't."""
        await self.account()
        for path, status, ago in ((None, "completed", "26 h"), (None, "completed", "25 h"), ("g", "completed", "1 h"),
                                  (None, "failed", "1 h")):  # fmt: skip
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, status, finished_at, tries)"
                " VALUES ('acme', 'GROUP_PROJECT_DISCOVERY', %s, %s, now() - %s::interval, 1)",
                *(path, status, ago),
            )
        [(newest,)] = self.query(
            "SELECT id FROM jobs WHERE finished_at BETWEEN now() - interval '25.5 h' AND now() - interval '24 h'"
        )
        status, document = await self.discover(25.5)
        self.assertEqual((status, document["id"], document["created"]), (200, newest, False))
        self.assertIn("finished_at", document)
        self.assertEqual(self.lanes, [])
        self.assertEqual((await self.discover(24.5))[0], 201)

    async def test_at_once(self) -> None:
        """Of several requests at once one makes a job, also while one that was just completed would do."""
        await self.account()
        answers = await gatherResults([Deferred.fromCoroutine(self.discover(1)) for _ in range(4)])
        self.assertEqual(sorted(status for status, _ in answers), [200, 200, 200, 201])
        self.assertEqual(len({document["id"] for _, document in answers}), 1)
        self.assertEqual(self.query("SELECT count FROM audit_log WHERE action = 'job.submit'"), [(1,)])

    async def test_refused(self) -> None:
        """Unknown accounts, wrong times, and tokens that may not."""
        self.assertEqual((await self.discover())[0], 404)
        await self.account()
        for hours in (-1, "2", True, 8785, None):
            answer = await self.post(f"{ACCOUNTS}/acme/rediscover", {"unless_within_hours": hours, "x": 1})
            expected = ["/x"] if hours is None else ["/unless_within_hours", "/x"]
            self.assertEqual(self.paths(answer), expected, hours)
        reader = await self.make("reader", "read")
        self.assertEqual((await self.discover(headers=reader))[0], 403)
        foreign = await self.make("foreign", "app", accounts=["other"])
        self.assertEqual((await self.discover(headers=foreign))[0], 403)
        own = await self.make("own", "app", accounts=["acme"])
        self.assertEqual((await self.discover(headers=own))[0], 201)
