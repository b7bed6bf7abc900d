"""Claims that run ahead: the next job comes with the end of the one before, or goes back unseen."""

from typing import Any

from twisted.internet.defer import Deferred

from copilot_socket.handlers import reserve as reserve_module
from copilot_socket.store.batches import Batches
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.crawler import until

DONE: dict[str, Any] = {"success": True, "finalCounts": {}}


class AheadTests(NodeTestCase):
    """A crawler with one job at a time, which asks for the next in the write that ends the one before."""

    async def next_job(self, crawler: Crawler, job: str) -> str:
        """End *job* and ask for another, which comes."""
        crawler.raw(crawler.form("job_completed", job, **DONE) + crawler.form("job_request"))
        await crawler.expect("ack")
        return str((await crawler.job())["id"])

    async def prompt(self) -> tuple[Crawler, str]:
        """A crawler that has been seen to ask at once, and the job that it holds."""
        await self.node()
        crawler, job = await self.working(maxJobs=1)
        self.add_jobs("g/2")
        return crawler, await self.next_job(crawler, job)

    def forbid_rounds(self) -> None:
        """From now on a claim of its own is a failure."""

        async def claim(claims: Claims, wants: Any) -> Any:
            raise AssertionError("there was a round of claiming")

        self.patch(Claims, "claim", claim)

    async def test_asked_in_the_same_write(self) -> None:
        """The statement that stores the completion brings the next job; there is no round of claiming."""
        crawler, job = await self.prompt()
        self.add_jobs("g/3", "g/4")
        self.forbid_rounds()
        for path in ("g/3", "g/4"):
            job = await self.next_job(crawler, job)
            self.assertEqual(self.row(job, "full_path"), path)

    async def test_asked_a_moment_later(self) -> None:
        """What was claimed for a crawler that is about to ask is there when it does."""
        crawler, job = await self.prompt()
        self.add_jobs("g/3")
        self.forbid_rounds()
        crawler.say("job_completed", job, **DONE)
        await crawler.expect("ack")
        self.assertEqual(self.status(self.query("SELECT id FROM jobs WHERE full_path = 'g/3'")[0][0]), "assigned")
        self.assertEqual([each["fullPath"] for each in await crawler.ask()], ["g/3"])

    async def test_not_asked_for(self) -> None:
        """It goes back if the crawler does not ask, spends no try, and is not claimed ahead of need again."""
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        crawler.say("job_completed", job, **DONE)
        await until(lambda: self.tries(kept) == ["returned"], "it is back")
        self.assertEqual(self.row(kept, "status", "attempts", "releases"), ("queued", 0, 0))
        known = self.nodes[0].registry.get("hello:one")
        assert known is not None
        self.assertFalse(known.prompt)
        self.assertEqual(known.reserved, 0)
        self.assertEqual([each["id"][:26] for each in await crawler.ask()], [kept])

    async def test_its_crawler_leaves(self) -> None:
        """It goes back at once when the crawler has gone."""
        self.patch(reserve_module, "PATIENCE", 60.0)
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        crawler.say("job_completed", job, **DONE)
        await crawler.expect("ack")
        await crawler.leave()
        await until(lambda: self.tries(kept) == ["returned"], "it is back")

    async def test_the_node_stops(self) -> None:
        """It goes back when the node stops."""
        self.patch(reserve_module, "PATIENCE", 60.0)
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        crawler.say("job_completed", job, **DONE)
        await crawler.expect("ack")
        await self.nodes[0].stopService()
        self.assertEqual((self.tries(kept), self.status(kept)), (["returned"], "queued"))

    async def test_room_is_made_once(self) -> None:
        """A completion that is told again and again makes room for one job, whatever batches it comes in."""
        crawler, job = await self.prompt()
        self.add_jobs("g/3", "g/4", "g/5")
        write, gates = Batches.write, list[Deferred[None]]()

        async def when_let(batches: Batches, operations: Any, wants: Any) -> Any:
            gates.append(Deferred())
            await gates[-1]
            return await write(batches, operations, wants)

        self.patch(Batches, "write", when_let)
        for batch in range(4):
            before = self.nodes[0].writer.waiting
            crawler.raw(crawler.form("job_completed", job, **DONE) + crawler.form("job_request"))
            await until(lambda: self.nodes[0].writer.waiting > before, "it is read")  # noqa: B023 - awaited here
            if batch:
                gates[batch - 1].callback(None)
            await until(lambda: len(gates) > batch, "its batch is next")  # noqa: B023 - awaited here
        self.patch(Batches, "write", write)
        gates[-1].callback(None)
        await crawler.sync()
        held = "SELECT count(*) FROM job_assignments WHERE completed_at IS NULL"
        await until(lambda: self.query(held) == [(1,)], "it holds the next one")
        self.assertEqual(self.query("SELECT count(*) FROM jobs WHERE status = 'queued'"), [(2,)])

    async def test_unknown_outcome(self) -> None:
        """A job that was claimed when the connection was lost during COMMIT still reaches its crawler, once."""
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        write, lost = Batches.write, []

        async def cut_short(batches: Batches, operations: Any, wants: Any) -> Any:
            written = await write(batches, operations, wants)
            if wants and not lost:
                lost.append(wants)
                raise DatabaseAway("lost during COMMIT")
            return written

        self.patch(Batches, "write", cut_short)
        next_ = await self.next_job(crawler, job)
        self.assertEqual((next_[:26], len(lost)), (kept, 1))
        await crawler.sync()
        self.assertEqual(crawler.unread, [])
