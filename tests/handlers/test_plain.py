"""The plain crawler: no hello, no delimiters, a mute second connection, polling; and its identity."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from copilot_socket.handlers import messages
from tests.handlers.support import ALIVE, PROGRESS, Crawler, NodeTestCase, found
from tests.support.crawler import PATIENCE, Message, reactor, until

PLAIN_PATIENCE = messages.PLAIN_PATIENCE
ATTENTIVE = {"SOCKET_HEARTBEAT_TIMEOUT": 1500, "SOCKET_HEARTBEAT_INTERVAL": 500}
"""The check for silent crawlers runs every 50 ms."""


class PlainTestCase(NodeTestCase):
    """Connections of the test's process are one plain crawler."""

    async def plain(self) -> Crawler:
        """A further connection of the plain crawler, which sends messages without delimiters."""
        return await self.connect(delimiter=b"")

    async def poll(self, crawler: Crawler) -> list[Message]:
        """Poll as it does every few seconds: a heartbeat, then a request."""
        crawler.say("heartbeat", **ALIVE)
        return await crawler.ask()

    async def assigned(self, path: str = "g/p") -> tuple[Crawler, str]:
        """A plain crawler that was given a job."""
        crawler = await self.plain()
        self.add_jobs(path)
        [job] = await self.poll(crawler)
        return crawler, job["id"]


class ConversationTests(PlainTestCase):
    """A whole conversation."""

    async def test_a_job_from_end_to_end(self) -> None:
        """Undelimited messages, two connections of which one is mute, polling: the job is done."""
        await self.node(poll=0.05)
        mute, crawler = await self.plain(), await self.plain()
        self.assertEqual(await self.poll(crawler), [])
        self.assertEqual(await self.poll(crawler), [])
        self.add_jobs("g/p")
        [job] = await crawler.answered()
        form = crawler.form
        crawler.raw(
            form("job_started", job["id"], entityType="issue", entityId="g/p")
            + form("job_progress", job["id"], **PROGRESS, resumeState={"currentPage": 2}, message="a } and {\n in it")
            + form("heartbeat", **{**ALIVE, "activeJobs": 1})
        )
        await self.becomes(job["id"], "running")
        last = form("job_completed", job["id"], success=True, finalCounts={"issue": 5}, message="}{")
        for byte in last:
            crawler.raw(bytes([byte]))
        await self.becomes(job["id"], "completed")
        self.assertEqual(await self.poll(crawler), [])
        self.assertEqual((crawler.unread, mute.received), ([], []))
        self.assertEqual(self.row(job["id"], "progress")["finalCounts"], {"issue": 5})
        self.assertTrue(mute.open)

    async def test_discovery(self) -> None:
        """Discovered jobs are created, and the plain crawler gets those of its entity types, one at a time."""
        await self.node()
        crawler = await self.plain()
        self.query("INSERT INTO jobs (account_id, command) VALUES ('acct', 'GROUP_PROJECT_DISCOVERY')")
        [job] = await self.poll(crawler)
        self.assertEqual((job["entityType"], job["entityId"]), ("areas", "acct"))
        group = found(job_type="crawl_group", entity_id="gid://gitlab/Group/12", namespace_path="g")
        crawler.say("jobs_discovered", job["id"], discovered_jobs=[group], discovery_summary={"total_groups": 1})
        crawler.say("job_completed", job["id"], success=True, finalCounts={"areas": 1})
        await self.becomes(job["id"], "completed")
        [next_job] = await self.poll(crawler)
        self.assertEqual((next_job["command"], next_job["entityId"], next_job["areaType"]), ("group", "12", "group"))
        progress = self.row(job["id"], "progress")
        self.assertEqual((progress["discoverySummary"], progress["finalCounts"]), ({"total_groups": 1}, {"areas": 1}))


