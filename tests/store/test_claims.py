"""Claims: order, room, entity types, and two nodes at once."""

import threading

import psycopg2
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Progressed, Started, job_of
from copilot_socket.store.turns import Wants
from tests.support.postgres import admin
from tests.support.store import PLAIN_COMMANDS, StoreTestCase


class ClaimTests(StoreTestCase):
    """Claims.claim()."""

    async def test_best_first(self) -> None:
        """Higher priority first, then the order of submission."""
        self.add_jobs("a", "b", "c")
        self.query("UPDATE jobs SET priority = 9 WHERE full_path = 'c'")
        await self.present("c1")
        claim = await self.claims.claim(Wants({"c1": 3}, PLAIN_COMMANDS))
        self.assertEqual([job.full_path for job in claim.jobs], ["c", "a", "b"])

    async def test_taking_turns(self) -> None:
        """Slots are served in their order, one job each."""
        self.add_jobs("a", "b", "c")
        await self.present("c1", "c2")
        claim = await self.claims.claim(Wants({"c1": 2, "c2": 1}, PLAIN_COMMANDS))
        self.assertEqual([job.crawler for job in claim.jobs], ["c1", "c2", "c1"])

    async def test_room_is_counted_in_the_database(self) -> None:
        """However many wants are asked for, a crawler holds no more than it may."""
        self.add_jobs("a", "b", "c")
        await self.present("c1", max_jobs=2)
        self.assertEqual(len(await self.claim(count=3)), 2)
        self.assertEqual(await self.claim(), [])

    async def test_only_known_entity_types(self) -> None:
        """A job whose type the crawler does not list stays."""
        self.add_jobs("g", command="epics")
        await self.present("c1")
        self.assertEqual(await self.claim(), [])
        self.assertEqual(len((await self.claims.claim(Wants({"c1": 1}, ["epics"]))).jobs), 1)

    async def test_not_before_its_time(self) -> None:
        """A scheduled job is claimable once it is due and promoted."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, scheduled_at) "
            "VALUES ('acct', 'issues', 'later', now() + interval '1 hour')"
        )
        await self.present("c1")
        self.assertEqual(await self.claim(), [])
        count, until = await self.claims.promote_due()
        self.assertEqual(count, 0)
        self.assertTrue(3500 < until <= 3600)
        self.query("UPDATE jobs SET scheduled_at = now()")
        self.assertEqual(await self.claims.promote_due(), (1, None))
        self.assertEqual(len(await self.claim()), 1)

    async def test_the_entity_id(self) -> None:
        """The area's numeric id where it is known for the account's GitLab, else the path, else the account."""
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type) VALUES "
            "('http://gitlab.test', 'a', 42, 'A', 'project'), ('http://other.test', 'a', 7, 'O', 'group'), "
            "('http://other.test', 'b', 8, 'O', 'group')"
        )
        self.add_jobs("a", "b")
        self.query("INSERT INTO jobs (account_id, command) VALUES ('acct', 'users')")
        await self.present("c1")
        claim = await self.claims.claim(Wants({"c1": 3}, PLAIN_COMMANDS))
        self.assertEqual(
            [(job.entity_id, job.area_type) for job in claim.jobs], [("42", "project"), ("b", None), ("acct", None)]
        )

    async def test_two_nodes_never_share_a_job(self) -> None:
        """Nodes that claim at the same time get different jobs, and together all of them."""
        self.add_jobs(*[f"p{number}" for number in range(40)])
        batches, other, _leases = self.make_node("other")
        await self.present("c1")
        await self.present("c2", batches=batches)
        got: list[str] = []
        for _ in range(10):
            claims = [
                self.claims.claim(Wants({"c1": 5}, PLAIN_COMMANDS)),
                other.claim(Wants({"c2": 5}, PLAIN_COMMANDS)),
            ]
            for claim in await gatherResults([Deferred.fromCoroutine(item) for item in claims]):
                got += [job.assignment for job in claim.jobs]
        self.assertEqual(len(got), 40)
        self.assertEqual(len({name[:26] for name in got}), 40)

    async def test_past_what_another_node_is_claiming(self) -> None:
        """With some to spare, the best jobs of those that nobody has locked; without, none, and that is told."""
        jobs = self.add_jobs(*[f"p{number}" for number in range(9)])
        await self.present("c1")
        with psycopg2.connect(self.database_url) as rival, rival.cursor() as cursor:
            cursor.execute("SELECT FROM jobs WHERE id = ANY (%s) FOR UPDATE", (jobs[:3],))
            for spare, found, contended in ((0, [], True), (2, jobs[3:4], True), (4, jobs[4:6], False)):
                claim = await self.claims.claim(Wants({"c1": 2}, PLAIN_COMMANDS, spare))
                names = [job.assignment[:26] for job in claim.jobs]
                self.assertEqual((names, claim.contended), (found, contended), f"{spare} to spare")
        rival.close()
        self.assertEqual([name[:26] for name in await self.claim(count=9)], [*jobs[:3], *jobs[6:]])

    async def test_while_another_program_writes_to_the_jobs(self) -> None:
        """A job whose row is locked, or moves, at the moment of the claim is claimed later, and once."""
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

    async def test_pushes_go_where_it_last_asked(self) -> None:
        """A node claims only for crawlers that asked there last."""
        self.add_jobs("a")
        batches, _other, _leases = self.make_node("other")
        await self.present("c1")
        await self.present("c1", batches=batches)
        self.assertEqual(await self.claim(), [])
        self.assertEqual(await self.claims.not_ours(["c1"]), {"c1"})
        self.assertEqual(await self.claims.take_over(["c1"]), {"c1"})
        self.assertEqual(len(await self.claim()), 1)

    async def test_unreported(self) -> None:
        """What was handed out and never reported on, with the same id."""
        first = await self.assigned("a")
        second = await self.assigned("b")
        await self.report(second, Progressed({}))
        self.assertEqual([job.assignment for job in await self.claims.unreported(["c1"])], [first])

    async def test_the_cursor_comes_along(self) -> None:
        """The next try begins with the last resume state."""
        assignment = await self.assigned()
        await self.report(assignment, Started(), Progressed({}, b'{"currentPage": 7}'))
        await self.leases.release([assignment], "lost")
        claim = await self.claims.claim(Wants({"c1": 1}, PLAIN_COMMANDS))
        self.assertEqual([job.resume_state for job in claim.jobs], [{"currentPage": 7}])

    async def test_a_cancelled_job_is_not_claimed(self) -> None:
        """Cancelling takes it out of the queue."""
        [job] = self.add_jobs("a")
        await self.present("c1")
        await self.transitions.apply([job], Event.CANCELLED)
        self.assertEqual(await self.claim(), [])
