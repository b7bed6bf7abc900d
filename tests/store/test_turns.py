"""Turns: reports and claims in one statement."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Report
from copilot_socket.event_bus import JobsReported
from copilot_socket.store import migrate
from copilot_socket.store.writes import Folded
from tests.support.acts import ACT
from tests.support.postgres import admin, drop_database, execute, fresh_database
from tests.support.revisions import upgrade_to
from tests.support.store import StoreTestCase, planned


class TurnTests(StoreTestCase):
    """Batches.write() with a plan."""

    async def test_the_next_job_with_the_completion(self) -> None:
        """The statement that ends a job claims the next one for its crawler; it says how long the attempt lasted."""
        first = await self.assigned("g/1")
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '100 seconds'")
        [second] = self.add_jobs("g/2")
        written = await self.batches.write(Folded([Report(first, "c1", Completed({}))]), planned("c1"))
        self.assertEqual(written.verdicts, [Verdict.STORED])
        [ran] = [event.ran for event in written.events if isinstance(event, JobsReported)]
        self.assertApproximates(ran[0], 100, 50)
        [claimed] = written.claim.jobs
        self.assertEqual((claimed.assignment.partition(".")[0], claimed.crawler), (second, "c1"))
        self.assertEqual(self.job(first.partition(".")[0], "status"), ("completed",))
        self.assertEqual(self.job(second, "status", "tries"), ("assigned", 1))
        held = "SELECT crawler_key, reported_at FROM job_assignments WHERE completed_at IS NULL"
        self.assertEqual(self.query(held), [("c1", None)])

    async def test_a_try_that_is_superseded_is_kept(self) -> None:
        """The outcome of an attempt is kept in the assignment until the next claim; `job_tries` shows both."""
        first = await self.assigned("g/1")
        await self.leases.release([first], "lost")
        tries = "SELECT crawler_job_id, outcome, reason FROM job_tries ORDER BY try"
        self.assertEqual(self.query(tries), [(first, "released", "lost")])
        [second] = await self.claim()
        self.assertEqual(self.query(tries), [(first, "released", "lost")])
        await self.report(second, Completed({}))
        self.assertEqual(self.query(tries), [(first, "released", "lost"), (second, "completed", None)])


class MigrationTests(SynchronousTestCase):
    """Prefetched claims of an earlier version."""

    def test_it_goes_back(self) -> None:
        """Their jobs are queued again without spending an attempt; held assignments are unchanged."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0011")
        execute(
            url,
            """
            INSERT INTO accounts (id, provider, gitlab_url, access_token)
              VALUES ('a', 'gitlab-onprem', 'http://g', 't');
            INSERT INTO jobs (account_id, command, full_path)
              SELECT 'a', 'issues', unnest('{held,nobody,other}'::text[]);
            UPDATE jobs SET status = 'assigned', tries = 1 WHERE full_path IN ('held', 'nobody');
            INSERT INTO job_assignments
                (web_app_job_id, crawler_job_id, account_id, status, try, crawler_key, node_id)
              SELECT id, id || '.1.x', 'a', 'assigned', 1, CASE full_path WHEN 'held' THEN 'c' END, 'n'
              FROM jobs WHERE full_path IN ('held', 'nobody');
            INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id)
              SELECT id, 'what another program calls it', 'a' FROM jobs WHERE full_path = 'other'
            """,
        )
        migrate.upgrade(url, ACT)
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT full_path, j.status, ready, attempts, a.status, outcome, a.completed_at IS NULL"
                " FROM jobs j JOIN job_assignments a ON web_app_job_id = j.id ORDER BY 1"
            )
            self.assertEqual(
                cursor.fetchall(),
                [
                    ("held", "assigned", True, 0, "assigned", None, True),
                    ("nobody", "queued", True, 0, "pending", "returned", False),
                    ("other", "queued", True, 0, "pending", None, True),
                ],
            )
