"""The server for tests says what a node says: one suite of messages for both, and the protocol's conversations."""

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.client import Crawler, Hello, JobFailure
from copilot_socket.testing import Server
from tests.client.benches import MemoryBench, NodeBench, in_time
from tests.docs.conversations import Bindings, Conversation, read
from tests.support.crawler import Message, TestCrawler, until

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
PROGRESS = {"stage": "fetching", "entityType": "issue", "processed": 1}
DONE = {"success": True, "finalCounts": {"issue": 1}}


class Wire:
    """Single messages, and their answers."""

    async def greeted(self, name: str = "one", **hello: Any) -> TestCrawler:
        """A connection that has said ``hello``."""
        crawler = await TestCrawler.connect(self.path, name)
        self.addCleanup(crawler.hang_up)
        self.welcome = await crawler.hello(**hello)
        return crawler

    async def with_job(self) -> tuple[TestCrawler, str]:
        """A crawler that has a job, and its assignment."""
        self.path = await self.serve()
        self.job = self.add()
        crawler = await self.greeted()
        return crawler, (await crawler.take_job())["id"]

    async def answered(self, crawler: TestCrawler, kind: str, job: str | None = None, **data: Any) -> Any:
        """The type and code of the answer to a message, and the path in it."""
        answer = await crawler.told(kind, job, **data)
        return answer["data"].get("code", answer["type"]), answer["data"].get("path")

    @in_time
    async def test_welcome_and_job(self) -> None:
        """They have the same fields."""
        crawler, _ = await self.with_job()
        fields = {"connectionId", "protocolVersion", "heartbeatInterval", "maxMessageSize", "maxConcurrentJobs"}
        self.assertEqual(set(self.welcome["data"]), {*fields, "features"})
        self.assertEqual(self.welcome["data"]["features"], ["cause", "commands", "job_released", "rate_limit"])
        [job] = [job for message in crawler.of_type("job_response") for job in message["data"]["jobs"]]
        sent = {"id", "entityType", "entityId", "gitlabUrl", "accessToken", "command", "try", "fullPath"}
        self.assertEqual(set(job) - {"areaType"}, sent)
        self.assertEqual((job["entityType"], job["entityId"], job["try"]), ("issue", "g/p", 1))

    @in_time
    async def test_ends(self) -> None:
        """The report that ended an attempt is acknowledged again; any other on it is stale."""
        crawler, job = await self.with_job()
        for kind, data in (("job_started", {}), ("job_progress", PROGRESS), ("job_completed", DONE)):
            self.assertEqual(await self.answered(crawler, kind, job, **data), ("ack", None))
        self.assertEqual(await self.answered(crawler, "job_completed", job, **DONE), ("ack", None))
        stale = ("stale_assignment", "/jobId")
        self.assertEqual(await self.answered(crawler, "job_progress", job, **PROGRESS), stale)
        failure = {"error": "x", "isRecoverable": True}
        self.assertEqual(await self.answered(crawler, "job_failed", job, **failure), stale)
        self.assertEqual(self.see(self.job).outcomes, ["completed"])

    @in_time
    async def test_refusals(self) -> None:
        """Messages that violate the schema, unknown types and jobs, a second hello."""
        crawler, job = await self.with_job()
        cases = [
            ("job_progress", job, {**PROGRESS, "processed": -1}, ("invalid_message", "/data/processed")),
            ("job_progress", job, {**PROGRESS, "resumeState": {"x": "y" * 70_000}}, "/data/resumeState"),
            ("job_progress", None, PROGRESS, ("invalid_message", "")),
            ("job_progress", "nobody.1.x", PROGRESS, ("unknown_job", "/jobId")),
            ("job_failed", job, {"error": "x", "isRecoverable": True, "cause": "odd"}, "/data/cause"),
            ("news", None, {}, ("unknown_type", "/type")),
            ("hello", None, {"crawlerId": "one"}, ("invalid_message", "/type")),
        ]
        for kind, name, data, expected in cases:
            wanted = ("invalid_message", expected) if isinstance(expected, str) else expected
            self.assertEqual(await self.answered(crawler, kind, name, **data), wanted, kind)
        crawler.raw(b"{nonsense\n")
        self.assertEqual((await crawler.expect("error"))["data"]["code"], "invalid_json")
        self.assertEqual(await self.answered(crawler, "job_progress", job, **PROGRESS), ("ack", None))

    @in_time
    async def test_a_bad_element(self) -> None:
        """It is dropped, with an error before the ack."""
        crawler, job = await self.with_job()
        good = {"job_type": "crawl_group", "entity_id": "1", "namespace_path": "g", "entity_name": "G"}
        ref = crawler.say("jobs_discovered", job, discovered_jobs=[good, {**good, "job_type": "odd"}])
        error = await crawler.answer(ref)
        self.assertEqual(error["data"]["path"], "/data/discovered_jobs/1/job_type")
        self.assertEqual((await crawler.answer(ref))["type"], "ack")
        await until(lambda: self.commands() == sorted(["issues", "group", "groupMilestones", "epics"]))

    @in_time
    async def test_a_request_that_waits(self) -> None:
        """A job is pushed when it is submitted, if its type is accepted and there is room."""
        self.path = await self.serve()
        crawler = await self.greeted(entityTypes=["issue"], maxJobs=2)
        crawler.say("job_request", limit=5)
        self.assertEqual((await crawler.expect("job_response"))["data"]["jobs"], [])
        self.add("g/p", "commits")
        jobs = [self.add(f"g/p{n}", "issues") for n in range(3)]
        await crawler.job()
        crawler.say("job_request")
        await until(lambda: len(crawler.jobs()) == 2)
        self.assertEqual([self.see(job).status for job in jobs], ["assigned", "assigned", "queued"])

    @in_time
    async def test_what_a_crawler_still_holds(self) -> None:
        """What its next hello does not list is released; the rest it keeps, and gets again if nothing was said."""
        self.path = await self.serve()
        jobs = [self.add(f"g/p{n}") for n in range(2)]
        first = await self.greeted(maxJobs=2)
        first.say("job_request", limit=2)
        given = (await first.expect("job_response"))["data"]["jobs"]
        await first.hang_up()
        second = await self.greeted(maxJobs=2, assignments=[given[0]["id"]])
        await until(lambda: self.see(jobs[1]).outcomes == ["released"])
        second.say("job_request", limit=1)
        self.assertEqual((await second.job())["id"], given[0]["id"])

    @in_time
    async def test_the_job_of_another(self) -> None:
        """A connected crawler's job is not another's to report on."""
        _, job = await self.with_job()
        other = await self.greeted("two")
        self.assertEqual((await self.answered(other, "job_progress", job, **PROGRESS))[0], "unauthorized")

    @in_time
    async def test_no_token_for_a_stale_job(self) -> None:
        """The answer comes all the same."""
        crawler, job = await self.with_job()
        await crawler.told("job_completed", job, **DONE)
        crawler.say("token_refresh_request", job)
        response = await crawler.expect("token_refresh_response")
        self.assertEqual((response["jobId"], response["data"]["refreshSuccessful"]), (job, False))

    @in_time
    async def test_causes_are_inferred(self) -> None:
        """A failure that names no cause is understood by its text; an outage counts against nobody."""
        crawler, job = await self.with_job()
        await crawler.told("job_failed", job, error="HTTP 503", isRecoverable=True)
        seen = self.see(self.job)
        self.assertEqual((seen.cause, seen.attempts), ("gitlab_unavailable", 0))


