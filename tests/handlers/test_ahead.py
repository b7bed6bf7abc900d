"""Claims that run ahead: the next job comes with the end of the one before, or goes back unseen."""

from typing import Any

from twisted.internet.defer import Deferred

from copilot_socket.core.jobs import Event
from copilot_socket.handlers import reserve as reserve_module
from copilot_socket.store.batches import Batches
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.turns import Wants
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.crawler import until

DONE: dict[str, Any] = {"success": True, "finalCounts": {}}


class AheadTestCase(NodeTestCase):
    """A crawler that is seen to ask at once."""

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


class AheadTests(AheadTestCase):
    """A crawler with one job at a time, which asks for the next in the write that ends the one before."""

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
        """It goes back when the crawler has gone."""
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


class RunningAheadTests(AheadTestCase):
    """A crawler whose jobs are over in a moment is given the next ones before it is stored that they are."""

    async def held_up(self, **hello: Any) -> tuple[Crawler, str, "Deferred[None]"]:
        """A quick crawler that has a job, jobs that are claimed ahead, and batches that wait to be let go."""
        await self.node()
        crawler, job = await self.working(**{"maxJobs": 1, **hello})
        self.add_jobs(*(f"g/{number}" for number in range(30)))
        for _ in range(3):
            crawler.raw(crawler.form("job_completed", job, **DONE) + crawler.form("job_request"))
            job = str((await crawler.job())["id"])
        write, gate = Batches.write, Deferred[None]()

        async def when_let(batches: Batches, operations: Any, ahead: Any) -> Any:
            if not gate.called:
                waiter: Deferred[None] = Deferred()
                gate.chainDeferred(waiter)
                await waiter
            return await write(batches, operations, ahead)

        self.patch(reserve_module, "PATIENCE", 60.0)
        self.patch(Batches, "write", when_let)
        return crawler, job, gate

    async def test_not_more_than_it_may_hold(self) -> None:
        """The end of a job makes room before it is stored, once, however often it is told."""
        crawler, job, gate = await self.held_up()
        known = self.nodes[0].registry.get("hello:one")
        assert known is not None
        for _ in range(3):
            crawler.raw(crawler.form("job_completed", job, **DONE) + crawler.form("job_request"))
        await until(lambda: self.nodes[0].writer.waiting >= 3, "all is read")
        self.assertLessEqual(len(known.held) - known.ending, 1)
        gate.callback(None)
        await crawler.sync()
        self.assertEqual((known.ending, len(known.held) <= 1), (0, True))
        theirs = "SELECT count(*) FROM job_assignments WHERE crawler_key = 'hello:one' AND completed_at IS NULL"
        self.assertLessEqual(self.query(theirs)[0][0], 1)

    async def test_everything_is_stored(self) -> None:
        """Each job is handed out once and done once; what was claimed in vain goes back."""
        await self.node()
        crawler, job = await self.working(maxJobs=1)
        self.add_jobs(*(f"g/{number}" for number in range(40)))
        seen = [job]
        for _ in range(40):
            crawler.raw(crawler.form("job_started", job) + crawler.form("job_completed", job, **DONE))
            crawler.say("job_request")
            job = str((await crawler.job())["id"])
            seen.append(job)
        crawler.say("job_completed", job, **DONE)
        await crawler.sync()
        self.assertEqual(len({name.partition(".")[0] for name in seen}), 41)
        done = self.query("SELECT crawler_job_id FROM job_assignments WHERE outcome = 'completed'")
        self.assertEqual({name for (name,) in done}, set(seen))
        self.assertEqual(self.query("SELECT DISTINCT status FROM jobs"), [("completed",)])

    async def test_without_acks(self) -> None:
        """To a crawler that hears no acks, the next job says that the end of the one before is stored."""
        crawler, job, gate = await self.held_up(capabilities=[])
        crawler.raw(crawler.form("job_completed", job, **DONE) + crawler.form("job_request"))
        await until(lambda: self.nodes[0].writer.waiting > 0, "it is read")
        self.assertNotIn("job_response", [message["type"] for message in crawler.unread])
        gate.callback(None)
        self.assertNotEqual((await crawler.job())["id"], job)

    async def test_cancelled_while_it_is_kept(self) -> None:
        """A job that is cancelled before anybody asks is handed to nobody."""
        self.patch(reserve_module, "PATIENCE", 60.0)
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        crawler.say("job_completed", job, **DONE)
        await crawler.expect("ack")
        await self.nodes[0].transitions.apply([kept], Event.CANCELLED)
        types = self.nodes[0].registry.get("hello:one")
        assert types is not None
        reserve = self.nodes[0].dispatcher._reserve
        await until(lambda: reserve.count(types.entity_types) == 0, "it is forgotten")
        self.assertEqual(await crawler.ask(), [])

    async def test_no_room_left(self) -> None:
        """A job that was claimed for a crawler by name goes back if the crawler has been given others meanwhile."""
        node = await self.node()
        crawler, _job = await self.working(maxJobs=2)
        self.assertEqual(await crawler.ask(), [])
        known = node.registry.get("hello:one")
        assert known is not None
        known.max_jobs = 1
        [late] = self.add_jobs("g/2")
        claim = await node.dispatcher._claims.claim(Wants({"hello:one": 1}, ("issues",)))
        node.dispatcher.offered(claim.jobs)
        await until(lambda: self.tries(late) == ["returned"], "it is back")
        self.assertEqual(len(known.held), 1)

    async def test_claims_that_nobody_heard_of(self) -> None:
        """What the database says is the node's, and the node does not know of, goes back."""
        node = await self.node()
        crawler, job = await self.working(maxJobs=1)
        self.query("UPDATE job_assignments SET crawler_key = NULL")
        await node.dispatcher.look_after()
        await until(lambda: self.tries(job) == ["returned"], "it is back")
        self.assertEqual(self.status(job), "queued")
        await crawler.leave()

    async def test_back_with_what_was_not_put_down(self) -> None:
        """A crawler that names what a node gave it, which died before it had put that down, keeps it."""
        node = await self.node()
        crawler, job = await self.working(maxJobs=1)
        await crawler.leave()
        self.query("UPDATE job_assignments SET crawler_key = NULL, node_id = 'gone'")
        await self.crawler(maxJobs=1, assignments=[job])
        self.assertEqual(self.query("SELECT crawler_key FROM job_assignments"), [("hello:one",)])
        known = node.registry.get("hello:one")
        assert known is not None
        self.assertEqual(list(known.held), [job])
