"""Counts of jobs and their history over HTTP."""

from datetime import UTC, datetime
from typing import Any

from copilot_socket.core.ends import Cause
from copilot_socket.core.history import Interval
from copilot_socket.core.jobs import Status
from copilot_socket.store.history import History
from tests.http.harness import NOW, SiteTestCase

STATS = "/api/v1/stats"
HISTORY = f"{STATS}/history"
LAST = int(NOW) - 60
"""The beginning of the last minute before now, when an hour begins."""


class StatsTests(SiteTestCase):
    """GET /api/v1/stats."""

    def add_crawler(self, key: str, lease: str, plain: bool) -> None:
        """Have a crawler whose lease ends *lease* from now."""
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
            " VALUES (%s, %s, 'n1', now() + %s::interval, 2, '{issue}', %s)",
            key, f"id-{key}", lease, plain,
        )  # fmt: skip

    async def limited(self, **limits: list[str]) -> dict[str, str]:
        """The header of a new token with these limits."""
        answer = await self.post("/api/v1/tokens", {"name": f"t{len(limits)}{limits}"[:9], "role": "app"} | limits)
        self.assertEqual(answer.status, 201, answer.body)
        await self.access.read()
        return {"Authorization": f"Bearer {answer.document['token']}"}

    async def test_everything(self) -> None:
        """Every state is counted, also those that no job is in; by command, those of commands with jobs."""
        await self.account()
        self.add_crawler("a", lease="1 minute", plain=True)
        self.add_crawler("b", lease="-1 minute", plain=False)
        await self.job()
        await self.job(command="epics")
        await self.job(command="group", scheduled_at="2090-01-01T00:00:00Z")
        cancelled = await self.job(command="epics", full_path="g/c")
        await self.post(f"/api/v1/jobs/{cancelled}/cancel")
        stats = (await self.get(STATS)).document
        self.assertEqual(set(stats["jobs"]), {str(status) for status in Status})
        self.assertEqual((stats["jobs"]["queued"], stats["jobs"]["cancelled"], stats["jobs"]["failed"]), (3, 1, 0))
        self.assertEqual(set(stats["commands"]), {"issues", "epics", "group"})
        self.assertEqual({**stats["commands"]["epics"]}, {**dict.fromkeys(Status, 0), "queued": 1, "cancelled": 1})
        self.assertGreaterEqual(stats["queue"].pop("oldest_seconds"), 0)
        self.assertEqual(
            stats["queue"],
            {
                "ready": 2,
                "held_back": 0,
                "path_paused": 0,
                "scheduled": 1,
                "unroutable": 1,
                "unroutable_commands": {"epics": 1},
            },
        )
        self.assertEqual(
            stats["crawlers"],
            {
                "connected": 1,
                "plain": 1,
                "known": 2,
                "stale": 0,
                "modes": {"serving": 1, "draining": 0, "quarantined": 0},
                "assignments": 0,
            },
        )

    async def test_of_an_account_or_user(self) -> None:
        """Jobs of an account, of a user, or of both are counted, and nothing else; for a limited token its own."""
        for name in ("acme", "b"):
            await self.account(name)
        await self.job()
        await self.job(full_path="g/ann", user_id="ann")
        await self.job(account_id="b", user_id="ann")
        of_b = await self.limited(accounts=["b"])
        of_ann = await self.limited(accounts=["acme", "b"], users=["ann"])
        for query, headers, queued in (
            ("?account_id=acme", {}, 2),
            ("?user_id=ann", {}, 2),
            ("?account_id=acme&user_id=ann", {}, 1),
            ("?account_id=nobody", {}, 0),
            ("", of_b, 1),
            ("?account_id=b", of_b, 1),
            ("?account_id=acme", of_b, 0),
            ("?user_id=ann", of_b, 1),
            ("", of_ann, 2),
            ("?account_id=acme", of_ann, 1),
            ("?user_id=bob", of_ann, 0),
        ):
            answer = await self.get(STATS + query, headers=headers)
            self.assertEqual((answer.status, set(answer.document)), (200, {"jobs"}), query)
            self.assertEqual(
                answer.document["jobs"], {**dict.fromkeys(Status, 0), "queued": queued}, (query, headers)
            )
        self.assertEqual((await self.get(HISTORY, headers=of_b)).status, 403)
        answer = await self.get(f"{STATS}?account_id=&status=queued&user_id=a&user_id=b")
        self.assertEqual(self.paths(answer), ["?account_id", "?status", "?user_id"])


