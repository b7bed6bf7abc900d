"""Claims that run ahead: the next job comes with the end of the one before, or goes back unseen."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from copilot_socket.core.jobs import PLAIN_ENTITY_TYPES, Event
from copilot_socket.handlers import ownership
from copilot_socket.handlers import reserve as reserve_module
from copilot_socket.store.batches import Batches
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.turns import Wants
from tests.handlers.support import PROGRESS, Crawler, NodeTestCase
from tests.support.crawler import until


async def wait(gate: "Deferred[None]") -> None:
    """Until *gate* is opened; any number may wait."""
    waiter: Deferred[None] = Deferred()
    gate.addCallback(lambda _: waiter.callback(None))
    await waiter


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
        if not self.nodes:
            await self.node()
        crawler, job = await self.working(maxJobs=1)
        self.add_jobs("g/2")
        return crawler, await self.next_job(crawler, job)

    async def kept(self, patience: float = 60.0) -> tuple[Crawler, str]:
        """A crawler that has ended its job and not asked for another, and the job that was claimed for that."""
        self.patch(reserve_module, "PATIENCE", patience)
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        crawler.say("job_completed", job, **DONE)
        await crawler.expect("ack")
        self.assertEqual(self.status(kept), "assigned")
        return crawler, kept


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
        crawler, kept = await self.kept()
        self.forbid_rounds()
        self.assertEqual([each["id"][:26] for each in await crawler.ask()], [kept])

    async def test_not_asked_for(self) -> None:
        """It goes back if the crawler does not ask, spends no try, and is not claimed ahead of need again."""
        crawler, kept = await self.kept(reserve_module.PATIENCE)
        await until(lambda: self.tries(kept) == ["returned"], "it is back")
        self.assertEqual(self.row(kept, "status", "attempts", "releases"), ("queued", 0, 0))
        known = self.nodes[0].registry.get("hello:one")
        assert known is not None
        self.assertEqual((known.prompt, known.quick, known.reserved), (False, False, 0))
        self.assertEqual([each["id"][:26] for each in await crawler.ask()], [kept])

    async def test_its_crawler_leaves(self) -> None:
        """It goes back when the crawler has gone."""
        crawler, kept = await self.kept(reserve_module.PATIENCE)
        await crawler.leave()
        await until(lambda: self.tries(kept) == ["returned"], "it is back")

    async def test_the_node_stops(self) -> None:
        """It goes back when the node stops."""
        _crawler, kept = await self.kept()
        await self.nodes[0].stopService()
        self.assertEqual((self.tries(kept), self.status(kept)), (["returned"], "queued"))

    async def test_cancelled(self) -> None:
        """A job that is cancelled before anybody asks is handed to nobody."""
        crawler, kept = await self.kept()
        await self.nodes[0].transitions.apply([kept], Event.CANCELLED)
        reserve = self.nodes[0].dispatcher.reserve
        await until(lambda: reserve.count(PLAIN_ENTITY_TYPES) == 0, "it is forgotten")
        self.assertEqual(await crawler.ask(), [])

    async def test_unknown_outcome(self) -> None:
        """A job that was claimed when the connection was lost during COMMIT still reaches its crawler, once."""
        crawler, job = await self.prompt()
        [kept] = self.add_jobs("g/3")
        write, lost = Batches.write, []

        async def cut_short(batches: Batches, operations: Any, wants: Any, *more: Any) -> Any:
            written = await write(batches, operations, wants, *more)
            if wants and not lost:
                lost.append(wants)
                raise DatabaseAway("lost during COMMIT")
            return written

        self.patch(Batches, "write", cut_short)
        next_ = await self.next_job(crawler, job)
        self.assertEqual((next_[:26], len(lost)), (kept, 1))
        await crawler.sync()
        self.assertEqual(crawler.unread, [])


class PutDownTests(AheadTestCase):
    """A crawler that was given a job from the reserve, of which it has said nothing yet."""

    held = "SELECT crawler_key, reported_at FROM job_assignments WHERE completed_at IS NULL"

    async def given_and_not_put_down(self) -> tuple[Crawler, str]:
        """The crawler and its job; nothing but what happens to them has it stored whose that is."""
        self.patch(ownership, "HESITATION", 60.0)
        crawler, job = await self.prompt()
        self.add_jobs("g/3")
        mine = await self.next_job(crawler, job)
        self.assertEqual(self.query(self.held), [(None, None)])
        return crawler, mine

    async def test_a_report_that_is_refused(self) -> None:
        """A crawler's first word of a job, which the database refuses for its data: whose the job is is stored."""
        crawler, job = await self.given_and_not_put_down()
        self.query("ALTER TABLE jobs ADD CHECK (progress::text NOT LIKE '%poison%')")
        crawler.say("job_progress", job, **{**PROGRESS, "message": "poison"})
        self.assertEqual((await crawler.error())["code"], "internal")
        await until(lambda: self.query(self.held) == [("hello:one", None)], "it is put down")
        [known] = self.nodes[0].registry
        await until(lambda: known.pending == 0, "nothing of it is under way")

    async def test_back_without_it(self) -> None:
        """A crawler that leaves and comes back without the job loses it at once."""
        crawler, job = await self.given_and_not_put_down()
        await crawler.leave()
        await self.crawler("one", assignments=[])
        self.assertEqual((self.status(job[:26]), self.tries(job[:26])), ("queued", ["released"]))

    async def test_another_connection(self) -> None:
        """What a crawler holds is known when it says hello once more, over another connection, and counts."""
        _crawler, job = await self.given_and_not_put_down()
        await self.crawler("one", assignments=[])
        self.assertEqual((self.status(job[:26]), self.tries(job[:26])), ("queued", ["released"]))


