"""What is crawled for a user, over HTTP."""

from typing import Any

from copilot_socket.core.jobs import Status
from copilot_socket.store import user_crawls
from tests.http.test_tokens import TokenTestCase

USERS = "/api/v1/users"


class UserTests(TokenTestCase):
    """GET /api/v1/users/{id}."""

    async def user(self, name: str = "ann", **kwargs: Any) -> Any:
        """The answer's document."""
        answer = await self.get(f"{USERS}/{name}", **kwargs)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.document

    async def test_none(self) -> None:
        """Of a user without jobs nothing is known, and nothing is wrong."""
        found = await self.user()
        self.assertEqual((found["id"], found["state"], found["total"], found["progress"]), ("ann", "idle", 0, None))
        self.assertEqual(found["jobs"], dict.fromkeys(map(str, Status), 0))
        self.assertEqual((found["items"], found["accounts"], found["last_error"]), ({}, [], None))
        self.assertEqual((await self.get(f"{USERS}/{'x' * 256}")).status, 404)
        await self.user("%C3%A9" * 255)

    async def test_sums(self) -> None:
        """Jobs by state, items by entity, accounts, times, and the last error, of this user alone."""
        await self.account()
        await self.account("b")
        await self.account("other")
        for number, (account, user, status, progress, cause) in enumerate(
            (
                (
                    "acme",
                    "ann",
                    "completed",
                    '{"finalCounts": {"issue": 3, "note": 1.5}, "itemCounts": {"x": 9}}',
                    None,
                ),
                ("b", "ann", "completed", '{"finalCounts": {"issue": 4, "odd": "many", "note": 1}}', None),
                ("b", "ann", "completed", '{"finalCounts": [1]}', None),
                ("acme", "ann", "failed", '{"finalCounts": {"issue": 100}}', "job_error"),
                ("acme", "ann", "failed", "{}", "timed_out"),
                ("acme", "ann", "queued", "{}", "released"),
                ("other", "bob", "completed", '{"finalCounts": {"issue": 1000}}', None),
            )
        ):
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, user_id, status, progress, cause, created_at,"
                " updated_at, started_at, finished_at, tries)"
                " SELECT %s, 'issues', 'g/' || %s, %s, %s, %s, %s, at, at, CASE WHEN %s <> 'queued' THEN at END,"
                " CASE WHEN %s <> 'queued' THEN at END, 1"
                " FROM (SELECT timestamptz '2026-01-01Z' + %s * interval '1 hour' AS at) AS a",
                *(account, str(number), user, status, progress, cause, status, status, number),
            )
        self.query(
            "INSERT INTO job_error_log (job_id, timestamp, error_type, error_message, is_recoverable)"
            " SELECT id, '2026-02-01Z', 'Slow', m, true FROM jobs, unnest(ARRAY['first', repeat('x', 2000)]) m"
            " WHERE cause = 'timed_out'"
        )
        self.query(
            "UPDATE accounts SET token_expires_at = '2031-01-01Z', credential_status = 'expired' WHERE id = 'b'"
        )
        found = await self.user()
        last_error = found.pop("last_error")
        self.assertEqual(
            {name: value for name, value in found.items() if name != "jobs"},
            {
                "id": "ann", "state": "running", "total": 6, "progress": 5 / 6, "jobs_read": 6,
                "items": {"issue": 7, "note": 3, "odd": 0},
                "accounts": [
                    {"id": "acme", "gitlab_url": "https://gitlab.example", "credential_status": "valid",
                     "token_expires_at": None},
                    {"id": "b", "gitlab_url": "https://gitlab.example", "credential_status": "expired",
                     "token_expires_at": "2031-01-01T00:00:00Z"},
                ],
                "first_created_at": "2026-01-01T00:00:00Z", "last_created_at": "2026-01-01T05:00:00Z",
                "first_started_at": "2026-01-01T00:00:00Z", "last_finished_at": "2026-01-01T04:00:00Z",
            },
        )  # fmt: skip
        self.assertEqual(
            {state: count for state, count in found["jobs"].items() if count},
            {"completed": 3, "failed": 2, "queued": 1},
        )
        self.assertEqual((last_error["full_path"], last_error["cause"]), ("g/4", "timed_out"))
        self.assertEqual((last_error["timestamp"], last_error["error_type"]), ("2026-02-01T00:00:00Z", "Slow"))
        self.assertEqual(last_error["error_message"], "x" * 1000)
        self.query("DELETE FROM job_error_log")
        last_error = (await self.user())["last_error"]
        self.assertEqual((last_error["timestamp"], last_error["error_message"]), ("2026-01-01T04:00:00Z", None))
        self.patch(user_crawls, "MOST_READ", 1)
        found = await self.user()
        self.assertEqual((found["total"], found["jobs_read"], found["items"]), (6, 3, {}))

    async def test_limited(self) -> None:
        """A token that is limited sees its users, and the jobs of its accounts."""
        await self.account()
        await self.account("b")
        for account in ("acme", "b"):
            await self.job(account_id=account, user_id="ann")
        users = await self.make("users", "app", users=["ann"])
        self.assertEqual((await self.user(headers=users))["total"], 2)
        self.assertEqual((await self.get(f"{USERS}/bob", headers=users)).status, 403)
        accounts = await self.make("accounts", "app", accounts=["b"])
        found = await self.user(headers=accounts)
        self.assertEqual((found["total"], [each["id"] for each in found["accounts"]]), (1, ["b"]))

    async def test_waiting(self) -> None:
        """Pauses of each scope, a paused path and a credential keep queued jobs back; then the user waits."""
        await self.account()
        await self.account("b")
        await self.job(user_id="ann")
        self.assertEqual((await self.user())["state"], "running")
        for scope, target in (
            ("everything", None),
            ("account", "acme"),
            ("host", "https://gitlab.example"),
            ("command", "issues"),
        ):
            made = await self.post("/api/v1/pauses", {"scope": scope} | ({"target": target} if target else {}))
            self.assertEqual((await self.user())["state"], "waiting", scope)
            self.query("UPDATE pauses SET ends_at = now()")
            self.assertEqual((await self.user())["state"], "running", f"{scope}, over")
            self.query("DELETE FROM pauses WHERE id = %s", made.document["id"])
        for change, undo in (
            ("UPDATE jobs SET pause_id = 'x'", "UPDATE jobs SET pause_id = NULL"),
            ("UPDATE accounts SET credential_status = 'expired'", "UPDATE accounts SET credential_status = 'valid'"),
            (
                "UPDATE accounts SET token_expires_at = now(), refresh_after = now() + interval '1 hour'",
                "UPDATE accounts SET refresh_after = NULL",
            ),
        ):
            self.query(change)
            self.assertEqual((await self.user())["state"], "waiting", change)
            self.query(undo)
            self.assertEqual((await self.user())["state"], "running", undo)
        await self.post("/api/v1/pauses", {"scope": "account", "target": "acme"})
        await self.job(user_id="bob", full_path="x")
        self.assertEqual((await self.user())["state"], "waiting")
        other = await self.job(account_id="b", user_id="ann")
        self.assertEqual((await self.user())["state"], "running")
        await self.post(f"/api/v1/jobs/{other}/pause")
        self.assertEqual((await self.user())["state"], "waiting")
        await self.post("/api/v1/jobs/bulk", {"action": "cancel", "filter": {"user_id": "ann"}})
        while await self.bulk.run_slice(9) is not None:
            pass
        self.assertEqual((await self.user())["state"], "done")
        self.query("UPDATE jobs SET status = 'failed' WHERE id = %s", other)
        self.assertEqual((await self.user())["state"], "failed")
