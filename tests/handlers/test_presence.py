"""Presence: graces, silence, and crawlers that come back."""

from typing import Any

from copilot_socket.node import Node
from tests.handlers.support import ALIVE, PROGRESS, Crawler, NodeTestCase
from tests.support.crawler import until

SOON = {"SOCKET_HEARTBEAT_INTERVAL": 100, "SOCKET_HEARTBEAT_TIMEOUT": 300}


class GraceTests(NodeTestCase):
    """A connection ends."""

    async def test_too_late(self) -> None:
        """After the grace the job goes to another crawler with its last cursor, and no attempt is spent."""
        await self.node(SOCKET_RECONNECT_GRACE=150)
        crawler, job = await self.working()
        crawler.say("job_progress", job, resumeState={"lastEntityId": "41"}, **PROGRESS)
        await crawler.acked()
        other = await self.crawler("other")
        self.assertEqual(await other.ask(), [])
        gone = self.now()
        await crawler.leave()
        given = await other.job()
        self.assertGreater(self.now() - gone, 0.15)
        self.assertEqual((given["try"], given["resumeState"]), (2, {"lastEntityId": "41"}))
        self.assertEqual((self.tries(job), self.row(job, "attempts", "releases")), (["released"], (0, 1)))
        late = await self.crawler()
        late.say("job_completed", job, success=True, finalCounts={})
        self.assertEqual((await late.error())["code"], "stale_assignment")
        self.assertEqual(self.status(job), "assigned")

    async def test_many_at_once(self) -> None:
        """Graces that end together share one timer, for any number of crawlers."""
        node = await self.node(SOCKET_RECONNECT_GRACE=100)
        for _ in range(100):
            node.presence._release_after_grace()
        self.assertLessEqual(len(node.presence._timers), 2)
        await until(lambda: not node.presence._timers)

    async def test_in_time(self) -> None:
        """A crawler that comes back within the grace, and lists its assignments, keeps them."""
        node = await self.node()
        crawler, job = await self.working()
        crawler.say("job_started", job)
        await crawler.acked()
        await crawler.leave()
        back = await self.crawler(assignments=[job])
        await self.past_a_grace(node)
        back.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await back.acked(), "c")
        self.assertEqual(self.tries(job), ["completed"])

    async def test_by_a_report_alone(self) -> None:
        """A report that names the assignment keeps it, too, also from a crawler with another identity."""
        node = await self.node()
        crawler, job = await self.working()
        await crawler.leave()
        renamed = await self.crawler("renamed")
        renamed.say("job_progress", job, id="p", **PROGRESS)
        self.assertEqual(await renamed.acked(), "p")
        await self.past_a_grace(node)
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))
        self.assertEqual(self.query("SELECT crawler_key FROM job_assignments"), [("hello:renamed",)])
        former = await self.crawler()
        former.say("job_progress", job, **PROGRESS)
        self.assertEqual((await former.error())["code"], "unauthorized")

    async def test_named_in_the_same_write(self) -> None:
        """A report in the same write as the hello keeps its assignment."""
        node = await self.node()
        crawler, job = await self.working()
        await crawler.leave()
        back = await self.connect()
        hello = back.form("hello", crawlerId="one", capabilities=["ack"])
        back.raw(hello + back.form("job_progress", job, id="p", **PROGRESS))
        self.assertEqual([(await back.next())["type"] for _ in range(2)], ["welcome", "ack"])
        self.assertEqual(self.query("SELECT confirm_by FROM job_assignments"), [(None,)])
        await self.past_a_grace(node)
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_a_list_after_none(self) -> None:
        """Assignments that a later hello lists need no report."""
        node = await self.node()
        crawler, job = await self.working()
        await crawler.leave()
        first = await self.crawler()
        self.assertIsNotNone(self.query("SELECT confirm_by FROM job_assignments")[0][0])
        await first.leave()
        await self.crawler(assignments=[job])
        self.assertEqual(self.query("SELECT confirm_by FROM job_assignments"), [(None,)])
        await self.past_a_grace(node)
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_a_second_connection_keeps_it(self) -> None:
        """Nothing is lost while the crawler has another live connection."""
        node = await self.node()
        crawler, job = await self.working()
        other = await self.crawler()
        await crawler.leave()
        await self.past_a_grace(node)
        other.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await other.acked(), "c")

    async def test_ten_times(self) -> None:
        """A job that is released ten times fails, without an attempt spent."""
        await self.node()
        crawler, job = await self.working()
        self.query("UPDATE jobs SET releases = 9")
        await crawler.leave()
        await self.crawler(assignments=[])
        await self.becomes(job, "failed")
        self.assertEqual(self.row(job, "attempts", "releases"), (0, 10))
        [(resolution,)] = self.query("SELECT resolution FROM job_error_log")
        self.assertIn("10 times", resolution)