class RunningAheadTests(AheadTestCase):
    """A crawler that is given the next job before it is stored that its last one is over."""

    async def while_nothing_is_stored(self, **hello: Any) -> tuple[Crawler, str, str, "Deferred[None]"]:
        """A crawler and its job, another job that is in reserve, and what lets batches be written again."""
        node = await self.node()
        two = await self.crawler("two", **hello)
        job = await self.given(two, "g/0")
        _one, kept = await self.kept()
        await until(lambda: node.writer.waiting == 0, "all is stored")
        write, gate = Batches.write, Deferred[None]()

        async def when_let(batches: Batches, operations: Any, ahead: Any, *more: Any) -> Any:
            await wait(gate)
            return await write(batches, operations, ahead, *more)

        self.patch(Batches, "write", when_let)
        return two, job, kept, gate

    def holds(self, name: str) -> list[str]:
        """The jobs that a crawler holds and has not ended, as far as the node knows."""
        known = self.nodes[0].registry.get(f"hello:{name}")
        assert known is not None
        return [assignment[:26] for assignment, held in known.held.items() if not held.ending]

    async def test_before_the_end_is_stored(self) -> None:
        """It has the next job while the end of the last one is on its way; then the acks come, and all is stored."""
        two, job, kept, gate = await self.while_nothing_is_stored(maxJobs=1)
        two.raw(two.form("job_completed", job, **DONE) + two.form("job_request"))
        next_ = await two.job()
        self.assertEqual(next_["id"][:26], kept)
        self.assertEqual(
            self.query("SELECT crawler_key FROM job_assignments WHERE web_app_job_id = %s", kept), [(None,)]
        )
        two.say("job_started", next_["id"])
        self.assertEqual([each for each in two.unread if each["type"] == "ack"], [])
        gate.callback(None)
        for kind in ("job_completed", "job_started"):
            self.assertEqual((await two.expect("ack"))["data"]["type"], kind)
        self.assertEqual(
            self.query("SELECT crawler_key, status FROM job_assignments WHERE web_app_job_id = %s", kept),
            [("hello:two", "running")],
        )

    async def test_not_more_than_it_may_hold(self) -> None:
        """The end of a job makes room for one, however often it is told."""
        two, job, kept, gate = await self.while_nothing_is_stored(maxJobs=1)
        reserve, types = self.nodes[0].dispatcher.reserve, PLAIN_ENTITY_TYPES
        [spare] = reserve.take(types, 1)
        reserve.keep(types, [spare, attrs.evolve(spare, assignment="X.1.x")])
        for _ in range(3):
            two.raw(two.form("job_completed", job, **DONE) + two.form("job_request"))
        await until(lambda: self.nodes[0].writer.waiting >= 4, "all is read")  # one says whose the next job is
        self.assertEqual((self.holds("two"), reserve.count(types)), ([kept], 1))
        reserve.drop("X.1.x")
        gate.callback(None)
        await two.sync()
        self.assertEqual(self.holds("two"), [kept])

    async def test_without_acks(self) -> None:
        """To a crawler that hears no acks, the next job says that the end of the one before is stored."""
        two, job, kept, gate = await self.while_nothing_is_stored(maxJobs=1, capabilities=[])
        two.raw(two.form("job_completed", job, **DONE) + two.form("job_request"))
        await until(lambda: "hello:two" in self.nodes[0].dispatcher._standing, "it has asked")
        self.assertEqual(self.holds("two"), [])
        gate.callback(None)
        self.assertEqual((await two.job())["id"][:26], kept)

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
