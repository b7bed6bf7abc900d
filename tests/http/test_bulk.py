"""Finding jobs, bulk operations, deleting jobs and waiting for them, over HTTP."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from copilot_socket.core.jobs import Event
from copilot_socket.http import endings
from copilot_socket.store import bulk, job_filters, listing
from copilot_socket.store.job_lists import JobLists
from tests.http.harness import SiteTestCase

JOBS, BULK, OPERATIONS = "/api/v1/jobs", "/api/v1/jobs/bulk", "/api/v1/operations"


class FindTests(SiteTestCase):
    """GET /api/v1/jobs with filters; tests/store/test_job_lists.py has their meaning."""

    async def test_filters_order_and_total(self) -> None:
        """Several states and commands, a search, an order, pages with a total."""
        await self.account()
        jobs = [await self.job(full_path=f"g/p{n}", user_id="ann") for n in range(4)]
        other = await self.job(command="commits", full_path="g/p1")
        await self.transitions.apply([jobs[0]], Event.CANCELLED)
        query = (
            "?status=queued,cancelled&command=issues,epics&user_id=ann&search=G/p&order=full_path&limit=3&total=true"
        )
        answer = await self.get(JOBS + query)
        self.assertEqual([job["id"] for job in answer.document["jobs"]], jobs[:3])
        self.assertEqual((answer.document["total"], answer.document["total_exact"]), (4, True))
        answer = await self.get(f"{JOBS}{query}&cursor={answer.document['next']}")
        self.assertEqual([job["id"] for job in answer.document["jobs"]], jobs[3:])
        answer = await self.get(f"{JOBS}?path_prefix=g/p1/&started=false&spawned=false&order=-full_path")
        self.assertEqual([job["id"] for job in answer.document["jobs"]], [other, jobs[1]])
        self.assertNotIn("total", answer.document)

    async def test_refused(self) -> None:
        """Every fault is named with what is allowed."""
        answer = await self.get(
            f"{JOBS}?status=queued,lost&started=maybe&root=x&created_after=now&order=id&total=1&x=1"
        )
        self.assertEqual(
            self.paths(answer),
            ["?status", "?started", "?root", "?created_after", "?order", "?total", "?x"],
        )
        self.assertIn("true or false", answer.document["errors"][1]["message"])

    async def test_too_slow(self) -> None:
        """A filter without an index is given up after a while; the answer names what to add."""
        self.patch(job_filters, "CONDITIONS", {**job_filters.CONDITIONS, "search": "pg_sleep(5) IS NOT NULL"})
        self.patch(listing, "PATIENCE", 0.05)
        await self.account()
        await self.job()
        for path in (f"{JOBS}?search=x", f"{JOBS}?search=x&total=true"):
            answer = await self.get(path)
            self.assertEqual(answer.status, 422)
            self.assertIn("account_id", answer.document["errors"][0]["message"])
        answer = await self.post(BULK, {"action": "cancel", "filter": {"search": "x"}, "dry_run": True})
        self.assertEqual(answer.status, 422)

    async def test_a_cursor_of_another_order(self) -> None:
        """It is refused, or finds nothing; it never fails."""
        await self.account()
        for path in ("a", "b", "c"):
            await self.job(full_path=path)
        cursor = (await self.get(f"{JOBS}?limit=1&order=full_path")).document["next"]
        for order in ("created_at", "-updated_at", "finished_at", "-full_path"):
            self.assertIn((await self.get(f"{JOBS}?order={order}&cursor={cursor}")).status, (200, 422), order)
        own = (await self.get(f"{JOBS}?limit=1")).document["next"]
        self.assertEqual(self.paths(await self.get(f"{JOBS}?order=updated_at&cursor={own}")), ["?cursor"])


class BulkTests(SiteTestCase):
    """POST /api/v1/jobs/bulk, and operations."""

    async def jobs(self, *paths: str) -> list[str]:
        """Failed jobs."""
        await self.account()
        jobs = [await self.job(full_path=path) for path in paths]
        await self.transitions.apply(jobs, Event.CANCELLED)
        return jobs

    async def run_all(self) -> None:
        """Carry out all slices."""
        while await self.bulk.run_slice(2) is not None:
            pass

    async def test_preview_run_and_result(self) -> None:
        """A preview changes nothing; then the operation's object tells how far it is, and what was done."""
        jobs = await self.jobs("a", "b", "c")
        asked = {"action": "retry", "filter": {"status": ["failed", "cancelled"], "account_id": "acme"}}
        preview = await self.post(BULK, {**asked, "dry_run": True})
        self.assertEqual(
            (preview.status, preview.document),
            (200, {"action": "retry", "expected": 3, "expected_exact": True, "states": {"cancelled": 3}}),
        )
        self.assertEqual((await self.get(OPERATIONS)).document["operations"], [])
        started = await self.post(BULK, asked)
        self.assertEqual((started.status, started.document["status"]), (202, "running"))
        place = started.header("Location") or ""
        self.assertEqual(place, f"{OPERATIONS}/{started.document['id']}")
        await self.bulk.run_slice(2)
        self.assertEqual((await self.get(place)).document["changed_total"], 2)
        await self.run_all()
        done = (await self.get(place)).document
        expected = {"status": "done", "changed": {"cancelled": 3}, "changed_total": 3, "skipped": {}, "ids": None}
        self.assertEqual({name: done[name] for name in expected}, expected)
        self.assertEqual(done["filter"], asked["filter"] | {"status": ["cancelled", "failed"]})
        self.assertEqual((await self.get(OPERATIONS + "?status=done")).document["operations"], [done])
        shown = (await self.get(JOBS)).document["jobs"]
        self.assertEqual({job["id"]: job["status"] for job in shown}, dict.fromkeys(jobs, "queued"))

    async def test_ids(self) -> None:
        """Jobs may be named; those whose state does not allow the action are not counted."""
        jobs = await self.jobs("a", "b")
        live = await self.job(full_path="live")
        started = await self.post(BULK, {"action": "delete", "ids": [*jobs, live]})
        self.assertEqual((started.document["expected"], started.document["ids"]), (2, 3))
        await self.run_all()
        self.assertEqual([job["id"] for job in (await self.get(JOBS)).document["jobs"]], [live])

    async def test_abort(self) -> None:
        """An operation ends where it is; a second time that is a conflict."""
        await self.jobs("a", "b", "c")
        place = (await self.post(BULK, {"action": "retry", "filter": {}})).header("Location") or ""
        await self.bulk.run_slice(1)
        answer = await self.post(f"{place}/abort")
        self.assertEqual((answer.status, answer.document["status"]), (200, "aborted"))
        answer = await self.post(f"{place}/abort")
        self.assertEqual((answer.status, answer.document["state"]), (409, "aborted"))
        await self.run_all()
        self.assertEqual((await self.get(place)).document["changed_total"], 1)

    async def test_refused(self) -> None:
        """Faults in the filter have their place; an operation is about ids or a filter."""
        bad = {"action": "explode", "filter": {"status": "failed", "root": 1, "statuses": []}, "dry_run": 0}
        self.assertEqual(
            self.paths(await self.post(BULK, bad)),
            ["/action", "/filter/status", "/filter/root", "/filter/statuses", "/dry_run"],
        )
        for both in ({"action": "retry"}, {"action": "retry", "ids": ["0" * 26], "filter": {}}):
            self.assertEqual(self.paths(await self.post(BULK, both)), [""])
        for unknown in ("/x", "/x/abort"):
            method = "POST" if unknown.endswith("abort") else "GET"
            self.assertEqual((await self.request(method, OPERATIONS + unknown)).status, 404)


