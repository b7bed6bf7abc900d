"""A discovery that is refused as a whole is an error of its job, which then can't be completed."""

import json
from typing import Any

from tests.handlers.support import Crawler, NodeTestCase, found
from tests.support.crawler import until

SMALL = {"SOCKET_MAX_MESSAGE_SIZE": 4096}
PADDING = [{"id": number, "name": "n" * 50, "path": f"g/{number}"} for number in range(100)]
AREAS = {"entityType": "group", "entities": PADDING}
JOBS = {"discovered_jobs": [found(namespace_path=f"g/{number}") for number in range(100)]}


def begins(crawler: Crawler, kind: str, job: str, **data: Any) -> bytes:
    """A message whose job and id come before its data."""
    message = json.loads(crawler.form(kind, job, kind, **data))
    return json.dumps({"id": message.pop("id"), "jobId": message.pop("jobId"), **message}).encode() + b"\n"


class RefusedTestCase(NodeTestCase):
    """Crawlers with a job, and the job's errors."""

    def errors(self, job: str) -> list[tuple[str, str]]:
        """Type and text of the job's errors."""
        columns = "SELECT error_type, error_message FROM job_error_log WHERE job_id = %s ORDER BY id"
        return [(row[0], row[1]) for row in self.query(columns, job.partition(".")[0])]

    async def plain(self) -> tuple[Crawler, str]:
        """A plain crawler with a job."""
        crawler = await self.connect()
        return crawler, await self.given(crawler)

    async def ends(self, crawler: Crawler, job: str) -> str:
        """Have *crawler* complete the job; the job's status."""
        crawler.say("job_completed", job, success=True, finalCounts={})
        await until(lambda: self.status(job) not in ("assigned", "running"), f"{job} has ended")
        return self.status(job)


class TooLargeTests(RefusedTestCase):
    """Past SOCKET_MAX_MESSAGE_SIZE."""

    async def test_unknown_to_its_crawler(self) -> None:
        """Without acks the job fails for good; the errors name limit and variable."""
        await self.node(**SMALL)
        for kind, data, named in (
            ("jobs_discovered", JOBS, True),
            ("discovery", AREAS, True),
            ("discovery", AREAS, False),
        ):
            for hello in (None, {"capabilities": ["commands"]}):
                if hello is None:
                    crawler, job = await self.plain()
                else:
                    crawler, job = await self.working(**hello)
                crawler.raw(begins(crawler, kind, job, **data) if named else crawler.form(kind, **data))
                self.assertEqual(await self.ends(crawler, job), "failed")
                refused, failed = self.errors(job)
                self.assertEqual((refused[0], failed[0]), ("message_too_large", "discovery_refused"))
                for _, text in (refused, failed):
                    self.assertIn("SOCKET_MAX_MESSAGE_SIZE", text)
                    self.assertIn("4096", text)
                    self.assertIn(kind, text)
                self.assertEqual((await crawler.error())["code"], "message_too_large")
                self.assertEqual(crawler.unread, [])
                await crawler.leave()
        self.assertEqual(self.query("SELECT * FROM areas"), [])

    async def test_known_to_its_crawler(self) -> None:
        """With acks a crawler learns which message it was, sends it again in parts, and completes the job."""
        await self.node(**SMALL)
        crawler, job = await self.working()
        crawler.raw(begins(crawler, "discovery", job, **AREAS))
        error = await crawler.error()
        self.assertEqual((error["code"], error["ref"], error["jobId"]), ("message_too_large", "discovery", job))
        for number in range(0, 100, 25):
            crawler.say("discovery", job, id=str(number), entityType="group", entities=PADDING[number : number + 25])
            self.assertEqual(await crawler.acked(), str(number))
        self.assertEqual(await self.ends(crawler, job), "completed")
        self.assertEqual([error[0] for error in self.errors(job)], ["message_too_large"])
        self.assertEqual(self.query("SELECT count(*) FROM areas"), [(100,)])

    async def test_whose_it_was(self) -> None:
        """The jobId is read from the beginning; without one it belongs to the only job held, or to none."""
        await self.node(**SMALL)
        crawler = await self.crawler(maxJobs=2, capabilities=[])
        self.add_jobs("g/1", "g/2")
        one, two = [job["id"] for job in await crawler.ask()]
        crawler.raw(begins(crawler, "jobs_discovered", two, **JOBS))
        self.add_jobs("g/3")
        self.assertEqual(await self.ends(crawler, two), "failed")
        [three] = [job["id"] for job in await crawler.ask()]
        behind = (
            json.dumps({"data": JOBS, "jobId": three, "type": "jobs_discovered", "timestamp": "t"}).encode() + b"\n"
        )
        crawler.raw(behind)
        self.assertEqual(await self.ends(crawler, one), "completed")
        self.assertEqual(self.errors(three), [])
        crawler.raw(behind)
        self.assertEqual(await self.ends(crawler, three), "failed")

    async def test_another_crawlers(self) -> None:
        """A refused discovery of another crawler's job does not fail the job."""
        await self.node(**SMALL)
        other, theirs = await self.working("g/other", "other", capabilities=[])
        crawler, job = await self.working("g/p", "one", capabilities=[])
        crawler.raw(begins(crawler, "jobs_discovered", theirs, **JOBS))
        self.assertEqual(await self.ends(crawler, job), "completed")
        self.assertEqual(await self.ends(other, theirs), "completed")
        self.assertEqual(self.errors(theirs), [])

    async def test_another_connection_and_node(self) -> None:
        """It is remembered when its crawler comes back, also to another node."""
        first = await self.node(**SMALL)
        crawler, job = await self.plain()
        crawler.say("discovery", **AREAS)
        await crawler.error()
        await first.writer.drained()
        await crawler.leave()
        again = await self.connect(await self.node(**SMALL))
        self.assertEqual(await self.ends(again, job), "failed")

    async def test_first_words_after_a_reconnect(self) -> None:
        """It waits until the assignments of its crawler are read, also if it is the first message."""
        await self.node(**SMALL)
        for name in (None, "one"):
            crawler, job = await (self.plain() if name is None else self.working(capabilities=[]))
            crawler.say("job_started", job)
            await self.becomes(job, "running")
            await crawler.leave()
            again = await self.connect()
            hello = b"" if name is None else again.form("hello", crawlerId=name)
            again.raw(hello + again.form("discovery", **AREAS))
            self.assertEqual(await self.ends(again, job), "failed")
            await again.leave()