class ConnectionTests(PlainTestCase):
    """Connections of a plain crawler: which may be mute, which may report."""

    async def test_a_mute_sibling_is_left_alone(self) -> None:
        """A mute connection stays past the connection time-out while its crawler has a live one."""
        node = await self.node(SOCKET_CONNECTION_TIMEOUT=100, **ATTENTIVE)
        mute, live = await self.plain(), await self.plain()
        live.say("heartbeat", **ALIVE)
        begun = node.reading_clock.now
        await until(lambda: node.reading_clock.now > begun + 0.4)
        self.assertTrue(mute.open)
        mute.say("job_request")
        self.assertEqual(await mute.answered(), [])

    async def test_a_silent_one_alone_is_closed(self) -> None:
        """A connection without a valid message is closed at the connection time-out, not before."""
        self.each_its_own_process()
        node = await self.node(SOCKET_CONNECTION_TIMEOUT=200, **ATTENTIVE)
        begun = node.reading_clock.now
        mute, babbler, live = await self.plain(), await self.plain(), await self.plain()
        live.say("heartbeat", **ALIVE)
        babbler.raw(b"{]\n")
        await mute.closed
        await babbler.closed
        self.assertGreater(node.reading_clock.now - begun, 0.15)
        self.assertEqual(mute.received, [])
        self.assertTrue(live.open)

    async def test_each_has_its_own_time(self) -> None:
        """The connection time-out runs separately for each connection of a process."""
        node = await self.node(SOCKET_CONNECTION_TIMEOUT=300, **ATTENTIVE)
        first, begun = await self.plain(), node.reading_clock.now
        await until(lambda: node.reading_clock.now > begun + 0.2)
        begun, second = node.reading_clock.now, await self.plain()
        await first.closed
        self.assertTrue(second.open)
        await second.closed
        self.assertGreater(node.reading_clock.now - begun, 0.25)

    async def test_closed_once_its_sibling_is_gone(self) -> None:
        """When the live connection ends, the connection time-out starts again for the mute one."""
        await self.node(SOCKET_CONNECTION_TIMEOUT=150, **ATTENTIVE)
        mute, live = await self.plain(), await self.plain()
        await self.poll(live)
        await live.leave()
        await mute.closed

    async def test_a_mute_one_keeps_no_lease(self) -> None:
        """A crawler of which only a mute connection is left loses its job at the grace."""
        await self.node(SOCKET_RECONNECT_GRACE=100)
        mute = await self.plain()
        crawler, job = await self.assigned()
        crawler.say("job_started", job)
        await self.becomes(job, "running")
        await crawler.leave()
        await self.becomes(job, "queued")
        self.assertEqual(self.tries(job), ["released"])
        self.assertTrue(mute.open)

    async def test_reports_on_another_connection(self) -> None:
        """Reports may come over another connection than the job's, also after that one has closed."""
        await self.node()
        other = await self.plain()
        crawler, job = await self.assigned()
        other.say("job_started", job)
        await self.becomes(job, "running")
        await crawler.leave()
        other.say("job_completed", job, success=True, finalCounts={})
        await self.becomes(job, "completed")
        self.assertEqual(other.received, [])


class DoubtTests(PlainTestCase):
    """Jobs that a plain crawler lost, or never received."""

    async def test_sent_again(self) -> None:
        """A job without a report is sent again, with the same id, on the first request of a new connection."""
        await self.node()
        crawler, job = await self.assigned()
        await crawler.leave()
        again = await self.plain()
        [same] = await self.poll(again)
        self.assertEqual((same["id"], same["accessToken"]), (job, "token"))
        self.assertEqual(await again.ask(), [])
        self.assertEqual(self.tries(job), [])

    async def test_sent_again_to_a_sibling(self) -> None:
        """The new connection may be a second one; an older one's first request does not count."""
        await self.node()
        older = await self.plain()
        _, job = await self.assigned()
        self.assertEqual(await older.ask(), [])
        newer = await self.plain()
        self.assertEqual([item["id"] for item in await newer.ask()], [job])

    async def test_not_what_was_reported_on(self) -> None:
        """A job that was reported on is not sent again, and its crawler keeps it."""
        await self.node()
        crawler, job = await self.assigned()
        crawler.say("job_started", job)
        await crawler.leave()
        again = await self.plain()
        self.assertEqual(await self.poll(again), [])
        again.say("job_completed", job, success=True, finalCounts={})
        await self.becomes(job, "completed")

    async def test_says_that_it_runs_nothing(self) -> None:
        """A further request without a report, PLAIN_PATIENCE after the job was sent, releases the job."""
        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        crawler, job = await self.assigned()
        [again] = await self.poll(crawler)
        self.assertNotEqual(again["id"], job)
        self.assertEqual(again["id"].partition(".")[0], job.partition(".")[0])
        self.assertEqual(self.tries(job), ["released"])
        self.assertEqual(self.row(job, "attempts"), 0)

    async def test_three_seconds(self) -> None:
        """PLAIN_PATIENCE is three seconds: an earlier request releases nothing."""
        self.assertEqual(PLAIN_PATIENCE, 3.0)
        await self.node()
        crawler, job = await self.assigned()
        for _ in range(3):
            self.assertEqual(await self.poll(crawler), [])
        self.assertEqual(self.status(job), "assigned")

    async def test_a_report_between_requests(self) -> None:
        """After a report of any type since the previous request the job is not released."""
        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        crawler, job = await self.assigned()
        areas = {"entityType": "group", "entities": []}
        for type_, data in (("job_started", {}), ("job_progress", PROGRESS), ("discovery", areas)):
            crawler.say(type_, job, **data)
            self.assertEqual(await self.poll(crawler), [])
        self.assertEqual(self.status(job), "running")
        [again] = await self.poll(crawler)
        self.assertEqual(again["try"], 2)

    async def test_a_completion_lost(self) -> None:
        """A completion that was lost with its connection costs the job a release when its crawler polls again."""
        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        crawler, job = await self.assigned()
        crawler.say("job_started", job)
        await self.becomes(job, "running")
        await crawler.leave()
        again = await self.plain()
        self.assertEqual(await self.poll(again), [])
        [next_try] = await self.poll(again)
        self.assertEqual((next_try["try"], self.tries(job)), (2, ["released"]))
        again.say("job_completed", job, success=True, finalCounts={})
        self.assertEqual((await again.error())["code"], "stale_assignment")

    async def test_a_crawler_that_said_hello_may_poll(self) -> None:
        """A request without a report releases nothing of a crawler that has sent hello."""
        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        crawler, job = await self.working(maxJobs=1)
        for _ in range(3):
            self.assertEqual(await crawler.ask(), [])
        self.assertEqual(self.status(job), "assigned")