class HistoryTests(SiteTestCase):
    """GET /api/v1/stats/history."""

    async def record(self, *beginnings: int) -> None:
        """Have a minute with a completed job at each of these times."""
        minutes = {}
        for number, at in enumerate(beginnings, 1):
            minutes[at] = Interval(completed=number, crawlers=2)
            minutes[at].attempt_ended(Cause.COMPLETED, 3.0)
            minutes[at].dispatch.add(0.5)
        await History(self.database).record("node", minutes)

    async def shown(self, query: str = "") -> list[int]:
        """How many jobs were completed in each interval that is shown."""
        answer = await self.get(HISTORY + query)
        self.assertEqual(answer.status, 200, answer.body)
        return [each["completed"] for each in answer.document["history"]]

    def time(self, seconds: float) -> str:
        """As a parameter."""
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

    async def test_an_interval(self) -> None:
        """All that is known of one; its jobs where they were counted."""
        await self.record(LAST)
        self.query(
            "INSERT INTO job_history (resolution, at, jobs, created)"
            " VALUES ('minute', to_timestamp(%s), '{1,2,3,4,5,6,7,8}', 9)",
            LAST,
        )
        answer = (await self.get(HISTORY)).document
        self.assertEqual(answer["resolution"], "minute")
        [shown] = answer["history"]
        dispatch, run = shown.pop("dispatch"), shown.pop("run")
        self.assertEqual(
            shown,
            {
                "at": self.time(LAST),
                "jobs": {str(status): number for number, status in enumerate(Status, 1)},
                "created": 9,
                "completed": 1,
                "failed": 0,
                "cancelled": 0,
                "ended": {"completed": 1},
                "crawlers": 2,
            },
        )
        self.assertEqual((dispatch["count"], dispatch["mean"], dispatch["max"]), (1, 0.5, 0.5))
        self.assertEqual((run["count"], run["mean"], run["max"]), (1, 3.0, 3.0))
        self.assertTrue(2.5 < run["p50"] < run["p95"] < run["p99"] < 3.0)

    async def test_periods(self) -> None:
        """The last hour, or what is asked for; of hours the last 60."""
        await self.record(LAST - 7200, LAST - 3540, LAST - 60, LAST)
        self.assertEqual(await self.shown(), [2, 3, 4])
        self.assertEqual(await self.shown(f"?since={self.time(LAST - 7200)}"), [1, 2, 3, 4])
        self.assertEqual(await self.shown(f"?since={self.time(LAST - 7199)}&until={self.time(LAST)}"), [2, 3])
        self.assertEqual(await self.shown(f"?until={self.time(LAST - 3600)}"), [1])
        self.assertEqual(await self.shown("?since=2001-01-01T00:00:00Z&until=2190-01-01T00:00:00Z"), [1, 2, 3, 4])
        self.assertEqual(await self.shown("?since=2100-01-01T00:00:00Z&until=2190-01-01T00:00:00Z"), [])
        self.query("UPDATE job_history SET resolution = 'hour', at = date_trunc('hour', at), node_id = completed")
        self.assertEqual(await self.shown("?resolution=hour"), [1, 9])
        self.assertEqual(await self.shown(), [])

    async def test_days(self) -> None:
        """Days (UTC) that begin in the period, with all their hours: by one query, 90 days at most."""
        today = int(NOW // 86_400 * 86_400)
        await self.record(*[today - day * 86_400 + hour * 3600 for day in range(95, -1, -1) for hour in (0, 23)])
        self.query("UPDATE job_history SET resolution = 'hour', node_id = '', completed = 1")
        read, queries = self.database.query, []

        async def counted(statement: str, parameters: Any = None) -> Any:
            queries.append(statement)
            return await read(statement, parameters)

        self.patch(self.database, "query", counted)
        shown = (await self.get(f"{HISTORY}?resolution=day&since=2001-01-01T00:00:00Z")).document
        self.assertEqual(len([each for each in queries if "job_history" in each]), 1)
        self.assertEqual((shown["resolution"], len(shown["history"])), ("day", 90))
        first, last = shown["history"][0], shown["history"][-1]
        self.assertEqual((first["at"], last["at"]), (self.time(today - 89 * 86_400), self.time(today)))
        self.assertEqual((first["completed"], first["ended"], first["crawlers"]), (2, {"completed": 2}, 2))
        self.assertEqual((first["run"]["count"], first["run"]["mean"]), (2, 3.0))
        self.assertEqual(await self.shown("?resolution=day"), [2] * 60)
        yesterday = f"since={self.time(today - 86_400)}"
        self.assertEqual(await self.shown(f"?resolution=day&{yesterday}&until={self.time(today)}"), [2])
        self.assertEqual(await self.shown(f"?resolution=day&{yesterday}&until={self.time(today + 1)}"), [2, 2])
        self.assertEqual(await self.shown(f"?resolution=day&since={self.time(today - 86_399)}"), [2])

    async def test_a_day(self) -> None:
        """A day of minutes is read in slices."""
        await self.record(*range(LAST - 86_400 + 60, LAST + 60, 60))
        before = self.slices.count
        self.assertEqual(await self.shown(f"?since={self.time(NOW - 86_400)}"), list(range(1, 1441)))
        self.assertGreaterEqual(self.slices.count - before, 24)

    async def test_faults(self) -> None:
        """What is no time or resolution, and a period that ends before it begins."""
        answer = await self.get(f"{HISTORY}?resolution=week&since=now&until=2026-01-01&limit=1")
        self.assertEqual(self.paths(answer), ["?resolution", "?since", "?until", "?limit"])
        answer = await self.get(f"{HISTORY}?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z")
        self.assertEqual(self.paths(answer), ["?since"])
