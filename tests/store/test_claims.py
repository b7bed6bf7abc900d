"""Claims: order, room, exhausted lanes, and two nodes that claim together."""

import threading

import attrs
import psycopg2
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Completed, Failed, Progressed, Report, Started, job_of
from copilot_socket.store import dispatch_reads
from copilot_socket.store.turns import Plan
from copilot_socket.store.writes import Folded
from tests.support.postgres import admin
from tests.support.store import StoreTestCase, planned

ENDED = ("completed", "failed", "assigned", "queued")


class ClaimTests(StoreTestCase):
    """Batches.claim()."""

    async def test_best_first(self) -> None:
        """Order within an account: discoveries, then higher priority, then the order of submission."""
        self.add_jobs("a", "b", "c")
        self.add_jobs("d", command="commits")
        self.add_jobs("e", command="GROUP_PROJECT_DISCOVERY")
        self.query("UPDATE jobs SET priority = 9 WHERE full_path = 'c'")
        self.query("UPDATE jobs SET priority = -9 WHERE full_path = 'e'")
        await self.present("c1")
        claim = await self.claims_of(*["c1"] * 5)
        self.assertEqual([job.full_path for job in claim.jobs], ["e", "c", "a", "b", "d"])

    async def test_taking_turns(self) -> None:
        """Crawlers get jobs in their order in the allotment."""
        self.add_jobs("a", "b", "c")
        await self.present("c1", "c2")
        claim = await self.claims_of("c2", "c1", "c2")
        self.assertEqual(
            [(job.crawler, job.full_path) for job in claim.jobs], [("c2", "a"), ("c1", "b"), ("c2", "c")]
        )

    async def test_several_accounts(self) -> None:
        """Each allotment claims jobs of its own account and commands only."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('second', 'gitlab-onprem', 'http://g', 'other')"
        )
        self.add_jobs("a", "b")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('second', 'issues', 'c')")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('second', 'commits', 'd')")
        await self.present("c1", "c2")
        allotments = [
            *planned("c1", account="second", commands=["commits"]).allotments,
            *planned("c2", "c1").allotments,
        ]
        claim = await self.batches.claim(Plan(allotments))
        self.assertCountEqual(
            [(job.crawler, job.account, job.full_path, job.access_token) for job in claim.jobs],
            [("c1", "second", "d", "other"), ("c2", "acct", "a", "token"), ("c1", "acct", "b", "token")],
        )

    async def test_what_is_told_of_lanes(self) -> None:
        """The result says whether lanes are exhausted, whether a crawler had room, and which had none."""
        self.add_jobs("a", "b", "c", "d")
        await self.present("c1", "c2", max_jobs=2)
        for crawlers, jobs, tried, exhausted, full in (
            (["c1"], 1, True, False, set()),
            (["c1"], 1, True, False, set()),
            (["c1"], 0, False, False, {"c1"}),
            (["c1", "c2", "c2"], 2, True, True, {"c1"}),
            (["c2"], 0, False, False, {"c2"}),
        ):
            claim = await self.claims_of(*crawlers)
            [settled] = claim.settled
            found = len(claim.jobs), settled.tried, settled.exhausted, settled.beaten, claim.full
            self.assertEqual(found, (jobs, tried, exhausted, False, full), crawlers)
        await self.present("c3")
        [settled] = (await self.claims_of("c3")).settled
        self.assertEqual((settled.tried, settled.exhausted), (True, True))

    async def test_room_is_counted_in_the_database(self) -> None:
        """A crawler never holds more jobs than its maximum, whatever the plan."""
        self.add_jobs("a", "b", "c")
        await self.present("c1", max_jobs=2)
        self.assertEqual(len(await self.claim(count=3)), 2)
        self.assertEqual(await self.claim(), [])

    async def test_room_with_what_is_ending(self) -> None:
        """A job that ends in the same transaction makes room, by completion or failure."""
        self.add_jobs("a", "b", "c", "d")
        await self.present("c1", max_jobs=1)
        [first] = await self.claim()
        written = await self.batches.write(Folded([Report(first, "c1", Started())]), planned("c1"))
        self.assertEqual((written.claim.jobs, written.claim.full), ([], {"c1"}))
        for ending in (Completed({}), Failed("no", None, False)):
            reports = [Report(first, "c1", ending), Report("nonsense", "c1", ending)]
            written = await self.batches.write(Folded(reports), planned("c1", "c1"))
            self.assertEqual(written.verdicts, [Verdict.STORED, Verdict.UNKNOWN])
            [first] = [job.assignment for job in written.claim.jobs]
        self.assertEqual(self.query("SELECT status FROM jobs ORDER BY id"), [(s,) for s in ENDED])

    async def test_not_before_its_time(self) -> None:
        """A scheduled job is claimable once it is due and promoted."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, scheduled_at) "
            "VALUES ('acct', 'issues', 'later', now() + interval '1 hour')"
        )
        await self.present("c1")
        self.assertEqual(await self.claim(), [])
        self.assertEqual(await self.reads.promote_due(), [])
        until = await self.reads.next_due()
        self.assertTrue(3500 < (until or 0) <= 3600)
        self.query("UPDATE jobs SET scheduled_at = now()")
        self.assertEqual(await self.reads.promote_due(), [("acct", "issues")])
        self.assertEqual(await self.reads.next_due(), None)
        self.assertEqual(len(await self.claim()), 1)

    async def test_the_entity_id(self) -> None:
        """``entity_id`` is the area's numeric id at the account's GitLab, else the path, else the account."""
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type) VALUES "
            "('http://gitlab.test', 'a', 42, 'A', 'project'), ('http://other.test', 'a', 7, 'O', 'group'), "
            "('http://other.test', 'b', 8, 'O', 'group')"
        )
        self.add_jobs("a", "b")
        self.query("INSERT INTO jobs (account_id, command) VALUES ('acct', 'users')")
        await self.present("c1")
        claim = await self.claims_of(*["c1"] * 3)
        self.assertEqual(
            [(job.entity_id, job.area_type) for job in claim.jobs], [("42", "project"), ("b", None), ("acct", None)]
        )

    async def test_two_nodes_never_share_a_job(self) -> None:
        """Nodes that claim at the same time get disjoint jobs, together all of them."""
        self.add_jobs(*[f"p{number}" for number in range(40)])
        batches, _other, _leases = self.make_node("other")
        await self.present("c1")
        await self.present("c2", batches=batches)
        got: list[str] = []
        for _ in range(10):
            both = [self.claims_of(*["c1"] * 5), self.claims_of(*["c2"] * 5, batches=batches)]
            for claim in await gatherResults([Deferred.fromCoroutine(item) for item in both]):
                got += [job.assignment for job in claim.jobs]
        self.assertEqual(len(got), 40)
        self.assertEqual(len({name[:26] for name in got}), 40)

    async def test_past_what_another_node_is_claiming(self) -> None:
        """Locked jobs are skipped; where all candidates are locked, the allotment is beaten."""
        jobs = self.add_jobs(*[f"p{number}" for number in range(9)])
        await self.present("c1")
        with psycopg2.connect(self.database_url) as rival, rival.cursor() as cursor:
            cursor.execute("SELECT FROM jobs WHERE id = ANY (%s) FOR UPDATE", (jobs[:3],))
            for wanted, found, beaten in ((1, [], True), (2, jobs[3:4], False), (4, jobs[4:8], False)):
                claim = await self.claims_of(*["c1"] * wanted)
                names = [job.assignment[:26] for job in claim.jobs]
                self.assertEqual((names, claim.settled[0].beaten), (found, beaten), f"{wanted} wanted")
                self.assertFalse(claim.settled[0].exhausted)
        rival.close()
        self.assertEqual([name[:26] for name in await self.claim(count=9)], [*jobs[:3], *jobs[8:]])

    async def test_looking_deeper(self) -> None:
        """The allotment bounds the number of candidates."""
        jobs = self.add_jobs(*[f"p{number}" for number in range(9)])
        await self.present("c1")
        [allotment] = planned("c1").allotments
        with psycopg2.connect(self.database_url) as rival, rival.cursor() as cursor:
            cursor.execute("SELECT FROM jobs WHERE id = ANY (%s) FOR UPDATE", (jobs[:5],))
            claim = await self.batches.claim(Plan([attrs.evolve(allotment, depth=8)]))
            self.assertEqual([job.assignment[:26] for job in claim.jobs], jobs[5:6])
        rival.close()

    async def test_while_another_program_writes_to_the_jobs(self) -> None:
        """A job whose row is locked, or moves, during the claim is claimed later, and once."""
        jobs = self.add_jobs(*(f"g/{number}" for number in range(30)))
        await self.present("c1", max_jobs=len(jobs))
        enough = threading.Event()

        def write() -> None:
            with admin(self.database_url) as connection, connection.cursor() as cursor:
                while not enough.wait(0.001):
                    cursor.execute("UPDATE jobs SET priority = 1 - priority WHERE status = 'queued'")

        writing = deferToThread(write)
        claimed: list[str] = []
        try:
            while len(claimed) < len(jobs):
                claimed += [job_of(assignment) for assignment in await self.claim(count=2)]
        finally:
            enough.set()
            await writing
        self.assertEqual(sorted(claimed), sorted(jobs))

    async def test_where_it_last_asked(self) -> None:
        """A node claims only for crawlers that it serves, and takes over those that have just requested jobs."""
        self.add_jobs("a", "b", "c")
        batches, _other, _leases = self.make_node("other")
        await self.present("c1", max_jobs=2, batches=batches)
        await self.present("c1")
        self.assertEqual((await self.claims_of("c1")).unavailable, {"c1"})
        self.assertEqual(await self.reads.not_ours(["c1"]), {"c1"})
        plan = planned("c1", taking_over=["c1"])
        claim = await self.batches.claim(plan)  # whose snapshot may not include the last claim of the other node
        self.assertEqual((len(claim.jobs), claim.unavailable, claim.taken_over), (0, {"c1"}, {"c1"}))
        self.assertEqual(await self.reads.not_ours(["c1"]), set())
        self.assertEqual(len((await self.batches.claim(plan)).jobs), 1)
        await batches.claim(planned(taking_over=["c1"]))
        self.assertEqual(await self.reads.not_ours(["c1"]), {"c1"})

    async def test_two_nodes_and_one_crawler(self) -> None:
        """While one node claims for a crawler, another claims nothing for it: its room is counted once."""
        self.add_jobs("a", "b")
        batches, _other, _leases = self.make_node("other")
        await self.present("c1", max_jobs=1)
        with psycopg2.connect(self.database_url) as rival, rival.cursor() as cursor:
            cursor.execute("SELECT FROM crawlers WHERE key = 'c1' FOR NO KEY UPDATE")
            claim = await batches.claim(planned("c1", taking_over=["c1"]))
            self.assertEqual((claim.jobs, claim.unavailable), ([], {"c1"}))
        rival.close()
        self.assertEqual(len(await self.claim(count=2)), 1)

    async def test_lanes(self) -> None:
        """Lanes with work, by account and command, in pages; held, paused and scheduled jobs do not count."""
        self.patch(dispatch_reads, "LANES", 2)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, weight)"
            " VALUES ('b', 'gitlab-onprem', 'http://g', 't', 7)"
        )
        self.add_jobs("1", "2")
        self.add_jobs("3", command="commits")
        self.add_jobs("4", command="branches")
        self.query("UPDATE jobs SET status = 'paused' WHERE command = 'branches'")
        self.query("INSERT INTO jobs (account_id, command) VALUES ('b', 'users')")
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, scheduled_at)"
            " VALUES ('b', 'epics', 'e', now() + interval '1 hour')"
        )
        origin = "http://gitlab.test"
        expected = [("acct", "commits", 1, origin), ("acct", "issues", 1, origin)]
        self.assertEqual(await self.reads.lanes(), expected)
        self.assertEqual(await self.reads.lanes(("acct", "issues")), [("b", "users", 7, "http://g")])
        self.assertEqual(await self.reads.lanes(("b", "users")), [])

    async def test_unreported(self) -> None:
        """Claimed assignments without a report, with the same id."""
        first = await self.assigned("a")
        second = await self.assigned("b")
        await self.report(second, Progressed({}))
        self.assertEqual([job.assignment for job in await self.reads.unreported(["c1"])], [first])

    async def test_the_cursor_comes_along(self) -> None:
        """The next attempt begins with the last resume state."""
        assignment = await self.assigned()
        await self.report(assignment, Started(), Progressed({}, b'{"currentPage": 7}'))
        await self.leases.release([assignment], "lost")
        claim = await self.claims_of("c1")
        self.assertEqual([job.resume_state for job in claim.jobs], [{"currentPage": 7}])

    async def test_a_cancelled_job_is_not_claimed(self) -> None:
        """A cancelled job is not claimed."""
        [job] = self.add_jobs("a")
        await self.present("c1")
        await self.transitions.apply([job], Event.CANCELLED)
        self.assertEqual(await self.claim(), [])
