"""Cleanup of old rows."""

import time

from twisted.internet import reactor

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.reports import Completed, Discovered, Failed, Found, Started
from copilot_socket.store import cleanup, job_trees
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.ulids import ulids
from tests.support.store import StoreTestCase


class CleanupTests(StoreTestCase):
    """Cleanup.run()."""

    def setUp(self) -> None:
        super().setUp()
        self.cleanup = Cleanup(
            self.database, reactor, max_job_age=3600.0, max_error_age=7200.0, max_audit_age=10800.0
        )

    async def test_old_and_finished(self) -> None:
        """Old finished jobs are deleted with their assignments and attempts; live and recent ones stay."""
        old, _ = await self.in_status(Status.COMPLETED, "old")
        recent, _ = await self.in_status(Status.FAILED, "recent")
        live, _ = await self.in_status(Status.RUNNING, "live")
        self.query("UPDATE jobs SET updated_at = now() - interval '2 hours' WHERE id <> %s", recent)
        counts = await self.cleanup.run()
        self.assertEqual(counts["clean_jobs"], 1)
        self.assertEqual({row[0] for row in self.query("SELECT id FROM jobs")}, {recent, live})
        self.assertEqual(self.query("SELECT count(*) FROM job_assignments WHERE web_app_job_id = %s", old), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM job_tries WHERE job_id = %s", old), [(0,)])

    async def test_whole_trees(self) -> None:
        """A live job keeps its parent and all other jobs of its tree."""
        found = Discovered((Found("crawl_project", "g/p", "P"),))
        parent = await self.assigned("parent")
        await self.report(parent, found, Completed({}))
        [(count,)] = self.query("SELECT count(*)::int FROM jobs")
        self.query(
            "UPDATE jobs SET updated_at = now() - interval '2 hours',"
            " status = CASE command WHEN 'commits' THEN 'failed' ELSE 'completed' END"
        )
        [(failed,)] = self.query("SELECT id FROM jobs WHERE status = 'failed'")
        await self.transitions.apply([str(failed)], Event.RETRIED)
        self.assertEqual((await self.cleanup.run())["clean_jobs"], 0)
        self.query("UPDATE jobs SET status = 'completed', updated_at = now() - interval '2 hours'")
        self.assertEqual((await self.cleanup.run())["clean_jobs"], count)

    async def test_deliveries(self) -> None:
        """Messages to webhooks are kept as long as errors, whatever has become of them; webhooks stay."""
        self.query(
            "INSERT INTO webhooks (url, events, secret, created_by) VALUES ('http://x', '{host.held}', 'x', 'x')"
        )
        for status, age in (("delivered", 7300), ("pending", 7300), ("failed", 7100)):
            self.query(
                "INSERT INTO webhook_deliveries (webhook_id, event, status, created_at)"
                " SELECT id, 'ping', %s, now() - %s * interval '1 second' FROM webhooks",
                *(status, age),
            )
        self.assertEqual((await self.cleanup.run())["clean_deliveries"], 2)
        self.assertEqual(self.query("SELECT status FROM webhook_deliveries"), [("failed",)])
        self.assertEqual(self.query("SELECT count(*) FROM webhooks"), [(1,)])

    async def test_late_reports(self) -> None:
        """Reports on deleted jobs are stale; ids that are too recent to have been deleted are unknown."""
        [old] = ulids(time.time_ns() // 1_000_000 - 7_200_000, 1)
        self.query("INSERT INTO jobs (id, account_id, command, full_path) VALUES (%s, 'acct', 'issues', 'old')", old)
        await self.present("c1")
        [assignment] = await self.claim()
        never = f"{old}.7.0123456789ab"
        self.assertEqual(await self.report(never, Started()), [Verdict.UNKNOWN])
        await self.report(assignment, Completed({}))
        self.query("UPDATE jobs SET updated_at = now() - interval '90 minutes'")
        self.assertEqual((await self.cleanup.run())["clean_jobs"], 1)
        for body in (Started(), Completed({}), Failed("no", None, True), Discovered(())):
            self.assertEqual(await self.report(assignment, body), [Verdict.STALE], body)
        [young] = ulids(time.time_ns() // 1_000_000 - 1_800_000, 1)
        self.assertEqual(await self.report(f"{young}.1.0123456789ab", Started()), [Verdict.UNKNOWN])
        self.assertEqual(await self.report(f"{old}.1", Started()), [Verdict.UNKNOWN])

    async def test_in_batches(self) -> None:
        """A backlog larger than a batch is deleted in one run."""
        self.patch(cleanup, "BATCH", 10)
        for name, number in (("SMALL", 3), ("READ", 10)):
            self.patch(job_trees, name, number)
        self.add_jobs(*map(str, range(25)))
        self.query("UPDATE jobs SET status = 'completed', updated_at = now() - interval '2 hours'")
        self.assertEqual((await self.cleanup.run())["clean_jobs"], 25)

    async def test_crawlers_that_hold_jobs(self) -> None:
        """An old crawler is deleted unless it holds a job."""
        assignment = await self.assigned()
        await self.present("idle")
        self.query("UPDATE crawlers SET lease_expires_at = now() - interval '2 days'")
        self.assertEqual((await self.cleanup.run())["clean_crawlers"], 1)
        self.assertEqual(self.query("SELECT key FROM crawlers"), [("c1",)])
        await self.report(assignment, Completed({}))
        self.assertEqual((await self.cleanup.run())["clean_crawlers"], 1)

    async def test_inconsistent(self) -> None:
        """A live assignment of a job that another program has ended is ended; a held job without one is queued."""
        ended, _ = await self.in_status(Status.RUNNING, "ended")
        lost, _ = await self.in_status(Status.RUNNING, "lost")
        fine = [(await self.in_status(status, status))[0] for status in (Status.RUNNING, Status.ASSIGNED)]
        self.query("UPDATE jobs SET status = 'cancelled' WHERE id = %s", ended)
        self.query("DELETE FROM job_assignments WHERE web_app_job_id = %s", lost)
        self.assertEqual((await self.cleanup.run())["clean_inconsistent"], 2)
        self.assertEqual((self.job(ended, "status"), self.job(lost, "status")), (("cancelled",), ("queued",)))
        held = self.query("SELECT web_app_job_id FROM job_assignments WHERE completed_at IS NULL ORDER BY 1")
        self.assertEqual(held, [(job_id,) for job_id in sorted(fine)])
        self.assertEqual((await self.cleanup.run())["clean_inconsistent"], 0)

    async def test_acts(self) -> None:
        """They are deleted when they, of a sum the last of them, are older than their age."""
        for first, last in (
            ("4 hours", None),
            ("2 hours", None),
            ("4 hours", "3 hours 1 min"),
            ("4 hours", "2 hours"),
        ):
            self.query(
                "INSERT INTO audit_log (timestamp, last_at, actor, action, door)"
                f" VALUES (now() - interval '{first}', now() - %s::interval, 'x', 'y', %s)",
                *(last, f"{first}, {last}"),
            )
        self.assertEqual((await self.cleanup.run())["clean_audit"], 2)
        self.assertEqual(
            self.query("SELECT door FROM audit_log ORDER BY id"), [("2 hours, None",), ("4 hours, 2 hours",)]
        )

    async def test_errors_and_connections(self) -> None:
        """Old errors, connections, crawlers and keys are deleted."""
        for age in ("1 hour", "3 hours"):
            self.query(
                "INSERT INTO job_error_log (job_id, timestamp, error_message, is_recoverable) "
                f"VALUES ('x', now() - interval '{age}', '{age}', true)"
            )
        self.query(
            "INSERT INTO socket_connections (id, crawler_key, node_id, is_active, ended_at) VALUES "
            "('old', 'k', 'n', false, now() - interval '2 days'), ('new', 'k', 'n', true, NULL)"
        )
        self.query("INSERT INTO crawlers VALUES ('k', 'k', 'n', now() - interval '2 days', 1, '{}', false)")
        self.query("INSERT INTO idempotency_keys VALUES ('k', 'f', 200, '{}', now() - interval '2 days')")
        await self.cleanup.run()
        self.assertEqual(self.query("SELECT error_message FROM job_error_log"), [("1 hour",)])
        self.assertEqual(self.query("SELECT id FROM socket_connections"), [("new",)])
        self.assertEqual(self.query("SELECT count(*) FROM crawlers"), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM idempotency_keys"), [(0,)])