class OverABoundTests(RefusedTestCase):
    """Refused for reasons other than its length."""

    async def test_each_kind(self) -> None:
        """Too many elements, an object too large or too deep, an invalid list, or invalid JSON."""
        await self.node()
        deep: Any = 1
        for _ in range(101):
            deep = [deep]
        many = {"entityType": "group", "entities": [{"id": 1, "name": "n", "path": f"g/{n}"} for n in range(20_001)]}
        for kind, data, code, said in (
            ("discovery", many, "invalid_message", "20000"),
            ("discovery", {"entityType": "group", "entities": None}, "invalid_message", "/data/entities"),
            ("jobs_discovered", {**JOBS, "discovery_summary": {"a": "x" * 262_144}}, "invalid_message", "262144"),
            ("jobs_discovered", {**JOBS, "discovery_summary": {"a": deep}}, "invalid_message", "100 levels"),
            ("jobs_discovered", {**JOBS, "x": float("nan")}, "invalid_json", "JSON"),
        ):
            crawler, job = await self.plain()
            crawler.say(kind, job, **data)
            self.assertEqual(await self.ends(crawler, job), "failed", said)
            error_type, text = self.errors(job)[0]
            self.assertEqual(error_type, code)
            self.assertIn(said, text)
            await crawler.leave()

    async def test_nothing_but_bad_elements(self) -> None:
        """Bad elements are left out: the job can be completed."""
        await self.node()
        crawler, job = await self.plain()
        crawler.say("discovery", entityType="group", entities=[1, {}])
        self.assertEqual(await self.ends(crawler, job), "completed")
        self.assertEqual(self.errors(job), [])

    async def test_secrets(self) -> None:
        """The stored error does not quote the job's token."""
        self.query("UPDATE accounts SET access_token = 'a-token-of-no-known-form'")
        await self.node()
        crawler, job = await self.plain()
        crawler.say("jobs_discovered", job, discovered_jobs="a-token-of-no-known-form")
        self.assertIn("a-token", (await crawler.error())["message"])
        self.assertEqual(await self.ends(crawler, job), "failed")
        for _, text in self.errors(job):
            self.assertIn('"***"', text)
            self.assertNotIn("a-token", text)
