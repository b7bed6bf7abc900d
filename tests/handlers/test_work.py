"""Getting work: immediate answers, pending requests, pushes, room, routing, order."""

from typing import Any

from tests.handlers.support import ALIVE, PROGRESS, NodeTestCase
from tests.support.crawler import until


class PushTests(NodeTestCase):
    """Pushes, without polling: the next poll is an hour away."""

    async def test_pushed_on_insert(self) -> None:
        """An empty answer is immediate and leaves the request pending; an INSERT by any program is pushed."""
        await self.node()
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        [job] = self.add_jobs("g/p", command="mergeRequests", branch="main", resume_state='{"currentPage": 3}')
        sent = await crawler.job()
        self.assertTrue(sent["id"].startswith(f"{job}.1."))
        self.assertEqual(
            {name: value for name, value in sent.items() if name != "id"},
            {
                "entityType": "merge_request",
                "entityId": "g/p",
                "gitlabUrl": "http://127.0.0.1:9",
                "accessToken": "token",
                "resumeState": {"currentPage": 3},
                "command": "mergeRequests",
                "fullPath": "g/p",
                "branch": "main",
                "try": 1,
            },
        )
        self.assertEqual(self.status(job), "assigned")

    async def test_not_after_it_was_served(self) -> None:
        """A request is over once it was answered with a job, also by a push."""
        await self.node()
        crawler = await self.crawler(maxJobs=5)
        await crawler.ask()
        self.add_jobs("g/1")
        await crawler.job()
        self.add_jobs("g/2")
        await crawler.sync()
        await self.quiet(crawler)
        self.assertEqual((await crawler.ask())[0]["fullPath"], "g/2")

    async def test_one_pending_request(self) -> None:
        """A later request replaces an earlier one: two requests are served with one push, on the later connection."""
        await self.node()
        first = await self.crawler(maxJobs=5)
        second = await self.crawler(maxJobs=5)
        self.assertEqual(await first.ask(limit=4), [])
        self.assertEqual(await second.ask(limit=1), [])
        self.add_jobs("g/1", "g/2")
        self.assertEqual((await second.job())["fullPath"], "g/1")
        await self.quiet(first, second)

    async def test_ends_with_its_connection(self) -> None:
        """A request ends with its connection, though its crawler has another one."""
        await self.node()
        first = await self.crawler()
        second = await self.crawler()
        await first.ask()
        await first.leave()
        await until(lambda: self.nodes[0].dispatcher.pending_requests == 0)
        [job] = self.add_jobs("g/p")
        await self.quiet(second)
        self.assertEqual(self.status(job), "queued")

    async def test_pipelined_with_a_report(self) -> None:
        """A request is answered immediately although a report in the same write is not committed yet."""
        await self.node()
        crawler, job = await self.working(maxJobs=2)
        crawler.raw(crawler.form("job_request") + crawler.form("job_progress", job, **PROGRESS))
        self.assertEqual(await crawler.answered(), [])
        self.add_jobs("g/2")
        crawler.say("job_progress", job, **PROGRESS)
        self.assertEqual((await crawler.job())["fullPath"], "g/2")

    async def test_room_is_made_by_an_ending(self) -> None:
        """A pending request without room is served as soon as one of the crawler's jobs ends, in any way."""
        await self.node()
        crawler = await self.crawler(maxJobs=1)
        self.add_jobs("g/1", "g/2", "g/3", "g/4")
        [job] = await crawler.ask()
        endings: list[tuple[str, dict[str, Any]]] = [
            ("job_completed", {"success": True, "finalCounts": {}}),
            ("job_failed", {"error": "e", "isRecoverable": False}),
        ]
        for number, (type_, data) in enumerate(endings, 2):
            self.assertEqual(await crawler.ask(), [])
            crawler.say(type_, job["id"], **data)
            job = await crawler.job()
            self.assertEqual(job["fullPath"], f"g/{number}")
        self.assertEqual(await crawler.ask(), [])
        await self.nodes[0].transitions.apply([job["id"].partition(".")[0]], "cancel")
        self.assertEqual((await crawler.job())["fullPath"], "g/4")

    async def test_when_due(self) -> None:
        """A scheduled job is sent when it falls due, not before."""
        await self.node(poll=0.1)
        crawler = await self.crawler()
        self.add_jobs("g/later", scheduled_at="2199-12-31")
        [job] = self.add_jobs("g/p")
        self.query("UPDATE jobs SET ready = false, scheduled_at = now() + interval '0.4 s' WHERE id = %s", job)
        self.assertEqual(await crawler.ask(), [])
        await crawler.job()
        [(late,)] = self.query("SELECT extract(epoch FROM now() - scheduled_at)::float8 FROM jobs WHERE id = %s", job)
        self.assertGreaterEqual(late, 0)

    async def test_after_a_back_off(self) -> None:
        """A failed job is sent again, with its cursor and in a new attempt, as soon as its back-off is over."""
        await self.node(SOCKET_RETRY_DELAY=200)
        crawler, first = await self.working()
        crawler.say("job_failed", first, error="e", isRecoverable=True, resumeState={"currentPage": 9})
        await crawler.expect("ack")
        crawler.say("job_request")
        job = await crawler.job()
        self.assertEqual((job["try"], job["resumeState"]), (2, {"currentPage": 9}))
        self.assertNotEqual(job["id"], first)
        self.assertEqual(self.row(first, "attempts"), 1)

    async def test_stage_of_a_completed_job(self) -> None:
        """A completion makes the stage completed, beside what was reported before; a failure leaves the stage."""
        await self.node()
        crawler = await self.crawler()
        unreported = await self.given(crawler, "g/1")
        crawler.say("job_completed", unreported, id="c1", success=True, finalCounts={"issue": 3})
        await crawler.answer("c1")
        expected = {"stage": "completed", "finalCounts": {"issue": 3}}
        self.assertEqual(self.row(unreported, "progress"), expected)
        reported = await self.given(crawler, "g/2")
        crawler.say("job_progress", reported, **PROGRESS)
        crawler.say("job_completed", reported, id="c2", success=True, finalCounts={"issue": 3})
        await crawler.answer("c2")
        self.assertEqual(self.row(reported, "progress"), PROGRESS | expected)
        failed = await self.given(crawler, "g/3")
        crawler.say("job_progress", failed, **PROGRESS)
        crawler.say("job_completed", failed, id="c3", success=False, finalCounts={}, message="no")
        await crawler.answer("c3")
        self.assertEqual(self.row(failed, "progress")["stage"], PROGRESS["stage"])


