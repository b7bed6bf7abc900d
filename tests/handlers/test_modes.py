"""Crawlers that are drained, quarantined, released, or asked to exit, and those that fail everything."""

from copilot_socket.core.crawler_modes import MOST_FAILED, Mode
from copilot_socket.event_bus import CrawlerChanged
from copilot_socket.handlers.dispatch import planner
from copilot_socket.store.crawler_modes import CrawlerModes
from tests.handlers.support import NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import until


class ModeTests(NodeTestCase):
    """CrawlerModes, as HTTP calls it."""

    def modes(self) -> CrawlerModes:
        """Over the first node's pool."""
        return CrawlerModes(self.nodes[0].database)

    async def until_known(self, mode: Mode, node: int = 0) -> None:
        """The node has learned of it."""
        await until(lambda: [each.mode for each in self.nodes[node].registry] == [mode], f"the mode is {mode}")

    async def test_no_more_work(self) -> None:
        """A drained crawler finishes what it has, and gets no more; a released one does again."""
        self.patch(planner, "PATIENCE", 0.0)
        for mode in (Mode.DRAINING, Mode.QUARANTINED):
            if not self.nodes:
                await self.node()
            crawler = await self.crawler(maxJobs=1)
            job = await self.given(crawler, f"g/{mode}")
            self.assertTrue(await self.modes().set("one", mode, ACT))
            await self.until_known(mode)
            crawler.say("job_completed", job, id="c", success=True, finalCounts={})
            self.assertEqual(await crawler.acked(), "c")
            self.add_jobs(f"h/{mode}")
            self.assertEqual(await crawler.ask(), [])
            await self.modes().set("one", Mode.SERVING, ACT)
            again = await crawler.job()
            crawler.say("job_completed", again["id"], success=True, finalCounts={})
            await self.becomes(again["id"], "completed")
            await crawler.leave()
            await until(lambda: not self.nodes[0].factory.connections)

    async def test_it_stays(self) -> None:
        """The mode outlasts a reconnect, at another node, too."""
        self.patch(planner, "PATIENCE", 0.0)
        await self.node()
        crawler = await self.crawler()
        await self.modes().set("one", Mode.DRAINING, ACT)
        await crawler.leave()
        second = await self.node()
        self.add_jobs("g/1")
        again = await self.crawler(node=second)
        self.assertEqual(await again.ask(), [])
        await self.until_known(Mode.DRAINING, 1)

    async def test_version(self) -> None:
        """What the last hello said is stored, and that it says nothing any more."""
        await self.node()
        for version in ("2.1.0", None):
            crawler = await self.crawler(version=version)
            self.assertEqual(self.query("SELECT version FROM crawlers"), [(version,)])
            await crawler.leave()
            await until(lambda: not self.nodes[0].factory.connections)

    async def test_shutdown(self) -> None:
        """A connected crawler is asked to exit; others can't be."""
        await self.node()
        crawler = await self.crawler()
        self.assertIs(await self.modes().shut_down("one", ACT), True)
        message = await crawler.next()
        self.assertEqual((message["type"], message["data"]["scope"]), ("shutdown", "crawler"))
        self.assertIsNone(await self.modes().shut_down("nobody", ACT))
        self.query("UPDATE crawlers SET lease_expires_at = now()")
        self.assertIs(await self.modes().shut_down("one", ACT), False)
        self.assertFalse(await self.modes().set("nobody", Mode.DRAINING, ACT))


class SuspicionTests(NodeTestCase):
    """A crawler that fails everything."""

    async def fails(self, count: int, paths: str = "g/{}") -> list[str]:
        """A crawler fails so many jobs; the events of that."""
        node = await self.node()
        events: list[str] = []
        node.bus.subscribe_by_type({CrawlerChanged: lambda change: events.append(change.event)})
        crawler = await self.crawler(maxJobs=1)
        for number in range(count):
            self.add_jobs(paths.format(number))
            crawler.say("job_request")
            job = await crawler.job()
            await crawler.fail(job["id"], recoverable=False)
        return events

    async def test_everything(self) -> None:
        """Ten in a row, each of another job, are an event; once."""
        events = await self.fails(MOST_FAILED + 2)
        self.assertEqual(events.count("fails everything"), 1)

    async def test_fewer(self) -> None:
        """Nine are not."""
        self.assertNotIn("fails everything", await self.fails(MOST_FAILED - 1))

    async def test_another_end_between(self) -> None:
        """An end that is not the crawler's fault starts the count again."""
        await self.fails(MOST_FAILED - 1)
        events: list[str] = []
        self.nodes[0].bus.subscribe_by_type({CrawlerChanged: lambda change: events.append(change.event)})
        crawler = await self.crawler("one")
        for number, cause in enumerate(("not_found", "job_error")):
            await crawler.fail(await self.given(crawler, f"h/{number}"), recoverable=False, cause=cause)
        self.assertEqual(events, [])

    async def test_a_success_between(self) -> None:
        """One that completes a job does not fail everything."""
        await self.fails(MOST_FAILED - 1)
        events: list[str] = []
        self.nodes[0].bus.subscribe_by_type({CrawlerChanged: lambda change: events.append(change.event)})
        crawler = await self.crawler("one")
        job = await self.given(crawler, "h/1")
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await crawler.acked(), "c")
        other = await self.given(crawler, "h/2")
        await crawler.fail(other, recoverable=False)
        self.assertEqual(events, [])