ANOTHER_PROCESS = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b'{"type":"job_request","timestamp":"t","data":{}}')
print(connection.makefile().readline(), flush=True)
sys.stdin.read()
"""


class Another(ProcessProtocol):
    """A crawler in another process: its first line of output is the answer that it received."""

    def __init__(self) -> None:
        self.answer: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._out = b""

    def outReceived(self, data: bytes) -> None:
        """Collect output until a line is complete."""
        self._out += data
        if b"\n" in self._out and not self.answer.called:
            self.answer.callback(self._out.decode())

    def processEnded(self, reason: object) -> None:
        """Fire the Deferred that the test waits for."""
        self.ended.callback(None)


class IdentityTests(PlainTestCase):
    """A plain crawler is the process at the other end."""

    async def test_connections_of_one_process(self) -> None:
        """Two connections of one process share one room; another process has a room of its own."""
        node = await self.node()
        self.add_jobs("g/1", "g/2", "g/3")
        one, other = await self.plain(), await self.plain()
        self.assertEqual(len(await one.ask()), 1)
        self.assertEqual(len(await other.ask()), 0)
        another = Another()
        process = reactor.spawnProcess(
            another, sys.executable, [sys.executable, "-c", ANOTHER_PROCESS, node.config.socket_path], env={}
        )
        self.assertIn('"fullPath":"g/2"', await another.answer.addTimeout(PATIENCE, reactor))
        keys = [key for (key,) in self.query("SELECT key FROM crawlers")]
        self.assertEqual(len(keys), 2)
        self.assertEqual(sum(f":{process.pid}:" in key for key in keys), 1)
        process.closeStdin()
        await another.ended
        await until(lambda: len(node.registry) == 1)

    async def test_a_dead_process(self) -> None:
        """The job of a process that ended is assigned to another crawler after the grace."""
        node = await self.node(SOCKET_RECONNECT_GRACE=100)
        self.add_jobs("g/1")
        another = Another()
        process = reactor.spawnProcess(
            another, sys.executable, [sys.executable, "-c", ANOTHER_PROCESS, node.config.socket_path], env={}
        )
        await another.answer.addTimeout(PATIENCE, reactor)
        crawler = await self.plain()
        self.assertEqual(await crawler.ask(), [])
        process.signalProcess("KILL")
        await another.ended
        [job] = await crawler.answered()
        self.assertEqual((job["fullPath"], job["try"]), ("g/1", 2))

    async def test_where_no_pid_can_be_read(self) -> None:
        """If the process is unknown, each connection is a crawler of its own."""
        from copilot_socket.wire import factory

        self.patch(factory, "read_peer", lambda _: None)
        await self.node()
        self.add_jobs("g/1", "g/2")
        one, other = await self.plain(), await self.plain()
        self.assertEqual((len(await one.ask()), len(await other.ask())), (1, 1))

    async def test_a_pid_used_again(self) -> None:
        """A new process with the pid of one that ended is another crawler: it is not sent the old one's job."""
        from copilot_socket.wire import factory
        from copilot_socket.wire.peer import Peer

        await self.node()
        self.patch(factory, "read_peer", lambda _: Peer(4711, 0, "100", "ns", "boot"))
        crawler, job = await self.assigned()
        await crawler.leave()
        self.patch(factory, "read_peer", lambda _: Peer(4711, 0, "200", "ns", "boot"))
        successor = await self.plain()
        self.assertEqual(await successor.ask(), [])
        successor.say("job_progress", job, **PROGRESS)
        await until(lambda: self.row(job, "progress"))
        [(key,)] = self.query("SELECT crawler_key FROM job_assignments")
        self.assertIn(":4711:200:", key)

    async def test_hello_beside_plain(self) -> None:
        """A process is a crawler per hello, and another one for its connections without hello."""
        await self.node()
        self.add_jobs("g/1", "g/2", "g/3")
        crawlers = [await self.crawler("a", maxJobs=1), await self.crawler("b", maxJobs=1), await self.plain()]
        self.assertEqual([len(await crawler.ask()) for crawler in crawlers], [1, 1, 1])