class RoomTests(NodeTestCase):
    """How many jobs a crawler may hold."""

    async def test_limit_and_room(self) -> None:
        """A response has at most as many jobs as the lesser of limit and room."""
        await self.node(SOCKET_MAX_CONCURRENT_JOBS=4)
        self.add_jobs(*(f"g/{n}" for n in range(20)))
        crawler = await self.crawler()
        self.assertEqual(len(await crawler.ask(limit=1)), 1)
        self.assertEqual(len(await crawler.ask(limit=2)), 2)
        self.assertEqual(len(await crawler.ask(limit=9)), 1)
        self.assertEqual(len(await crawler.ask(limit=9)), 0)
        all_at_once = await self.crawler("two")
        self.assertEqual(len(await all_at_once.ask()), 4)

    async def test_max_jobs(self) -> None:
        """maxJobs overrides the server's default, and welcome announces the result."""
        await self.node(SOCKET_MAX_CONCURRENT_JOBS=2)
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        for name, given, granted in (("less", 1, 1), ("more", 5, 5), ("none", None, 2)):
            crawler = await self.connect()
            crawler.say("hello", crawlerId=name, maxJobs=given)
            welcome = (await crawler.expect("welcome"))["data"]
            self.assertEqual(welcome["maxConcurrentJobs"], granted)
            self.assertEqual(len(await crawler.ask()), granted)

    async def test_of_the_crawler_not_the_connection(self) -> None:
        """Two connections of one crawler share its room."""
        await self.node()
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        one, other = await self.crawler(maxJobs=3), await self.crawler(maxJobs=3)
        self.assertEqual(len(await one.ask(limit=2)), 2)
        self.assertEqual(len(await other.ask()), 1)

    async def test_plain(self) -> None:
        """A plain crawler gets one job per response, whatever its limit, and no other before that one is over."""
        await self.node()
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        plain = await self.connect(delimiter=b"")
        [job] = await plain.ask(limit=5)
        self.assertEqual(await plain.ask(limit=5), [])
        plain.say("job_started", job["id"])
        plain.say("job_completed", job["id"], success=True, finalCounts={})
        [second] = await plain.answered()
        self.assertEqual(second["fullPath"], "g/1")

    async def test_more_for_plain_ones(self) -> None:
        """SOCKET_PLAIN_JOBS raises both limits."""
        await self.node(SOCKET_PLAIN_JOBS=2)
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        plain = await self.connect()
        self.assertEqual(len(await plain.ask(limit=5)), 2)
        self.assertEqual(len(await plain.ask(limit=5)), 0)

    async def test_welcome(self) -> None:
        """welcome announces the configuration."""
        await self.node(SOCKET_HEARTBEAT_INTERVAL=12345, SOCKET_MAX_MESSAGE_SIZE=54321)
        crawler = await self.connect()
        crawler.say("hello", crawlerId="c")
        welcome = (await crawler.next())["data"]
        self.assertEqual(welcome.pop("connectionId"), next(iter(self.nodes[0].factory.connections)))
        self.assertEqual(
            welcome,
            {
                "protocolVersion": "1",
                "heartbeatInterval": 12345,
                "maxMessageSize": 54321,
                "maxConcurrentJobs": 2,
                "features": ["cause", "commands", "job_released", "rate_limit"],
            },
        )