class WireAtANodeTests(Wire, NodeBench):
    """At a node."""


class WireInMemoryTests(Wire, MemoryBench, TestCase):
    """At the server for tests."""


class ConversationTests(MemoryBench, TestCase):
    """The conversations of docs/protocol.md, at the server for tests. (tests/docs plays them at a node.)"""

    async def play(self, conversation: Conversation) -> None:
        """Every line of the server's, word for word."""
        path = await self.serve(retry_delay=0.4)
        self.server.tokens.current = "example-token"
        crawler = await TestCrawler.connect(path)
        self.addCleanup(crawler.hang_up)
        bindings = Bindings()
        for line in conversation.lines:
            match line.speaker:
                case "C":
                    end = b"" if conversation.undelimited else b"\n"
                    crawler.raw(json.dumps(bindings.fill(line.message), separators=(",", ":")).encode() + end)
                case "J":
                    self.server.add_job(
                        line.message["command"], line.message.get("full_path"), branch=line.message.get("branch")
                    )
                case _:
                    heard: Message = await crawler._next(lambda _: True, "anything", 5.0)
                    self.assertIsNone(bindings.accept(line.message, heard), conversation.title)

    @in_time
    async def test_them_all(self) -> None:
        """There is no difference to a node, as far as crawlers can see."""
        for conversation in read(PROTOCOL):
            await self.play(conversation)


