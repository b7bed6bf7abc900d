"""Parts over a bound, against a whole node: the rest is stored, and other crawlers are not affected."""

import json
from typing import Any

from benchmarks.worst import worst
from copilot_socket.wire.inspection import MAX_FAULTS
from copilot_socket.wire.items import PARSED_WHOLE
from tests.handlers.support import ALIVE, PROGRESS, Crawler, NodeTestCase, found

DEEP = "[" * 300 + "]" * 300
LIST_IN_CONTEXT = '{"a":' + DEEP + "}"


class BoundsTestCase(NodeTestCase):
    """A crawler with a job, and a second one that must not be affected."""

    async def begin(self, **hello: Any) -> tuple[Crawler, str]:
        """The crawler, and its assignment."""
        await self.node(SOCKET_RETRY_ATTEMPTS=3)
        self.bystander, self.held = await self.working("by/stander", "bystander")
        return await self.working("g/p", "wrong", **hello)

    def written(self, crawler: Crawler, kind: str, job: str, raw: dict[str, str], **data: Any) -> bytes:
        """A message with fields given as raw JSON."""
        text = crawler.form(kind, job, id=kind, **data, **{name: f"<{name}>" for name in raw}).decode()
        for name, value in raw.items():
            text = text.replace(f'"<{name}>"', value)
        return text.encode()

    async def unnoticed(self) -> None:
        """Assert that the bystander's job can be completed."""
        self.bystander.say("job_progress", self.held, id="p", **PROGRESS)
        self.bystander.say("job_completed", self.held, id="c", success=True, finalCounts={})
        self.assertEqual([await self.bystander.acked(), await self.bystander.acked()], ["p", "c"])


class EndTests(BoundsTestCase):
    """Reports that end an attempt."""

    async def test_failed(self) -> None:
        """It is stored without the parts over a bound: an error for each, then the ack; the cursor stays."""
        crawler, job = await self.begin()
        crawler.say("job_progress", job, id="p", resumeState={"currentPage": 3}, **PROGRESS)
        await crawler.acked()
        counts = json.dumps({str(number): 1 for number in range(1001)})
        raw = {"context": LIST_IN_CONTEXT, "resumeState": LIST_IN_CONTEXT, "partialCounts": counts}
        crawler.raw(self.written(crawler, "job_failed", job, raw, error="why", isRecoverable=True, stackTrace="at"))
        errors = [await crawler.error() for _ in raw]
        self.assertEqual([error["path"] for error in errors], [f"/data/{name}" for name in raw])
        for error in errors:
            self.assertEqual((error["code"], error["ref"], error["jobId"]), ("invalid_message", "job_failed", job))
        self.assertEqual(await crawler.acked(), "job_failed")
        self.assertEqual(self.row(job, "status", "resume_state"), ("queued", {"currentPage": 3}))
        stored = self.query("SELECT error_message, stack_trace, context FROM job_error_log")
        self.assertEqual(stored, [("why", "at", None)])
        await self.unnoticed()

    async def test_completed(self) -> None:
        """A completion is stored without too many counts or files."""
        crawler, job = await self.begin()
        counts = {str(number): 1 for number in range(2000)}
        crawler.say(
            "job_completed", job, id="c", success=True, finalCounts=counts, outputFiles=["f"] * 10_001, message="m"
        )
        self.assertEqual([(await crawler.error())["path"] for _ in "12"], ["/data/finalCounts", "/data/outputFiles"])
        self.assertEqual(await crawler.acked(), "c")
        self.assertEqual(
            self.row(job, "status", "progress"),
            ("completed", {"finalCounts": {}, "message": "m", "stage": "completed"}),
        )
        await self.unnoticed()

    async def test_without_acks(self) -> None:
        """A crawler without acks receives an error for what was left out, and its next job."""
        crawler, job = await self.begin(capabilities=[])
        self.add_jobs("g/next")
        crawler.raw(
            self.written(crawler, "job_failed", job, {"context": LIST_IN_CONTEXT}, error="e", isRecoverable=False)
        )
        self.assertEqual((await crawler.error())["path"], "/data/context")
        await self.becomes(job, "failed")
        self.assertEqual([each["fullPath"] for each in await crawler.ask()], ["g/next"])