class DeleteTests(SiteTestCase):
    """DELETE /api/v1/jobs/{id}."""

    async def test_only_the_dead(self) -> None:
        """A live job is not deleted; a terminal one is gone, and recorded by whom."""
        await self.account()
        job = await self.job()
        answer = await self.request("DELETE", f"{JOBS}/{job}")
        self.assertEqual((answer.status, answer.document["state"]), (409, "queued"))
        await self.transitions.apply([job], Event.CANCELLED)
        answer = await self.request("DELETE", f"{JOBS}/{job}")
        self.assertEqual((answer.status, answer.document), (200, {"id": job, "deleted": True}))
        for _ in range(2):
            self.assertEqual((await self.request("DELETE", f"{JOBS}/{job}")).status, 404)
        rows = self.query("SELECT actor, target, details FROM audit_log WHERE action = 'job.delete'")
        self.assertEqual(rows, [("token:COPILOT_HTTP_TOKEN", job, {"status": "cancelled"})])


class WaitTests(SiteTestCase):
    """GET /api/v1/jobs/{id}?wait=."""

    async def waiting(self, job: str, seconds: int) -> "Deferred[Any]":
        """A request that waits already."""
        d = Deferred.fromCoroutine(self.get(f"{JOBS}/{job}?wait={seconds}"))
        await deferLater(reactor, 0.1)
        self.assertNoResult(d)
        return d

    async def test_the_end(self) -> None:
        """The answer comes with the end, which this node or another one has stored."""
        await self.account()
        here, there = await self.job(full_path="here"), await self.job(full_path="there")
        self.patch(endings, "LOOK", 60.0)
        d = await self.waiting(here, 30)
        await self.transitions.apply([here], Event.CANCELLED)
        self.assertEqual((await d).document["status"], "cancelled")
        self.patch(endings, "LOOK", 0.2)
        d = await self.waiting(there, 30)
        self.query("UPDATE jobs SET status = 'cancelled' WHERE id = %s", there)
        self.assertEqual((await d).document["status"], "cancelled")
        self.assertEqual((await self.get(f"{JOBS}/{there}?wait=60")).document["status"], "cancelled")

    async def test_patience(self) -> None:
        """After the given time the job is shown as it is; a client that has gone leaves nothing behind."""
        await self.account()
        job = await self.job()
        self.assertEqual((await self.get(f"{JOBS}/{job}?wait=1")).document["status"], "queued")
        self.assertEqual(self.paths(await self.get(f"{JOBS}/{job}?wait=61")), ["?wait"])
        self.assertEqual((await self.get(f"{JOBS}/{'0' * 26}?wait=9")).status, 404)


