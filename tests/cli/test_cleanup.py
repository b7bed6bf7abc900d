"""`copilot-socket cleanup`, in processes of its own: it runs a reactor."""

import json
import shutil

from tests.support.postgres import DatabaseTestCase
from tests.support.server import beside_python, run_program, short_directory


class CleanupTests(DatabaseTestCase):
    """On a database of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('acct', 'gitlab-onprem', 'http://gitlab.test', 'token')"
        )

    async def cleanup(self, *options: str, **environ: str) -> tuple[int, str, str]:
        """Its exit status, output and errors."""
        arguments = [beside_python("copilot-socket"), "cleanup", *options]
        program, _ = run_program(arguments, {"DATABASE_URL": self.database_url, **environ}, self.directory)
        status = await program.ended
        return status, program.out.decode(), program.err.decode()

    def finished_job(self, days: int, path: str) -> None:
        """A job that was completed *days* ago."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, updated_at, finished_at)"
            " SELECT 'acct', 'issues', %s, 'completed', t, t FROM (SELECT now() - %s * interval '1 day') AS m (t)",
            path,
            days,
        )

    async def test_round(self) -> None:
        """Rows older than their age are removed, others stay; ages come from variables or options."""
        for days in (1, 3, 8):
            self.finished_job(days, f"g/{days}")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/queued')")
        status, output, errors = await self.cleanup()
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("finished jobs: 1 removed", output)
        self.assertIn("logged errors: 0 removed", output)
        status, output, errors = await self.cleanup("--json", "--socket-max-job-age", "172800000")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(
            json.loads(output),
            {
                "removed": {
                    "jobs": 1,
                    "audit": 0,
                    "budgets": 0,
                    "errors": 0,
                    "error_counts": 0,
                    "error_groups": 0,
                    "connections": 0,
                    "deliveries": 0,
                    "crawler_ends": 0,
                    "crawlers": 0,
                    "disturbances": 0,
                    "history": 0,
                    "keys": 0,
                    "operations": 0,
                },
                "repaired": 0,
            },
        )
        self.assertEqual(self.query("SELECT full_path FROM jobs ORDER BY full_path"), [("g/1",), ("g/queued",)])
        self.query("UPDATE job_counts SET jobs = 7; DELETE FROM job_count_deltas")
        _status, output, _errors = await self.cleanup()
        self.assertIn("counters of jobs that were wrong: 2 repaired", output)
        self.assertEqual(self.query("SELECT sum(jobs)::int FROM job_totals"), [(2,)])
        acts = self.query("SELECT door, action, details->'max_job_age_seconds' FROM audit_log ORDER BY id")
        self.assertEqual(acts, [("cli", "cleanup", age) for age in (604800.0, 172800.0, 604800.0)])

    async def test_refused(self) -> None:
        """An error of the database is printed in a line, with status 1."""
        self.query("DROP TABLE idempotency_keys")
        status, _output, errors = await self.cleanup()
        self.assertEqual(status, 1)
        self.assertIn("the database reported an error", errors)
        self.assertIn("idempotency_keys", errors)
        self.assertNotIn("Traceback", errors)

    async def test_the_audit_log(self) -> None:
        """Its rows have an age of their own."""
        self.query(
            "INSERT INTO audit_log (timestamp, actor, action)"
            " SELECT now() - days * interval '1 day', 'a', days FROM unnest('{1, 40, 400}'::int[]) AS days"
        )
        status, output, errors = await self.cleanup()
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("rows of the audit log: 1 removed", output)
        await self.cleanup("--copilot-audit-age", "864000000")
        left = self.query("SELECT action FROM audit_log WHERE actor = 'a'")
        self.assertEqual(left, [("1",)])