class RefusedTests(BoundsTestCase):
    """Other messages are refused."""

    async def test_progress(self) -> None:
        """A progress report with a cursor over its bound is refused; the last cursor stays."""
        crawler, job = await self.begin()
        crawler.say("job_progress", job, id="1", resumeState={"currentPage": 3}, **PROGRESS)
        self.assertEqual(await crawler.acked(), "1")
        for raw in (LIST_IN_CONTEXT, json.dumps({"a": "x" * 65_536})):
            crawler.raw(self.written(crawler, "job_progress", job, {"resumeState": raw}, **PROGRESS))
            error = await crawler.error()
            self.assertEqual((error["code"], error["path"]), ("invalid_message", "/data/resumeState"))
        crawler.say("job_progress", job, id="2", **PROGRESS)
        self.assertEqual(await crawler.acked(), "2")
        self.assertEqual(self.row(job, "resume_state"), {"currentPage": 3})
        await self.unnoticed()

    async def test_heartbeat(self) -> None:
        """A heartbeat nested too deeply is refused; others' are stored."""
        crawler, _ = await self.begin()
        text = crawler.form("heartbeat", **ALIVE, memoryUsage="HERE").replace(b'"HERE"', DEEP.encode())
        crawler.raw(text)
        self.assertEqual((await crawler.error())["path"], "/data/memoryUsage")
        await crawler.sync()
        await self.nodes[0].presence.renew()
        await self.unnoticed()

    async def test_nothing_is_internal(self) -> None:
        """No content of a report causes an internal error, and each report is answered."""
        crawler, job = await self.begin()
        fields = (
            "resumeState",
            "itemCounts",
            "memoryUsage",
            "discovered_jobs",
            "entities",
            "context",
            "good and then",
        )
        seen = set()
        for name, data in worst(PARSED_WHOLE + 4096, job):
            field = next((each for each in fields if name.partition(": ")[2].startswith(each)), None)
            if field is not None:
                seen.add(field)
                crawler.raw(data)
                await crawler.sync()
                answers = [message for message in crawler.unread if message["type"] in ("ack", "error")]
                crawler.forget()
                self.assertNotEqual(answers, [], name)
                self.assertNotIn("internal", [answer["data"].get("code") for answer in answers], name)
        self.assertEqual(seen, set(fields))
        await self.unnoticed()


class ElementTests(BoundsTestCase):
    """Very many bad elements."""

    async def test_a_bounded_number_of_errors(self) -> None:
        """A hundred errors, then their number, then the ack; the good elements are recorded."""
        crawler, job = await self.begin()
        kinds = (
            ("jobs_discovered", "discovered_jobs", found(namespace_path="g/a"), {}),
            ("discovery", "entities", {"id": 8, "name": "B", "path": "g/b"}, {"entityType": "group"}),
        )
        for kind, field, good, others in kinds:
            crawler.say(kind, job, id=kind, **others, **{field: [good] + [1] * 100_000 + [{}] * 1000})
            errors = [await crawler.error() for _ in range(MAX_FAULTS + 1)]
            self.assertEqual([error["path"] for error in errors[:2]], [f"/data/{field}/1", f"/data/{field}/2"])
            self.assertEqual(errors[-1]["path"], f"/data/{field}")
            self.assertIn("101000 of 101001", errors[-1]["message"])
            self.assertEqual(await crawler.acked(), kind)
        self.assertEqual(self.query("SELECT full_path FROM areas ORDER BY 1"), [("g/a",), ("g/b",)])
        await self.unnoticed()

    async def test_too_many_good_ones(self) -> None:
        """They are refused together, and none is recorded."""
        crawler, job = await self.begin()
        entities = [{"id": number, "name": "n", "path": f"g/{number}"} for number in range(20_001)]
        crawler.say("discovery", job, id="d", entityType="group", entities=entities)
        error = await crawler.error()
        self.assertEqual((error["path"], error["ref"], error["jobId"]), ("/data/entities", "d", job))
        self.assertIn("at most 20000", error["message"])
        await crawler.sync()
        self.assertEqual(self.query("SELECT count(*) FROM areas"), [(0,)])
        await self.unnoticed()
