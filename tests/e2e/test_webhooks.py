"""Webhooks of whole nodes, made over HTTP."""

from typing import Any

from tests.support.crawler import in_reactor, until
from tests.support.receiver import Receiver, answering
from tests.support.server import InProcessNode, NodeTestCase, ServerProcess, get_json

HOOKS = "/api/v1/webhooks"


class WebhookTests(NodeTestCase):
    """From the HTTP API to the receiver."""

    def setUp(self) -> None:
        """Have a receiver."""
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    async def ask(self, node: InProcessNode | ServerProcess, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that succeeds."""
        status, answer = await get_json(node.port, path, method, body)
        self.assertIn(status // 100, (2,), answer)
        return answer

    async def webhook(self, node: InProcessNode | ServerProcess, *events: str) -> Any:
        """A webhook that is told of *events*."""
        return await self.ask(node, "POST", HOOKS, {"url": self.receiver.url, "events": list(events)})

    async def received(self, count: int) -> list[Any]:
        """The documents, once there are *count*."""
        await until(lambda: len(self.receiver.received) >= count, "the messages are there")
        return [got.document for got in self.receiver.received]

    @in_reactor()
    async def test_what_happens(self) -> None:
        """A test, a quarantine and a job that fails for good; the log of deliveries shows them."""
        node = await self.node()
        made = await self.webhook(node, "crawler.quarantined", "job.failed")
        path = f"{HOOKS}/{made['id']}"
        await self.ask(node, "POST", f"{path}/test")
        await self.received(1)
        crawler = await self.greeted(node, "c1")
        [job_id] = self.add_jobs(1)
        job = (await crawler.take_job())["id"]
        await crawler.told("job_failed", job, error="no such project", isRecoverable=False)
        await self.received(2)
        for verb in ("drain", "quarantine", "release"):
            await self.ask(node, "POST", f"/api/v1/crawlers/c1/{verb}")
        ping, failed, quarantined = await self.received(3)
        self.assertEqual((ping["event"], ping["data"]), ("ping", {}))
        self.assertEqual((failed["event"], failed["data"]["id"]), ("job.failed", job_id))
        self.assertEqual((failed["data"]["account_id"], failed["data"]["crawler_id"]), ("acct", "c1"))
        self.assertEqual((quarantined["event"], quarantined["data"]), ("crawler.quarantined", {"crawler_id": "c1"}))
        self.assertTrue(all(got.signed_by(made["secret"]) for got in self.receiver.received))

        async def logged() -> bool:
            log = (await self.ask(node, "GET", f"{path}/deliveries?status=delivered"))["deliveries"]
            return sorted(each["event"] for each in log) == ["crawler.quarantined", "job.failed", "ping"]

        await until(logged, "all are delivered")

    @in_reactor()
    async def test_killed(self) -> None:
        """What happens when the node that numbers events is killed is told by another one, once."""
        dying = await self.process().start()
        other = await self.node()
        await self.greeted(other, "c1")
        await self.webhook(other, "crawler.quarantined")
        await self.ask(dying, "POST", "/api/v1/crawlers/c1/quarantine")
        await dying.kill()
        await self.received(1)
        await self.ask(other, "POST", "/api/v1/crawlers/c1/release")
        await self.ask(other, "POST", "/api/v1/crawlers/c1/quarantine")
        await self.received(2)
        self.assertEqual(len(set(self.receiver.ids)), 2)

    @in_reactor()
    async def test_retried_by_hand(self) -> None:
        """A message that failed is sent again at once; the webhook can be changed meanwhile, and removed."""
        node = await self.node()
        self.receiver.answer = answering(500)
        made = await self.webhook(node, "host.held")
        path = f"{HOOKS}/{made['id']}"
        delivery = await self.ask(node, "POST", f"{path}/test")

        async def shown() -> Any:
            [only] = (await self.ask(node, "GET", f"{path}/deliveries"))["deliveries"]
            return only

        async def has(status: str, code: int) -> bool:
            found = await shown()
            return (found["status"], found["status_code"]) == (status, code)

        await until(lambda: has("pending", 500), "it has failed")
        self.receiver.answer = answering(200)
        await self.ask(node, "POST", f"{path}/deliveries/{delivery['id']}/retry")
        await until(lambda: has("delivered", 200), "it is delivered")
        self.assertEqual(self.receiver.ids, [delivery["id"]] * 2)
        await self.ask(node, "PATCH", path, {"active": False})
        status, problem = await get_json(node.port, f"{path}/test", "POST")
        self.assertEqual((status, problem["detail"]), (409, "Webhook is not active"))
        await self.ask(node, "DELETE", path)
        self.assertEqual(self.query("SELECT id FROM webhook_deliveries"), [])
