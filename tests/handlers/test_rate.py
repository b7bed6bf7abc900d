"""SOCKET_MESSAGE_RATE, over real sockets."""

from tests.handlers.support import ALIVE, NodeTestCase
from tests.support.crawler import until


class RateTests(NodeTestCase):
    """Crawlers that send faster than they may."""

    async def test_one_that_reports_and_leaves(self) -> None:
        """Nothing that it has sent is lost, though the notice finds nobody."""
        await self.node(SOCKET_MESSAGE_RATE="10")
        self.add_jobs("g/1")
        crawler = await self.connect()
        [job] = await crawler.ask()
        for processed in range(14):
            crawler.say("job_progress", job["id"], stage="fetching", entityType="issue", processed=processed)
        crawler.say("job_completed", job["id"], success=True, finalCounts={})
        await crawler.leave()
        await until(lambda: self.query("SELECT status FROM jobs") == [("completed",)], "it is completed")

    async def test_it_is_told_once(self) -> None:
        """Between acknowledgements; none of these is missing."""
        await self.node(SOCKET_MESSAGE_RATE="20")
        crawler = await self.crawler()
        for number in range(30):
            crawler.say("heartbeat", id=str(number), **ALIVE)
        await until(lambda: len(crawler.unread) == 31, "all are acknowledged")
        refs = [each["data"].get("ref") for each in crawler.unread if each["type"] == "ack"]
        self.assertEqual(refs, [str(number) for number in range(30)])
        [error] = [each["data"]["code"] for each in crawler.unread if each["type"] == "error"]
        self.assertEqual(error, "rate_limited")
