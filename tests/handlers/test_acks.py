"""Acknowledgements: to which crawlers, when, in which order."""

from typing import Any

from copilot_socket.store.batches import Batches
from tests.handlers.support import ALIVE, PROGRESS, NodeTestCase, found


class AckTests(NodeTestCase):
    """Acks need the capability, are sent after the commit, and in the order of the messages."""

    async def test_only_with_the_capability(self) -> None:
        """A crawler without the capability, or without a hello, gets no acks; its reports are stored."""
        await self.node()
        silent, job = await self.working(capabilities=["commands"])
        plain = await self.connect()
        plain.say("heartbeat", **ALIVE)
        plain.say("job_request")
        silent.say("heartbeat", **ALIVE)
        silent.say("job_started", job)
        silent.say("job_completed", job, success=True, finalCounts={})
        await self.becomes(job, "completed")
        self.assertEqual(await plain.answered(), [])
        silent.say("job_request")
        self.assertEqual((await silent.next())["type"], "job_response")
        self.assertEqual((silent.unread, plain.unread), ([], []))

    async def test_of_one_connection_only(self) -> None:
        """Capabilities belong to the connection that named them, also where a crawler has two."""
        await self.node()
        with_acks, job = await self.working()
        without = await self.crawler(capabilities=[])
        without.say("job_progress", job, **PROGRESS)
        with_acks.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual((await with_acks.next())["data"]["ref"], "c")
        self.assertEqual(without.unread, [])

    async def test_after_the_commit(self) -> None:
        """When the ack arrives, the row is committed; every type of report is acked."""
        await self.node()
        crawler, job = await self.working(entityTypes=["issue", "group"])
        steps: list[tuple[str, dict[str, Any], str, Any]] = [
            ("job_started", {}, "SELECT status FROM jobs WHERE id = %s", "running"),
            (
                "job_progress",
                {**PROGRESS, "resumeState": {"currentPage": 4}},
                "SELECT resume_state->>'currentPage' FROM jobs WHERE id = %s",
                "4",
            ),
            (
                "jobs_discovered",
                {"discovered_jobs": [found(job_type="crawl_group")]},
                "SELECT count(*) FROM jobs WHERE spawned_from = %s",
                3,
            ),
            (
                "discovery",
                {"entityType": "project", "entities": [{"id": "1", "name": "n", "path": "g/q"}]},
                "SELECT count(*) FROM areas WHERE %s <> ''",
                2,
            ),
            (
                "job_completed",
                {"success": True, "finalCounts": {}},
                "SELECT completed_at IS NOT NULL FROM job_assignments WHERE web_app_job_id = %s",
                True,
            ),
        ]
        for type_, data, question, answer in steps:
            crawler.say(type_, job, id=type_, **data)
            ack = await crawler.next()
            self.assertEqual((ack["type"], ack["jobId"]), ("ack", job))
            self.assertEqual(ack["data"], {"type": type_, "ref": type_})
            self.assertEqual(self.query(question, job.partition(".")[0]), [(answer,)], type_)

    async def test_of_a_failure(self) -> None:
        """A failure is acked once its error is logged and its job queued again."""
        await self.node()
        crawler, job = await self.working()
        crawler.say(
            "job_failed", job, id="f", error="no page", errorType="http", isRecoverable=True, stackTrace="line 1"
        )
        self.assertEqual((await crawler.next())["data"], {"type": "job_failed", "ref": "f"})
        self.assertEqual(self.status(job), "queued")
        rows = self.query("SELECT error_type, error_message, stack_trace, is_recoverable FROM job_error_log")
        self.assertEqual(rows, [("http", "no page", "line 1", True)])

    async def test_not_before_the_commit(self) -> None:
        """While the batch is not committed nothing is acked, not even later messages that need no commit."""
        await self.node()
        crawler, job = await self.working()
        other = await self.crawler("other")
        write, held = Batches.write, []

        async def slow(batches: Batches, writes: Any, wants: Any, *more: Any) -> Any:
            # Another crawler's heartbeat goes to and fro meanwhile.
            await other.sync()
            held.append(list(crawler.unread))
            return await write(batches, writes, wants, *more)

        self.patch(Batches, "write", slow)
        crawler.raw(crawler.form("job_started", job, id="1") + crawler.form("heartbeat", id="2", **ALIVE))
        refs = [(await crawler.expect("ack"))["data"]["ref"] for _ in range(2)]
        self.assertEqual((refs, held), (["1", "2"], [[]]))

    async def test_ref(self) -> None:
        """An ack refers to the message by its id, or where it has none (null is none) by its timestamp as sent."""
        await self.node()
        crawler = await self.crawler()
        start = b'{"type":"heartbeat","data":{"activeJobs":0,"totalProcessed":0,"systemStatus":"idle"},'
        for rest, ref in (
            (b'"timestamp":"yesterday","id":"a"}', "a"),
            (b'"timestamp":"yesterday, about {noon}","id":null}', "yesterday, about {noon}"),
            (b'"timestamp":"","id":""}', ""),
        ):
            crawler.raw(start + rest + b"\n")
            self.assertEqual((await crawler.next())["data"], {"type": "heartbeat", "ref": ref})

    async def test_pipelined(self) -> None:
        """Good and bad messages in one write are answered in their order, an error in the place of an ack."""
        await self.node()
        crawler, job = await self.working()
        form = crawler.form
        crawler.raw(
            form("job_started", job, id="1")
            + b"rubbish\n"
            + form("heartbeat", id="3", **ALIVE)
            + form("job_progress", job, id="4", stage="resting", entityType="issue", processed=1)
            + form("job_progress", "x.1.y", id="5", **PROGRESS)
            + form("snooze", id="6")
            + form("job_progress", job, id="7", **PROGRESS)
            + form("job_completed", job, id="8", success=True, finalCounts={})
            + form("job_progress", job, id="9", **PROGRESS)
            + form("job_completed", job, id="10", success=True, finalCounts={})
            + form("heartbeat", id="11", **ALIVE)
        )
        answers = [await crawler.next() for _ in range(11)]
        self.assertEqual(
            [(item["data"].get("code", "ack"), item["data"].get("ref")) for item in answers],
            [
                ("ack", "1"),
                ("invalid_json", None),
                ("ack", "3"),
                ("invalid_message", "4"),
                ("unknown_job", "5"),
                ("unknown_type", "6"),
                ("ack", "7"),
                ("ack", "8"),
                ("stale_assignment", "9"),
                ("ack", "10"),
                ("ack", "11"),
            ],
        )

    async def test_thousands(self) -> None:
        """More messages than may wait for their answers are all answered, in order."""
        await self.node()
        crawler, job = await self.working()
        count = 3000
        messages = [
            crawler.form("job_progress", job, id=str(n), **{**PROGRESS, "processed": n}) for n in range(count)
        ]
        crawler.raw(b"".join(messages))
        refs = [(await crawler.next())["data"]["ref"] for _ in range(count)]
        self.assertEqual(refs, list(map(str, range(count))))
        self.assertEqual(self.row(job, "progress")["processed"], count - 1)
