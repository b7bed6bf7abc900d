"""Pausing and resuming single jobs, and the commands that crawlers are sent."""

from typing import Any

from copilot_socket.core.jobs import Event
from copilot_socket.handlers.crawlers import Held
from tests.handlers.support import PROGRESS, Crawler, NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import until

COMMANDS = ["ack", "commands"]


class PauseTests(NodeTestCase):
    """Transitions.pause(), as HTTP calls it."""

    async def at_work(self, *capabilities: str) -> tuple[Crawler, str]:
        """A crawler that has reported a cursor."""
        await self.node()
        crawler, job = await self.working(capabilities=["ack", *capabilities])
        crawler.say("job_progress", job, id="p", **PROGRESS, resumeState={"currentPage": 7})
        self.assertEqual(await crawler.acked(), "p")
        return crawler, job

    async def pause(self, job: str) -> str:
        """Pause it; the state that this leads to."""
        answer: Any = await self.nodes[0].transitions.pause(job.partition(".")[0], ACT)
        return str(answer.status)

    async def resume(self, job: str) -> None:
        """Resume it."""
        await self.nodes[0].transitions.apply([job.partition(".")[0]], Event.RESUMED)

    async def command(self, crawler: Crawler, kind: str) -> str:
        """The job that the next command, of this *kind*, is about."""
        message = await crawler.next()
        self.assertEqual(message["type"], kind)
        return str(message["jobId"])

    async def test_queued(self) -> None:
        """It is not handed out before it is resumed."""
        await self.node()
        [job] = self.add_jobs("g/1")
        self.assertEqual(await self.pause(job), "paused")
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        await self.resume(job)
        self.assertEqual((await crawler.job())["try"], 1)

    async def test_given_back(self) -> None:
        """A crawler that takes commands is asked, and gives it back with its last cursor; nothing is spent."""
        crawler, job = await self.at_work("commands")
        self.assertEqual(await self.pause(job), "assigned")
        self.assertEqual(await self.command(crawler, "job_pause"), job)
        crawler.say("job_released", job, id="r", reason="paused", resumeState={"currentPage": 8})
        self.assertEqual(await crawler.acked(), "r")
        self.assertEqual(self.row(job, "status", "attempts", "releases", "cause"), ("paused", 0, 0, "paused"))
        self.assertEqual(await crawler.ask(), [])
        await self.resume(job)
        again = await crawler.job()
        self.assertEqual((again["resumeState"], again["try"]), ({"currentPage": 8}, 2))

    async def test_not_given_back(self) -> None:
        """After ten seconds the attempt is fenced, its cursor kept, and the crawler is told to stop."""
        crawler, job = await self.at_work("commands")
        await self.pause(job)
        self.assertEqual(await self.command(crawler, "job_pause"), job)
        await self.nodes[0].presence.fence_pauses()
        self.assertEqual(self.status(job), "assigned")
        self.query("UPDATE job_assignments SET pause_requested_at = now() - interval '11 s'")
        await self.nodes[0].presence.fence_pauses()
        self.assertEqual(await self.command(crawler, "job_cancel"), job)
        self.assertEqual(self.row(job, "status", "cause", "resume_state"), ("paused", "paused", {"currentPage": 7}))
        crawler.say("job_released", job, reason="paused")
        self.assertEqual((await crawler.error())["code"], "stale_assignment")

    async def test_without_commands(self) -> None:
        """From a crawler that takes none it is taken immediately."""
        crawler, job = await self.at_work()
        self.assertEqual(await self.pause(job), "paused")
        self.assertEqual(self.row(job, "resume_state"), {"currentPage": 7})
        crawler.say("job_progress", job, **PROGRESS)
        self.assertEqual((await crawler.error())["code"], "stale_assignment")

    async def test_other_answers(self) -> None:
        """A completion completes it; a failure, or the loss of the crawler, pauses it."""
        for end, status in (("job_completed", "completed"), ("job_failed", "paused"), (None, "paused")):
            if not self.nodes:
                await self.node(SOCKET_RECONNECT_GRACE=100)
            crawler = await self.crawler(f"for {end}", capabilities=COMMANDS)
            job = await self.given(crawler, f"g/{end}")
            await self.pause(job)
            self.assertEqual(await self.command(crawler, "job_pause"), job)
            if end == "job_completed":
                crawler.say(end, job, success=True, finalCounts={})
            elif end is not None:
                crawler.say(end, job, error="x", isRecoverable=True)
            else:
                await crawler.leave()
            await self.becomes(job, status)

    async def test_at_another_node(self) -> None:
        """The command reaches the crawler wherever it is connected."""
        await self.node()
        second = await self.node()
        crawler = await self.crawler(node=second, capabilities=COMMANDS)
        self.add_jobs("g/1")
        [job] = await crawler.ask()
        await self.pause(job["id"])
        self.assertEqual(await self.command(crawler, "job_pause"), job["id"])

    async def test_due_later(self) -> None:
        """A resumed job is due when it would have been."""
        await self.node()
        [job] = self.add_jobs("g/1", scheduled_at="2100-01-01")
        await self.pause(job)
        await self.resume(job)
        self.assertEqual(self.row(job, "status", "ready", "scheduled_at > '2099-01-01'"), ("queued", False, True))

    async def test_withdrawn(self) -> None:
        """Resuming a job that is only to be paused lets it go on."""
        crawler, job = await self.at_work("commands")
        await self.pause(job)
        self.assertEqual(await self.command(crawler, "job_pause"), job)
        answer: Any = await self.nodes[0].transitions.resume(job.partition(".")[0], ACT)
        self.assertEqual(str(answer.status), "assigned")
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '1 hour'")
        await self.nodes[0].presence.fence_pauses()
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await crawler.acked(), "c")

    async def test_while_it_waits_for_a_token(self) -> None:
        """A job that was claimed and not sent is paused, and not sent at all."""
        node = await self.node()
        crawler = await self.crawler(capabilities=COMMANDS)
        [job] = self.add_jobs("g/1", status="paused")
        assignment = f"{job}.1.x"
        self.query("UPDATE jobs SET status = 'assigned', tries = 1")
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, status, try, crawler_key)"
            " VALUES (%s, %s, 'acct', 'assigned', 1, 'hello:one')",
            job,
            assignment,
        )
        held = node.registry.get("hello:one")
        assert held is not None
        held.held[assignment] = Held(None, reported=False, waits=True)
        await self.pause(job)
        await self.becomes(job, "paused")
        self.assertEqual(crawler.unread, [])

    async def test_cancelled(self) -> None:
        """A cancelled job's crawler is told, and has room again."""
        crawler, job = await self.at_work("commands")
        await self.nodes[0].transitions.apply([job.partition(".")[0]], Event.CANCELLED)
        self.assertEqual(await self.command(crawler, "job_cancel"), job)
        await until(lambda: not any(each.held for each in self.nodes[0].registry))

    async def test_nonsense(self) -> None:
        """What can't be paused or resumed is refused, and changes nothing."""
        await self.node()
        [job] = self.add_jobs("g/1", status="paused")
        for event, refused in ((Event.PAUSED, True), (Event.RESUMED, False), (Event.RESUMED, True)):
            answer: Any = (await self.nodes[0].transitions.apply([job], event))[job]
            self.assertEqual(hasattr(answer, "event"), refused, event)
        self.assertIsNone(await self.nodes[0].transitions.pause("01JD0000000000000000000000", ACT))
