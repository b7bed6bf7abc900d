"""``rate_limit``, failures that show GitLab's limits, and what both keep back."""

from typing import Any

from copilot_socket.event_bus import BudgetChanged
from copilot_socket.handlers import budgets
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.crawler import until

HOST = "http://127.0.0.1:9"


class BudgetTests(NodeTestCase):
    """A crawler with one job says what is left of its account's budget."""

    async def begin(self, **hello: Any) -> tuple[Crawler, str]:
        """The crawler and its assignment; ``events`` are what becomes of budgets."""
        node = await self.node()
        self.events: list[BudgetChanged] = []
        node.bus.subscribe_by_type({BudgetChanged: self.events.append})
        return await self.working(maxJobs=10, **hello)

    async def say(self, crawler: Crawler, job: str | None, **data: Any) -> None:
        """Say what is left, and wait for the ack."""
        crawler.say("rate_limit", job, id="r", **data)
        self.assertEqual(await crawler.acked(), "r")

    def ahead(self, seconds: float) -> str:
        """A time so many seconds ahead, as GitLab names it."""
        return str(self.query("SELECT now() + %s * interval '1 s'", seconds)[0][0].isoformat())

    def budgets(self, columns: str = "account_id, name, remaining, jobs_allowed") -> list[tuple[Any, ...]]:
        """What is stored."""
        return self.query(f"SELECT {columns} FROM budgets ORDER BY account_id, name")

    async def test_closed(self) -> None:
        """With less than a tenth left no job starts until the reset; the row is there when the ack comes."""
        crawler, job = await self.begin()
        await self.say(crawler, job, limit=1000, remaining=99, resetAt=self.ahead(3600))
        self.assertEqual(self.budgets(), [("acct", "", 99, 0)])
        await until(lambda: self.nodes[0].dispatcher.restrictions.caps, "it is closed")
        self.add_jobs("g/2")
        self.assertEqual(await crawler.ask(), [])
        self.assertEqual([(each.account, each.event) for each in self.events], [("acct", "closed")])
        self.query("UPDATE budgets SET reset_at = now() + interval '0.5 s'")
        self.nodes[0].dispatcher.restrictions.changed()
        self.assertEqual((await crawler.job())["fullPath"], "g/2")
        self.assertEqual(self.query("SELECT reset_at <= now() FROM budgets"), [(True,)])

    async def test_throttled(self) -> None:
        """With less than half left, as many jobs run as it can pay for."""
        crawler, job = await self.begin()
        self.add_jobs(*(f"h/{number}" for number in range(9)))
        await self.say(crawler, job, limit=1000, remaining=300, resetAt=self.ahead(60), name="throttle_x")
        self.query("UPDATE budgets SET jobs_allowed = 3")
        await until(lambda: self.nodes[0].dispatcher.restrictions.caps, "it is throttled")
        self.assertEqual(len(await crawler.ask()), 2)
        self.assertEqual(self.budgets("account_id, name"), [("acct", "throttle_x")])
        crawler.say("job_request")
        crawler.say("job_completed", job, success=True, finalCounts={})
        self.assertTrue((await crawler.job())["id"])

    async def test_once_a_second(self) -> None:
        """What follows within a second is acked at once, and stored with the next write."""
        crawler, job = await self.begin()
        second = self.patch(budgets, "EACH", 60.0)
        await self.say(crawler, job, limit=1000, remaining=900)
        await self.say(crawler, job, limit=1000, remaining=800)
        self.assertEqual(self.budgets("remaining"), [(900,)])
        second.restore()
        await until(lambda: self.budgets("remaining") == [(800,)], "it is stored")

    async def test_by_account(self) -> None:
        """Without a job it names the account; throttles by address are the host's."""
        crawler, _job = await self.begin()
        await self.say(crawler, None, accountId="acct", remaining=0)
        name = "throttle_unauthenticated_api"
        await self.say(crawler, None, accountId="acct", gitlabUrl=HOST + "/api/v4", name=name, remaining=0)
        self.assertEqual(self.budgets(), [("", name, 0, 0), ("acct", "", 0, 0)])

    async def test_wrong(self) -> None:
        """Whose budget it is must be clear: the error names the field."""
        crawler, job = await self.begin()
        self.add_account("other")
        for told, data, code, path in (
            (None, {}, "invalid_message", "/jobId"),
            (None, {"accountId": "nobody"}, "invalid_message", "/data/accountId"),
            (job, {"accountId": "other"}, "invalid_message", "/data/accountId"),
            (job, {"gitlabUrl": "https://elsewhere.test"}, "invalid_message", "/data/gitlabUrl"),
            ("01JD0000000000000000000000.1.x", {}, "unknown_job", "/jobId"),
            (job, {"remaining": -1}, "invalid_message", "/data/remaining"),
        ):
            crawler.say("rate_limit", told, id="r", **{"remaining": 5, **data})
            error = await crawler.error()
            self.assertEqual((error["code"], error["path"], error["ref"]), (code, path, "r"))
        self.assertEqual(self.budgets(), [])

    async def test_it_names_the_assignment(self) -> None:
        """So it confirms it, as every report does."""
        crawler, job = await self.begin()
        self.query("UPDATE job_assignments SET confirm_by = now() + interval '1 h'")
        await self.say(crawler, job, remaining=900, limit=1000)
        confirmed = "SELECT confirm_by IS NULL AND reported_at IS NOT NULL FROM job_assignments"
        await until(lambda: self.query(confirmed) == [(True,)], "it is confirmed")

    async def test_two_ends(self) -> None:
        """GitLab asks to wait for less than the reset, or longer: it opens when both are over."""
        crawler, job = await self.begin()
        state = "SELECT jobs_allowed, 10 * ceil(extract(epoch FROM until - now()) / 10) FROM low_budgets"
        for remaining, reset, retry_after, allowed, seconds in (
            (0, 60, 10, 0, 60),
            (0, 20, 300, 0, 300),
            (300, 60, 10, 0, 10),
            (900, 60, 10, 0, 10),
        ):
            self.query("DELETE FROM budgets")
            reset_at = self.ahead(reset)
            await self.say(
                crawler, job, limit=1000, remaining=remaining, resetAt=reset_at, retryAfter=retry_after * 1000
            )
            self.assertEqual(self.query(state), [(allowed, seconds)], (remaining, reset, retry_after))
            self.query("UPDATE budgets SET closed_until = now() - interval '1 s'")
            left = {0: [(0, reset)], 300: [(30, reset)], 900: []}[remaining]
            self.assertEqual(self.query(state), left, (remaining, reset, retry_after))
            for pending in self.nodes[0]._budgets._pending.values():
                pending.stored_at = float("-inf")

    async def test_names(self) -> None:
        """Some throttles are told apart; those beyond count as one."""
        crawler, job = await self.begin()
        for number in range(30):
            await self.say(crawler, job, limit=1000, remaining=900, name=f"n{number}")
        names = "SELECT count(DISTINCT name) FROM budgets"
        self.assertEqual(self.query(names), [(21,)])

    async def test_failures(self) -> None:
        """A 429 closes the account's budget for as long as GitLab asks; a 403 for the address that of its host."""
        crawler, job = await self.begin()
        crawler.say("job_failed", job, error="429 Too Many Requests", isRecoverable=True,
                    context={"httpStatus": 429, "headers": {"Retry-After": "30"}})  # fmt: skip
        seconds = "account_id, ceil(extract(epoch FROM closed_until - now()) / 10)::integer, source"
        await until(lambda: self.budgets(seconds) == [("acct", 3, "failure")], "it is closed")
        self.query("DELETE FROM budgets")
        self.nodes[0].dispatcher.restrictions.changed()
        await until(lambda: not self.nodes[0].dispatcher.restrictions.caps, "it is open")
        other = await self.given(crawler, "g/2")
        crawler.say("job_failed", other, error="HTTP 403: <!DOCTYPE html><title>Blocked</title>", isRecoverable=False)
        await until(lambda: self.budgets(seconds) == [("", 6, "failure")], "the host is closed")
        self.assertEqual(self.row(other, "status", "attempts"), ("queued", 0))

    async def test_at_another_node(self) -> None:
        """What one node hears closes the budget at all of them."""
        crawler, job = await self.begin()
        second = await self.node()
        elsewhere = await self.crawler("two", second)
        self.assertEqual(await elsewhere.ask(), [])
        await self.say(crawler, job, remaining=0)
        await until(lambda: second.dispatcher.restrictions.caps, "it is closed there")
        self.add_jobs("g/2")
        await self.quiet(elsewhere)