class ComeBackTests(NodeTestCase):
    """``hello`` of a crawler that comes back."""

    async def three_jobs(self) -> tuple[Crawler, list[str]]:
        """A crawler that was given three jobs and has reported on them."""
        crawler = await self.crawler(maxJobs=3)
        self.add_jobs("g/1", "g/2", "g/3")
        jobs = [job["id"] for job in await crawler.ask()]
        for job in jobs:
            crawler.say("job_started", job)
            await crawler.acked()
        return crawler, jobs

    async def test_with_a_list(self) -> None:
        """It keeps what it lists; the rest is released before the welcome; others' ids change nothing."""
        await self.node()
        stranger, strange = await self.working("g/strange", "stranger")
        crawler, jobs = await self.three_jobs()
        await crawler.leave()
        back = await self.crawler(assignments=[jobs[1], strange, "never.1.heard"], maxJobs=3, entityTypes=["epics"])
        self.assertEqual([self.status(job) for job in jobs], ["queued", "running", "queued"])
        self.assertEqual([self.tries(job) for job in jobs], [["released"], [], ["released"]])
        self.assertEqual(self.status(strange), "assigned")
        back.say("job_completed", jobs[1], id="c", success=True, finalCounts={})
        self.assertEqual(await back.acked(), "c")
        back.say("job_completed", jobs[0], success=True, finalCounts={})
        self.assertEqual((await back.error())["code"], "stale_assignment")
        stranger.say("job_completed", strange, id="s", success=True, finalCounts={})
        self.assertEqual(await stranger.acked(), "s")

    async def test_with_an_empty_list(self) -> None:
        """An empty list releases everything immediately, and the room is free again."""
        await self.node()
        crawler, _ = await self.three_jobs()
        await crawler.leave()
        back = await self.crawler(assignments=[], maxJobs=3)
        given = await back.ask()
        self.assertEqual([job["fullPath"] for job in given], ["g/1", "g/2", "g/3"])
        self.assertEqual([job["try"] for job in given], [2, 2, 2])

    async def test_without_a_list(self) -> None:
        """Without the list it keeps what its reports name within one more grace; the rest is then released."""
        node = await self.node()
        crawler, jobs = await self.three_jobs()
        await crawler.leave()
        back = await self.crawler(maxJobs=3, entityTypes=["epics"])
        back.say("job_progress", jobs[2], id="p", **PROGRESS)
        self.assertEqual(await back.acked(), "p")
        await node.presence.release_lost()
        self.assertEqual([self.status(job) for job in jobs], ["running"] * 3)
        await self.past_a_grace(node)
        self.assertEqual([self.status(job) for job in jobs], ["queued", "queued", "running"])

    async def test_sent_again_to_one_that_said_hello(self) -> None:
        """Jobs without a report are sent again, with the same ids, on the first request only."""
        await self.node()
        crawler, job = await self.working()
        await crawler.leave()
        back = await self.crawler()
        self.assertEqual([item["id"] for item in await back.ask()], [job])
        self.assertEqual(await back.ask(), [])

    async def test_room_counts_what_it_kept(self) -> None:
        """Assignments that it keeps take up room."""
        await self.node()
        crawler, jobs = await self.three_jobs()
        await crawler.leave()
        self.add_jobs("g/4", "g/5", "g/6")
        back = await self.crawler(assignments=jobs[:2], maxJobs=3)
        self.assertEqual(len(await back.ask()), 1)


class AttentiveTestCase(NodeTestCase):
    """A node with the time-out of :data:`SOON`."""

    async def attentive(self, *, other: bool = False, **settings: object) -> tuple[Node, Crawler, str]:
        """A node, and a crawler that was given a job, and that may fall silent only from now on.

        With *other* it has another connection, ``self.other``.
        """
        node = await self.node(**SOON, **settings)
        time_out, node.presence._heartbeat_timeout = node.presence._heartbeat_timeout, 60.0
        crawler, job = await self.working()
        if other:
            self.other = await self.crawler()
        await crawler.sync()
        node.presence._heartbeat_timeout = time_out
        return node, crawler, job


