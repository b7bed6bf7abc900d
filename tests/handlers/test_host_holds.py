"""An outage of a GitLab: its jobs are held back, probed, and let go."""

from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Failed, job_of
from copilot_socket.store.transition_rows import TransitionRequest
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.crawler import until

OUTAGE = {"cause": "gitlab_unavailable"}


class HostHoldTests(NodeTestCase):
    """Three jobs of two crawlers find GitLab unavailable."""

    async def outage(self, *paths: str) -> tuple[Crawler, Crawler]:
        """The host is held back after three failures; jobs of *paths* are queued, and two crawlers wait."""
        await self.node(SOCKET_RETRY_DELAY=60000)
        one, two = await self.crawler("one", maxJobs=2), await self.crawler("two", maxJobs=2)
        self.add_jobs("g/1", "g/2", "g/3")
        first, second = await one.ask()
        [third] = await two.ask()
        for crawler, job in ((one, first), (two, third), (one, second)):
            await crawler.fail(job["id"], **OUTAGE)
        await until(self.held, "the host is held back")
        self.add_jobs(*paths)
        for crawler in (one, two):
            self.assertEqual(await crawler.ask(), [])
        return one, two

    def held(self) -> list[str]:
        """The hosts that the node holds back."""
        return sorted(self.nodes[0].dispatcher.holds.held)

    async def look(self) -> None:
        """As each second."""
        await self.nodes[0].dispatcher.holds.look()
        for _ in range(3):
            await self.nodes[0].writer.drained()

    async def probe(self, *crawlers: Crawler) -> tuple[Crawler, dict[str, str]]:
        """The time of the next probe has come: the crawler that gets it, and the job."""
        self.query("UPDATE hosts SET opens_at = now(), probe_until = NULL")
        await self.look()
        await until(lambda: any(crawler.unread for crawler in crawlers), "a probe is sent")
        [crawler] = [crawler for crawler in crawlers if crawler.unread]
        [job] = await crawler.answered()
        return crawler, job

    async def test_probes_one_at_a_time(self) -> None:
        """Nothing goes out but a probe, each time another job; a failed one puts off the next."""
        crawlers = await self.outage("g/4", "g/5", "g/6")
        seen = []
        for _ in range(2):
            crawler, job = await self.probe(*crawlers)
            seen.append(job["fullPath"])
            self.query("UPDATE hosts SET opens_at = now(), probe_until = NULL")  # as if it took long
            await self.look()
            self.assertEqual([each.unread for each in crawlers], [[], []])
            await crawler.fail(job["id"], **OUTAGE)
            self.assertEqual(await crawler.ask(), [])
        self.assertEqual(seen, ["g/4", "g/5"])
        self.assertEqual(self.query("SELECT probes, opens_at > now() + interval '15 s' FROM hosts"), [(2, True)])

    async def test_a_probe_that_arrives(self) -> None:
        """The first job that completes releases the others; those that waited fall due within half a minute."""
        crawlers = await self.outage("g/4", "g/5", "g/6")
        crawler, job = await self.probe(*crawlers)
        crawler.say("job_completed", job["id"], id="c", success=True, finalCounts={})
        self.assertEqual(await crawler.acked(), "c")
        await until(lambda: not self.held(), "the host is released")
        crawler.say("job_request")
        await until(lambda: self.query("SELECT count(*) FROM jobs WHERE status = 'assigned'") == [(2,)])
        await self.look()
        waiting = "SELECT max(scheduled_at) < now() + interval '31 s' FROM jobs WHERE cause = 'gitlab_unavailable'"
        self.assertEqual(self.query(waiting), [(True,)])
        self.assertEqual(self.query("SELECT max(attempts) FROM jobs"), [(0,)])

    async def test_an_answer_that_is_no_success(self) -> None:
        """A 404 has come from GitLab, too."""
        crawlers = await self.outage("g/4", "g/5")
        crawler, job = await self.probe(*crawlers)
        await crawler.fail(job["id"], cause="not_found")
        await until(lambda: not self.held(), "the host is released")

    async def test_a_probe_that_takes_long(self) -> None:
        """One that has been reporting for half a minute has reached GitLab."""
        crawlers = await self.outage("g/4", "g/5")
        _crawler, job = await self.probe(*crawlers)
        self.query("UPDATE job_assignments SET reported_at = now() + interval '31 s' WHERE completed_at IS NULL")
        await self.look()
        self.assertEqual(self.held(), [])
        self.assertEqual(self.status(job["id"]), "assigned")

    async def test_other_hosts(self) -> None:
        """Their jobs go on."""
        crawlers = await self.outage("g/4")
        self.add_account("other", "https://other.test")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('other', 'issues', 'o/1')")
        await until(lambda: any(crawler.unread for crawler in crawlers), "it is sent")
        [crawler] = [crawler for crawler in crawlers if crawler.unread]
        self.assertEqual([job["fullPath"] for job in await crawler.answered()], ["o/1"])

    async def test_accounts_that_can_not_probe(self) -> None:
        """An account without a working credential does not use up the turn of another one."""
        crawlers = await self.outage()
        self.add_account("expired", credential_status="expired")
        self.add_account("fine")
        for account in ("expired", "fine"):
            self.add_jobs(f"x/{account}", account_id=account)
        node = self.nodes[0]
        await node.dispatcher.read_lanes()
        node.dispatcher.holds._read_at = float("-inf")
        await self.look()
        node.dispatcher.holds._probed["acct"] = node.dispatcher.holds._probed["fine"] = 1e9
        _crawler, job = await self.probe(*crawlers)
        self.assertNotEqual(job["fullPath"], "x/expired")

    async def test_a_probe_that_nobody_took(self) -> None:
        """It does not go out beside the next one."""
        await self.outage("g/4", "g/5")
        self.add_account("other")
        self.add_jobs("x/1", account_id="other")
        holds, scheduler = self.nodes[0].dispatcher.holds, self.nodes[0].dispatcher._scheduler
        self.nodes[0].dispatcher.planner.stop()
        holds._read_at = float("-inf")
        for _ in range(3):
            self.query("UPDATE hosts SET opens_at = now(), probe_until = NULL")
            await holds.look()
            self.assertEqual(len(scheduler._allowed), 1)

    async def test_late_failures_together(self) -> None:
        """Nor do those that are stored together with the failure that begins it."""
        node = await self.node(SOCKET_RETRY_DELAY=60000)
        one, two = await self.crawler("one", maxJobs=5), await self.crawler("two", maxJobs=5)
        self.add_jobs(*(f"g/{number}" for number in range(10)))
        given = [job["id"] for crawler in (one, two) for job in await crawler.ask()]
        failed = Failed("x", None, True, cause=Cause.GITLAB_UNAVAILABLE)
        await node.transitions.run(
            [TransitionRequest(job_of(job), Event.FAILED, job, report=failed) for job in given]
        )
        self.assertEqual(self.query("SELECT probes, held_since IS NOT NULL FROM hosts"), [(0, True)])

    async def test_late_failures(self) -> None:
        """Attempts that were under way when the hold began do not put off its first probe."""
        await self.node(SOCKET_RETRY_DELAY=60000)
        one, two = await self.crawler("one", maxJobs=5), await self.crawler("two", maxJobs=5)
        self.add_jobs(*(f"g/{number}" for number in range(10)))
        given = [(one, job["id"]) for job in await one.ask()] + [(two, job["id"]) for job in await two.ask()]
        for crawler, job in given[::-1]:
            await crawler.fail(job, **OUTAGE)
        self.assertEqual(self.query("SELECT probes, held_since IS NOT NULL FROM hosts"), [(0, True)])

    async def test_at_another_node(self) -> None:
        """Another node learns it within a second, and does not probe beside the first one's."""
        crawlers = await self.outage("g/4", "g/5")
        await self.probe(*crawlers)
        other = await self.node(SOCKET_RETRY_DELAY=60000)
        await other.dispatcher.holds.look()
        self.assertEqual(sorted(other.dispatcher.holds.held), self.held())
        elsewhere = await self.crawler("three", node=other)
        self.assertEqual(await elsewhere.ask(), [])
        self.query("UPDATE hosts SET opens_at = now(), probe_until = NULL")
        await other.dispatcher.holds.look()
        await other.writer.drained()
        self.assertEqual(elsewhere.unread, [])