class LimitedTests(SiteTestCase):
    """Tokens that are limited to users."""

    async def test_own_jobs_and_operations(self) -> None:
        """Such a token finds, previews, changes and deletes its own, and sees no operation of others."""
        await self.account()
        own, foreign = await self.job(user_id="ann"), await self.job(full_path="x", user_id="bob")
        await self.transitions.apply([own, foreign], Event.CANCELLED)
        made = await self.post("/api/v1/tokens", {"name": "ann", "role": "app", "users": ["ann"]})
        headers = {"Authorization": f"Bearer {made.document['token']}"}
        operator = await self.post(BULK, {"action": "retry", "ids": [foreign]})
        listed = await self.get(f"{JOBS}?total=true", headers=headers)
        self.assertEqual(([job["id"] for job in listed.document["jobs"]], listed.document["total"]), ([own], 1))
        started = await self.post(BULK, {"action": "delete", "filter": {}}, headers=headers)
        self.assertEqual((started.status, started.document["expected"]), (202, 1))
        listed = await self.get(OPERATIONS, headers=headers)
        self.assertEqual([each["id"] for each in listed.document["operations"]], [started.document["id"]])
        answer = await self.post(f"{OPERATIONS}/{operator.document['id']}/abort", headers=headers)
        self.assertEqual(answer.status, 404)
        self.assertEqual((await self.request("DELETE", f"{JOBS}/{foreign}", headers=headers)).status, 404)
        while await self.bulk.run_slice(9) is not None:
            pass
        self.assertEqual([job["id"] for job in (await self.get(JOBS)).document["jobs"]], [foreign])


class RaceTests(SiteTestCase):
    """Jobs whose state changes between its reading and the act."""

    async def test_in_another_state_meanwhile(self) -> None:
        """An operation on jobs in one state skips a job that has left it, and leaves it alone."""
        await self.account()
        below, job, after = JobLists.below, "", ""

        async def then(*args: Any) -> Any:
            found = await below(*args)
            self.query("UPDATE jobs SET status = %s WHERE id = %s", after, job)
            return found

        self.patch(JobLists, "below", then)
        for action, before, after in (
            ("cancel", "queued", "paused"),
            ("pause", "queued", "waiting_credential"),
            ("retry", "failed", "cancelled"),
            ("resume", "paused", "queued"),
            ("delete", "failed", "completed"),
        ):
            job = await self.job(full_path=action)
            self.query("UPDATE jobs SET status = %s WHERE id = %s", before, job)
            started = await self.post(BULK, {"action": action, "filter": {"status": [before]}})
            await self.bulk.run_slice(9)
            self.assertEqual((await self.get(f"{JOBS}/{job}")).document["status"], after)
            self.assertEqual(await self.bulk.run_slice(9), 0.0)
            shown = (await self.get(f"{OPERATIONS}/{started.document['id']}")).document
            self.assertEqual((shown["changed_total"], shown["skipped"]), (0, {"state": 1}), action)
            self.query("DELETE FROM jobs")

    async def test_retried_before_it_is_deleted(self) -> None:
        """It is not deleted: 409, and its children keep their parent."""
        await self.account()
        parent, child = await self.job(full_path="parent"), await self.job(full_path="child")
        self.query("UPDATE jobs SET spawned_from = %s WHERE id = %s", parent, child)
        await self.transitions.apply([parent], Event.CANCELLED)
        orphan = bulk.orphan_children

        async def retry_first(*args: Any) -> None:
            await self.transitions.apply([parent], Event.RETRIED)
            await orphan(*args)

        self.patch(bulk, "orphan_children", retry_first)
        answer = await self.request("DELETE", f"{JOBS}/{parent}")
        self.assertEqual((answer.status, answer.document["state"]), (409, "queued"))
        self.assertEqual((await self.get(f"{JOBS}/{child}")).document["spawned_from"], parent)