class RoutingTests(NodeTestCase):
    """Routing and order."""

    async def test_entity_types(self) -> None:
        """A crawler gets only jobs of the entity types that it lists; without a list, those of plain crawlers."""
        await self.node()
        self.add_jobs("g/m", command="groupMilestones")
        self.add_jobs("g/i", command="issues")
        lister = await self.crawler("lister", entityTypes=["epics", "groupMilestones"], maxJobs=5)
        self.assertEqual([job["entityType"] for job in await lister.ask()], ["groupMilestones"])
        other = await self.crawler("other", maxJobs=5)
        self.assertEqual([job["entityType"] for job in await other.ask()], ["issue"])
        self.add_jobs("g/e", command="epics")
        self.assertEqual(await other.ask(), [])
        self.assertEqual([job["entityType"] for job in await lister.ask()], ["epics"])

    async def test_nothing_listed(self) -> None:
        """A crawler that lists no type gets empty answers."""
        await self.node()
        self.add_jobs("g/p")
        crawler = await self.crawler(entityTypes=[])
        self.assertEqual(await crawler.ask(), [])

    async def test_unroutable(self) -> None:
        """Jobs that no connected crawler takes are counted as such."""
        node = await self.node()
        self.add_jobs("g/m", "g/n", command="groupMilestones")
        self.add_jobs("g/i")

        async def unroutable() -> float | None:
            await node.metrics.refresh(node.database)
            return node.metrics.registry.get_sample_value("copilot_jobs_unroutable")

        self.assertEqual(await unroutable(), 3)
        await self.crawler()
        self.assertEqual(await unroutable(), 2)
        await self.crawler("two", entityTypes=["groupMilestones"])
        self.assertEqual(await unroutable(), 0)

    async def test_priority(self) -> None:
        """Higher priority first, then the older job, across entity types."""
        await self.node()
        self.add_jobs("g/1")
        self.add_jobs("g/2", command="commits")
        self.add_jobs("g/3", priority=5)
        self.add_jobs("g/4", command="branches", priority=7)
        self.add_jobs("g/5", priority=-1)
        crawler = await self.crawler(maxJobs=9)
        self.assertEqual([job["fullPath"] for job in await crawler.ask()], ["g/4", "g/3", "g/1", "g/2", "g/5"])

    async def test_entity_id(self) -> None:
        """entityId is the area's numeric id if known, else the path, else the account."""
        await self.node()
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type) SELECT gitlab_origin, a.*"
            " FROM accounts, (VALUES ('g/known', 42, 'K', 'project'), ('g/half', NULL, 'H', 'group')) AS a"
            " WHERE id = 'acct'"
        )
        self.add_jobs("g/known", "g/half", "g/new")
        self.query("INSERT INTO jobs (account_id, command) VALUES ('acct', 'users')")
        crawler = await self.crawler(maxJobs=9)
        jobs = {job.get("fullPath"): job for job in await crawler.ask()}
        self.assertEqual(
            {path: (job["entityId"], job.get("areaType")) for path, job in jobs.items()},
            {
                "g/known": ("42", "project"),
                "g/half": ("g/half", "group"),
                "g/new": ("g/new", None),
                None: ("acct", None),
            },
        )

    async def test_both_crawlers(self) -> None:
        """Two pending requests are both served by one INSERT of two jobs."""
        await self.node()
        one, two = await self.crawler("one"), await self.crawler("two")
        for crawler in (one, two):
            self.assertEqual(await crawler.ask(), [])
        self.query(
            "INSERT INTO jobs (account_id, command, full_path) "
            "VALUES ('acct', 'issues', 'g/1'), ('acct', 'issues', 'g/2')"
        )
        self.assertEqual({(await one.job())["fullPath"], (await two.job())["fullPath"]}, {"g/1", "g/2"})

    async def test_braces(self) -> None:
        """Braces and characters outside ASCII in a job come as escapes, so that counting braces finds its end."""
        await self.node()
        plain = await self.connect()
        await plain.ask()
        self.add_jobs("g/{weird}/ü")
        job = await plain.job()
        self.assertEqual(job["fullPath"], "g/{weird}/ü")
        last = plain.heard.rstrip(b"\n").rpartition(b"\n")[2]
        self.assertEqual((last.count(b"{"), last.count(b"}"), last.isascii()), (3, 3, True))


class SilentTests(NodeTestCase):
    """Requests of absent crawlers."""

    async def test_a_silent_crawler_is_passed_over(self) -> None:
        """The pending request of a silent crawler is not served until the crawler sends a message."""
        await self.node(SOCKET_HEARTBEAT_INTERVAL=50, SOCKET_HEARTBEAT_TIMEOUT=300)
        silent = await self.crawler("silent")
        self.assertEqual(await silent.ask(), [])
        registry = self.nodes[0].registry
        await until(lambda: registry.present() == [])
        [job] = self.add_jobs("g/p")
        waker = await self.crawler("waker", entityTypes=["epics"])
        self.assertEqual(await waker.ask(), [])
        self.assertEqual(self.status(job), "queued")
        await until(lambda: silent.say("heartbeat", **ALIVE) or silent.jobs(), "it is served")
        self.assertEqual((await silent.job())["fullPath"], "g/p")