class ServerTests(SynchronousTestCase):
    """What tests do with the server: everything blocks, as in a test of a plain crawler."""

    def setUp(self) -> None:
        """A server, and a crawler."""
        self.server = Server(grace=0.05, heartbeat_interval=0.02)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.crawler = Crawler(self.server.path, Hello("c", ("issue",)), backoff=lambda _: 0.01, give_back_within=0.2)
        self.addCleanup(self.crawler.stop)

    def crawl(self) -> list[str]:
        """Crawl until no job is left; the tokens that were used."""
        self.server.exit_when_done()
        tokens = []
        for job in self.crawler.jobs():
            with job:
                if not self.server.tokens.valid(job.access_token):
                    job.refresh_token("401")
                tokens.append(job.access_token)
                job.progress(1, resume_state={"currentPage": job.next_page})
                job.rate_limit(5, limit=10)
                job.complete({"issue": 1})
        return tokens

    def test_records(self) -> None:
        """Everything that was said can be asserted on."""
        job = self.server.add_job("issue", "g/p", entity_id="42", resume_state={"currentPage": 3})
        self.crawl()
        self.assertEqual((job.status, job.counts, job.resume_state), ("completed", {"issue": 1}, {"currentPage": 4}))
        self.assertEqual((job.entity_id, job.tries, job.outcomes, job.error), ("42", 1, ["completed"], None))
        types = ["hello", "job_request", "job_started", "job_progress", "rate_limit", "job_completed"]
        self.assertEqual(self.server.types()[:6], types)
        self.assertEqual([limit["remaining"] for limit in self.server.rate_limits], [5])
        self.assertEqual(self.server.errors, [])
        self.server.wait(lambda: self.server.crawlers == [])
        self.assertRaises(ValueError, self.server.add_job, "castles")

    def test_tokens(self) -> None:
        """A token that has expired is replaced."""
        self.server.add_job("issues", "g/p")
        self.server.tokens.expire()
        self.assertEqual((self.crawl(), self.server.tokens.refreshes), (["token-2"], 1))

    def test_lost_acks(self) -> None:
        """Reports whose acks are lost are sent again on the next connection, and change nothing."""
        job = self.server.add_job("issues", "g/p")
        self.server.lose_acks(3)
        self.crawl()
        self.assertEqual((job.status, job.tries, self.server.errors), ("completed", 1, []))
        self.assertGreater(self.server.types().count("job_started"), 1)
        self.assertGreater(self.server.types().count("hello"), 1)

    def test_refusals(self) -> None:
        """A report that is refused fails the job, which is attempted again."""
        job = self.server.add_job("issues", "g/p")
        self.server.refuse("job_progress")
        self.crawl()
        self.assertEqual(job.outcomes, ["failed", "completed"])
        self.assertEqual([error.code for error in self.server.errors], ["internal"])

    def test_connections_that_are_lost(self) -> None:
        """A crawler comes back and keeps its job; one that does not loses it after the grace."""
        job = self.server.add_job("issues", "g/p")
        taken = self.crawler.next_job(60)
        assert taken is not None
        job.wait("running")
        for scope in ("drop", "node"):
            before = self.server.types().count("hello")
            self.server.drop() if scope == "drop" else self.server.shut_down("node", timeout=0.01)
            self.server.wait(lambda before=before: self.server.types().count("hello") > before)
        taken.progress(2)
        self.assertEqual((job.status, job.tries), ("running", 1))
        self.crawler.stop()
        self.assertEqual((job.status, job.outcomes), ("queued", ["given_back"]))

    def test_what_happens_to_jobs(self) -> None:
        """Jobs that are cancelled or paused while nobody has them change at once; a wait that is in vain says so."""
        job = self.server.add_job("issues", "g/p")
        job.pause()
        self.assertEqual(job.status, "paused")
        job.resume()
        job.cancel()
        self.assertEqual(job.status, "cancelled")
        with self.assertRaisesRegex(AssertionError, "in vain until .* is completed"):
            job.wait("completed", timeout=0.01)

    def test_admission(self) -> None:
        """With a token only those are admitted that have it."""
        with Server(token="secret") as server:
            stranger = Crawler(server.path, Hello("s", token="wrong"), backoff=lambda _: 0.01)
            stranger.start()
            server.wait(lambda: server.errors)
            stranger.stop()
            self.assertEqual(server.errors[0].code, "unauthorized")
            job = server.add_job("issues", "g/p")
            server.exit_when_done()
            for each in Crawler(server.path, Hello("c", token="secret")).jobs():
                with each:
                    raise JobFailure("no", recoverable=False)
            self.assertEqual(job.status, "failed")
