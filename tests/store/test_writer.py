"""The group commit: batches, halving, a database that goes away, and its queue."""

from typing import Any
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Body, Completed, Progressed, Report, Started
from copilot_socket.event_bus import FlowChanged
from copilot_socket.store import write_queue
from copilot_socket.store import writer as writer_module
from copilot_socket.store.claiming import Endings, NoClaimant
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.turns import NO_PLAN, Claim, Plan
from copilot_socket.store.writer import Unstorable
from tests.support.crawler import until
from tests.support.postgres import execute
from tests.support.store import StoreTestCase, planned


class WriterTests(StoreTestCase):
    """Writer.submit()."""

    async def test_what_comes_meanwhile_shares_a_batch(self) -> None:
        """Many reports take few batches."""
        self.add_jobs(*map(str, range(50)))
        await self.present("c1")
        batches = []
        write = self.batches.write

        async def counted(batch, *more):  # type: ignore[no-untyped-def]
            batches.append(len(batch.writes))
            return await write(batch, *more)

        self.batches.write = counted  # type: ignore[method-assign]
        names = await self.claim(count=50)
        verdicts = await gatherResults([self.writer.submit(Report(name, "c1", Completed({}))) for name in names])
        self.assertEqual(verdicts, [Verdict.STORED] * 50)
        self.assertEqual(batches, [50])
        self.assertEqual(self.query("SELECT count(*) FROM jobs WHERE status = 'completed'"), [(50,)])

    async def test_a_claimant_that_fails(self) -> None:
        """With a failing claimant reports are stored and answered all the same."""

        class Failing(NoClaimant):
            def plan(self, endings: Endings) -> Plan:
                if len(endings) > 1:
                    raise RuntimeError("no idea")
                return planned("c1") if endings else NO_PLAN

            def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
                if plan:
                    raise RuntimeError("no memory")

            def deliver(self, plan: Plan, claim: Claim) -> None:
                raise RuntimeError("no hands")

        self.add_jobs("g/1", "g/2", "g/3")
        await self.present("c1", "c2")
        self.writer.claim_for(Failing())
        [first] = await self.claim("c1")
        self.assertEqual(await self.writer.submit(Report(first, "c1", Completed({}))), Verdict.STORED)
        [(second,)] = self.query("SELECT crawler_job_id FROM job_assignments WHERE outcome IS NULL")
        [third] = await self.claim("c2")
        both = [Report(second, "c1", Completed({})), Report(third, "c2", Completed({}))]
        self.assertEqual(await gatherResults([self.writer.submit(each) for each in both]), [Verdict.STORED] * 2)
        logged = [str(failure.value) for failure in self.flushLoggedErrors(RuntimeError)]
        self.assertEqual(logged, ["no memory", "no hands", "no idea"])

    async def test_a_job_that_can_t_be_claimed(self) -> None:
        """A job that can't be claimed blocks neither reports nor other claims."""
        execute(
            self.database_url,
            "ALTER TABLE jobs ADD CONSTRAINT poison CHECK (full_path <> 'poison' OR status <> 'assigned')",
        )
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('b', 'gitlab-onprem', 'http://g', 't')"
        )
        self.add_jobs("g/1")
        await self.present("c1")
        [first] = await self.claim()
        self.add_jobs("poison")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('b', 'issues', 'g/2')")
        plans = [Plan([*planned("c1").allotments, *planned("c1", account="b").allotments])] * 2
        claims: list[Claim] = []

        class Planning(NoClaimant):
            def plan(self, endings: Endings) -> Plan:
                return plans.pop() if plans else NO_PLAN

            def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
                claims.append(claim)

        self.writer.claim_for(Planning())
        self.assertEqual(await self.writer.submit(Report(first, "c1", Completed({}))), Verdict.STORED)
        self.writer.wake()
        await self.writer.drained()
        self.assertEqual([job.full_path for claim in claims for job in claim.jobs], ["g/2"])
        self.assertEqual([each.beaten for claim in claims for each in claim.settled], [True, False])

    async def test_the_guilty_one_stands_alone(self) -> None:
        """A report that PostgreSQL refuses fails alone; the rest of its batch is stored."""
        execute(self.database_url, "ALTER TABLE jobs ADD CHECK (progress ->> 'processed' <> '13')")
        self.add_jobs(*map(str, range(20)))
        await self.present("c1")
        names = await self.claim(count=20)
        results = await gatherResults(
            [
                self.writer.submit(Report(name, "c1", Progressed({"processed": number}))).addErrback(
                    lambda f: f.value
                )
                for number, name in enumerate(names)
            ]
        )
        self.assertEqual([n for n, result in enumerate(results) if result is not Verdict.STORED], [13])
        self.assertIsInstance(results[13], Unstorable)
        self.assertEqual(self.query("SELECT count(*) FROM jobs WHERE progress <> '{}'"), [(19,)])

    async def test_a_lost_connection_loses_nothing(self) -> None:
        """With backends killed under load everything is acknowledged, and stored."""
        self.patch(writer_module, "FOLD_AHEAD", 10)
        self.add_jobs(*map(str, range(200)))
        await self.present("c1", max_jobs=1000)
        names = await self.claim(count=200)
        flows: list[bool] = []
        self.bus.subscribe_by_type({FlowChanged: lambda changed: flows.append(changed.flowing)})
        waiting = []
        for number, name in enumerate(names):
            waiting += [
                self.writer.submit(Report(name, "c1", body)) for body in (Started(), Completed({"n": number}))
            ]
            if number % 40 == 20:
                execute(
                    self.database_url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'copilot-study' AND pid <> pg_backend_pid()",
                )
            await deferLater(reactor, 0)
        verdicts = await gatherResults(waiting)
        self.assertEqual(set(verdicts), {Verdict.STORED})
        self.assertEqual(
            self.query("SELECT count(*), count(DISTINCT progress ->> 'n') FROM jobs WHERE status = 'completed'"),
            [(200, 200)],
        )
        self.assertEqual(self.query("SELECT count(*) FROM job_tries"), [(200,)])
        self.assertEqual(flows[-1:], [True])

    async def test_a_full_queue_stops_the_flow(self) -> None:
        """Past the high-water mark the flow stops, until most of the queue is written."""
        self.patch(write_queue, "HIGH_WATER", 10)
        self.patch(write_queue, "LOW_WATER", 2)
        assignment = await self.assigned()
        flows: list[bool] = []
        self.bus.subscribe_by_type({FlowChanged: lambda changed: flows.append(changed.flowing)})
        waiting: list[Deferred[Verdict]] = [
            self.writer.submit(Report(assignment, "c1", Progressed({"processed": number}))) for number in range(20)
        ]
        self.assertEqual(flows, [False])
        await gatherResults(waiting)
        await self.writer.drained()
        self.assertEqual(flows, [False, True])
        self.assertEqual(self.job(assignment[:26], "progress"), ({"processed": 19},))

    async def test_a_fault_of_ours(self) -> None:
        """A write that raises in the node fails alone; the rest of its batch is stored."""
        self.add_jobs(*map(str, range(5)))
        await self.present("c1")
        names = await self.claim(count=5)
        write = self.batches.write

        async def failing(batch, *more):  # type: ignore[no-untyped-def]
            if any(change.assignment == names[3] for change in batch.changes):
                raise RuntimeError("a fault of ours")
            return await write(batch, *more)

        self.batches.write = failing  # type: ignore[method-assign]
        results = await gatherResults(
            [self.writer.submit(Report(name, "c1", Completed({}))).addErrback(lambda f: f.value) for name in names]
        )
        self.assertEqual([n for n, result in enumerate(results) if result is not Verdict.STORED], [3])
        self.assertIsInstance(results[3], Unstorable)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.writer.waiting, 0)

    async def test_after_a_failure_of_the_writer_itself(self) -> None:
        """After a failure of the writer, queued and later writes are stored."""
        self.add_jobs("a", "b")
        await self.present("c1")
        first, second = await self.claim(count=2)
        answer, failures = self.writer._answer, [RuntimeError("once")]

        def failing(committed: Any) -> None:
            if failures:
                raise failures.pop()
            answer(committed)

        self.writer._answer = failing  # type: ignore[method-assign]
        self.writer.submit(Report(first, "c1", Started()))
        await until(lambda: self.flushLoggedErrors(RuntimeError))
        self.assertEqual(await self.writer.submit(Report(second, "c1", Completed({}))), Verdict.STORED)
        await self.writer.drained()

    async def test_rights_that_were_taken_away(self) -> None:
        """Without rights writes wait until these are granted again."""
        self.patch(writer_module, "WAIT_MOST", 0.05)
        role = f"without_rights_{uuid4().hex[:8]}"  # of its own name, since roles are the whole server's
        self.query(f"CREATE ROLE {role}")
        assignment = await self.assigned()
        self.addCleanup(self.query, f"DROP OWNED BY {role}; DROP ROLE {role}")
        on = self.batches._connection
        await on.query(f"SET SESSION AUTHORIZATION {role}")
        stored = self.writer.submit(Report(assignment, "c1", Completed({})))
        await until(lambda: self.writer.away_since is not None)
        self.query(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        self.query(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
        self.assertEqual(await stored, Verdict.STORED)

    async def test_two_crawlers_on_one_assignment(self) -> None:
        """Reports of two crawlers on one assignment are judged apart, in the order in which they came."""
        assignment = await self.assigned()
        await self.present("c2")
        reports = [Report(assignment, key, Completed({})) for key in ("c2", "c1")]
        verdicts = await gatherResults([self.writer.submit(report) for report in reports])
        self.assertEqual(verdicts, [Verdict.UNAUTHORIZED, Verdict.STORED])


class FoldingAheadTests(StoreTestCase):
    """With a long queue the next batch is folded while one is written, and sent before that is answered."""

    async def play(self, *bodies: Body, fails: int | None = None) -> list[str]:
        """Report *bodies* of one job, a batch each; return the events of batches, one word each.

        Batch number *fails* fails once, before anything is sent.
        """
        self.patch(writer_module, "FOLD_AHEAD", 1)
        self.patch(write_queue, "MIN_BATCH", 1)
        self.patch(write_queue, "MAX_BATCH", 1)
        self.patch(writer_module, "WAIT_FIRST", 0.0)
        assignment = await self.assigned()
        events: list[str] = []
        write, numbers, failed = self.batches.write, {}, []

        async def watched(batch, *more):  # type: ignore[no-untyped-def]
            number = numbers.setdefault(batch, len(numbers))
            events.append(f"begin {number}")
            if number == fails and not failed:
                failed.append(number)
                raise DatabaseAway("gone for a moment")
            written = await write(batch, *more)
            events.append(f"end {number}")
            return written

        self.batches.write = watched  # type: ignore[method-assign]
        waiting = [self.writer.submit(Report(assignment, "c1", body)) for body in bodies]
        for number, each in enumerate(waiting):
            each.addCallback(lambda verdict, number=number: (events.append(f"answer {number}"), verdict)[1])
        self.assertEqual(await gatherResults(waiting), [Verdict.STORED] * len(bodies))
        self.assertEqual(self.writer.waiting, 0)
        return events

    async def test_sent_before_the_last_is_answered(self) -> None:
        """The next batch is sent before the result of the last one is decoded."""
        events = await self.play(Started(), Progressed({"n": 1}), Progressed({"n": 2}), Completed({"n": 3}))
        self.assertEqual(events[-7:-2], ["begin 2", "answer 1", "end 2", "begin 3", "answer 2"])
        self.assertEqual(
            self.query("SELECT status, progress FROM jobs"), [("completed", {"n": 3, "stage": "completed"})]
        )

    async def test_never_before_what_came_first(self) -> None:
        """A failed batch is written again before the next one, which is folded already."""
        events = await self.play(Started(), Progressed({"n": 1}), Progressed({"n": 2}), Completed({}), fails=1)
        begun = [event for event in events if event.startswith("begin")]
        self.assertEqual(begun, ["begin 0", "begin 1", "begin 1", "begin 2", "begin 3"])
        self.assertEqual(
            self.query("SELECT status, progress FROM jobs"), [("completed", {"n": 2, "stage": "completed"})]
        )
