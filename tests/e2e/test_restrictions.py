"""Pauses and limits on two nodes, from outside: what crawlers at either are sent, while both are busy."""

from typing import Any
from urllib.parse import quote

from twisted.internet.task import deferLater

from copilot_socket.event_bus import JobSent
from tests.support.crawler import in_reactor, reactor, until
from tests.support.load import Load
from tests.support.server import InProcessNode, NodeTestCase, get_json

PAUSES = "/api/v1/pauses"


class BusyNodesTests(NodeTestCase):
    """Two nodes, four crawlers at each, and more jobs than they can do."""

    async def begin(self, **environ: str) -> list[InProcessNode]:
        """The nodes; ``load`` works at both."""
        nodes = [await self.node(**environ), await self.node(**environ)]
        self.sent = 0

        def count(_: JobSent) -> None:
            self.sent += 1

        for node in nodes:
            node.node.bus.subscribe_by_type({JobSent: count})
        self.add_jobs(1500)
        self.load = Load([await self.greeted(node, f"{at}{n}") for at, node in enumerate(nodes) for n in range(4)])
        self.load.start()
        self.addCleanup(self.load.stop)
        await until(lambda: self.count("completed") > 20, "the crawlers are at work")
        return nodes

    async def ask(self, node: InProcessNode, path: str, method: str = "POST", body: Any = None) -> Any:
        """An answer of a node, which must be a success."""
        status, answer = await get_json(node.port, path, method, body)
        self.assertIn(status, (200, 201), answer)
        return answer

    async def why(self, node: InProcessNode) -> list[str]:
        """The reasons of a queued job. Under a path, jobs that are not marked yet are claimed, and returned."""
        while True:
            job = self.query("SELECT id FROM jobs WHERE status = 'queued' LIMIT 1")[0][0]
            reasons = (await self.ask(node, f"/api/v1/jobs/{job}/why", "GET"))["reasons"]
            if reasons[0]["code"] not in ("claimed", "assigned"):
                return [each["code"] for each in reasons]

    async def idle(self) -> None:
        """All jobs that were sent are over."""
        await until(lambda: self.count("assigned") + self.count("running") == 0, "what runs is done")

    @in_reactor()
    async def test_pauses(self) -> None:
        """From its answer on nothing goes out, at no node; when it ends, both go on. For every scope."""
        nodes = await self.begin()
        origin = self.query("SELECT gitlab_origin FROM accounts LIMIT 1")[0][0]
        account = self.query("SELECT account_id FROM jobs LIMIT 1")[0][0]
        for number, body in enumerate(
            (
                {"scope": "everything"},
                {"scope": "account", "target": account},
                {"scope": "host", "target": origin},
                {"scope": "command", "target": "issues"},
                {"scope": "path_prefix", "target": "g"},
            )
        ):
            one, other = nodes[number % 2], nodes[1 - number % 2]
            pause = await self.ask(one, PAUSES, body=body)
            before = self.sent  # by the nodes: what they have sent may not be read yet
            await self.idle()
            self.assertEqual(self.sent, before, body)
            self.assertEqual(await self.why(other), ["paused"], body)
            await self.ask(other, f"{PAUSES}/{pause['id']}", "DELETE")
            await until(lambda: self.sent > before + 40, f"jobs go out again: {body}")  # noqa: B023
        by_node = [sum(len(crawler.jobs()) for crawler in self.load.crawlers[at : at + 4]) for at in (0, 4)]
        self.assertGreater(min(by_node), 10)

    @in_reactor()
    async def test_limits(self) -> None:
        """Of account and host: never more than so many run, and the work goes on."""
        nodes = await self.begin()
        origin = quote(self.query("SELECT gitlab_origin FROM accounts LIMIT 1")[0][0], safe="")
        account = self.query("SELECT account_id FROM jobs LIMIT 1")[0][0]
        for path in (f"/api/v1/accounts/{account}", f"/api/v1/hosts/{origin}"):
            await self.ask(nodes[0], path, "PATCH", {"max_running": 3})
            await until(lambda: self.running() <= 3, "what ran before is done")
            done, most = self.count("completed"), 0
            while self.count("completed") < done + 60:
                most = max(most, self.running())
                self.assertLessEqual(most, 3, path)
                await deferLater(reactor, 0.002)
            self.assertEqual(most, 3)
            await self.ask(nodes[1], path, "PATCH", {"max_running": None})

    def running(self) -> int:
        """How many jobs run, in one snapshot."""
        return int(self.query("SELECT count(*) FROM jobs WHERE status IN ('assigned', 'running')")[0][0])

    @in_reactor()
    async def test_a_budget(self) -> None:
        """What one crawler says of it at one node stops both, until it is forgotten."""
        nodes = await self.begin()
        account = self.query("SELECT account_id FROM jobs LIMIT 1")[0][0]
        teller = await self.greeted(nodes[0], "teller", entityTypes=[])
        said = teller.say("rate_limit", accountId=account, remaining=1, limit=100)
        self.assertEqual((await teller.answer(said))["type"], "ack")
        before = -1
        while self.sent > before:  # what was being claimed meanwhile still goes out
            before = self.sent
            await self.idle()
            await get_json(nodes[1].port, "/api/v1/budgets")
        status, answer = await get_json(nodes[1].port, "/api/v1/budgets")
        self.assertEqual((status, answer["budgets"][0]["jobs_allowed"]), (200, 0))
        self.assertEqual(self.sent, before)
        budget = answer["budgets"][0]
        path = f"/api/v1/budgets?gitlab_origin={quote(budget['gitlab_origin'], safe='')}&account_id={account}"
        await self.ask(nodes[1], path, "DELETE")
        await until(lambda: self.sent > before + 20, "jobs go out again")