class SilenceTests(AttentiveTestCase):
    """Missing heartbeats."""

    async def test_silence_releases(self) -> None:
        """A crawler silent past the time-out loses its job after the grace, and its connection is closed."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=150)
        begun = self.now()
        await crawler.sync()
        await self.becomes(job, "queued")
        self.assertGreater(self.now() - begun, 0.4)
        await crawler.closed
        self.assertEqual(node.registry.present(), [])

    async def test_any_message_is_a_sign_of_life(self) -> None:
        """Heartbeats, requests and reports are signs of life, over any connection of the crawler."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=50, other=True)
        other = self.other
        sayings: list[tuple[Crawler, str, dict[str, Any]]] = [
            (crawler, "heartbeat", ALIVE),
            (other, "job_progress", {"job": job, **PROGRESS}),
            (crawler, "job_request", {}),
        ]
        for number in range(9):
            due = node.reading_clock.now + 0.12
            await until(lambda due=due: node.reading_clock.now > due)
            who, type_, data = sayings[number % 3]
            who.say(type_, **data)
        other.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual((await other.answer("c"))["type"], "ack")
        self.assertEqual(self.tries(job), ["completed"])

    async def test_so_is_a_bad_message(self) -> None:
        """Invalid messages are signs of life."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=50)
        for _ in range(6):
            due = node.reading_clock.now + 0.12
            await until(lambda due=due: node.reading_clock.now > due)
            crawler.transport.write(b"nonsense\n")  # type: ignore[union-attr]
            await crawler.error()
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual((await crawler.answer("c"))["type"], "ack")

    async def test_back_before_the_grace(self) -> None:
        """A silent crawler that sends a message within the grace keeps its job and its connection."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=5000)
        await until(lambda: node.registry.present() == [])
        crawler.say("heartbeat", id="h", **ALIVE)
        self.assertEqual(await crawler.acked(), "h")
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await crawler.acked(), "c")

    async def test_time_in_which_the_node_did_not_read(self) -> None:
        """While the node does not read, no crawler becomes silent, however long that takes."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=50)
        node.factory.read(False)
        crawler.say("heartbeat", id="h", **ALIVE)
        begun = self.now()
        await until(lambda: self.now() > begun + 0.7)
        self.assertEqual(len(node.registry.present()), 1)
        node.factory.read(True)
        self.assertEqual(await crawler.acked(), "h")
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_not_reported_on_for_too_long(self) -> None:
        """A live crawler without reports on a job loses it at the job time-out, which spends an attempt."""
        await self.node(SOCKET_JOB_TIMEOUT=500, SOCKET_LEASE=300, SOCKET_RETRY_DELAY=3_600_000)
        crawler, job = await self.working()
        await self.becomes(job, "queued")
        self.assertEqual((self.tries(job), self.row(job, "attempts")), (["timed_out"], 1))
        crawler.say("job_progress", job, **PROGRESS)
        self.assertEqual((await crawler.error())["code"], "stale_assignment")

    async def test_no_time_out_after_an_outage(self) -> None:
        """Jobs time out only after this node's renewals have worked for a whole lease."""
        node = await self.node(SOCKET_JOB_TIMEOUT=500)
        _crawler, job = await self.working()
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '1 hour'")
        await node.presence.time_out()
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_shown(self) -> None:
        """The rows of socket_connections: crawler, last heartbeat, jobs, state."""
        node = await self.node()
        crawler, job = await self.working()
        crawler.say("heartbeat", activeJobs=1, totalProcessed=2, systemStatus="crawling", memoryUsage={"rss": 3})
        await crawler.acked()
        await node.presence.renew()
        rows = self.query(
            "SELECT crawler_id, is_active, active_jobs, system_status, last_heartbeat IS NOT NULL, "
            "metadata->'memoryUsage' FROM socket_connections"
        )
        self.assertEqual(rows, [("one", True, [job], "crawling", True, {"rss": 3})])
        await crawler.leave()
        await until(lambda: self.query("SELECT is_active, active_jobs FROM socket_connections") == [(False, [])])


class LastHeartbeatTests(NodeTestCase):
    """When a crawler that has gone was last heard."""

    def shown(self) -> Any:
        """The row of the only connection, and the age of its last heartbeat in seconds."""
        [row] = self.query(
            "SELECT is_active, system_status, metadata->'totalProcessed',"
            " extract(epoch FROM now() - last_heartbeat)::float8 FROM socket_connections"
        )
        return row

    async def heard(self, node: Any) -> Crawler:
        """A crawler whose heartbeat is ten seconds of the reading clock old, without a renewal since."""
        crawler = await self.crawler()
        crawler.say("heartbeat", activeJobs=0, totalProcessed=2, systemStatus="crawling")
        await crawler.acked()
        node.reading_clock.now += 10.0
        return crawler

    async def test_it_leaves(self) -> None:
        """When the connection ends, the time of the last sign of life is stored, not that of the end."""
        node = await self.node()
        crawler = await self.heard(node)
        await crawler.leave()
        await until(lambda: not self.shown()[0])
        active, status, processed, age = self.shown()
        self.assertEqual((active, status, processed), (False, "crawling", 2))
        self.assertGreater(age, 9.0)
        self.assertLess(age, 20.0)

    async def test_it_falls_silent(self) -> None:
        """For a silent crawler, a renewal and the end of the connection store the last sign of life."""
        node = await self.node()
        crawler = await self.heard(node)
        node.reading_clock.now += 60.0
        node.presence.look_for_silence()
        self.assertFalse(next(iter(node.registry)).present)
        await node.presence.renew()
        self.assertEqual(self.shown()[:3], (True, "crawling", 2))
        self.assertGreater(self.shown()[3], 69.0)
        await crawler.leave()
        await until(lambda: not self.shown()[0])
        self.assertGreater(self.shown()[3], 69.0)

    async def test_the_node_stops(self) -> None:
        """The last sign of life is stored when the node stops, too."""
        node = await self.node()
        await self.heard(node)
        await node.stopService()
        self.assertEqual(self.shown()[:3], (False, "crawling", 2))
        self.assertGreater(self.shown()[3], 9.0)

    async def test_nothing_heard(self) -> None:
        """A connection without a message has no last heartbeat."""
        await self.node()
        mute = await self.connect()
        await until(lambda: self.query("SELECT is_active FROM socket_connections") == [(True,)])
        await mute.leave()
        await until(lambda: not self.shown()[0])
        self.assertEqual(self.shown(), (False, None, None, None))
