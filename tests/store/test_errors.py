"""Errors are grouped by fingerprint as they are logged, and old groups are deleted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core.fingerprints import group_of
from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Completed, Failed, Progressed, Refused, Report
from copilot_socket.event_bus import JobChanged
from copilot_socket.store import connection
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.faults import Remedy
from copilot_socket.store.transition_rows import TransitionRequest
from tests.support.errors import BROKEN, ErrorsTestCase
from tests.support.locks import until_waiting


class LoggedTests(ErrorsTestCase):
    """What is counted when errors are logged."""

    async def test_a_buggy_crawler(self) -> None:
        """Three hundred jobs that fail alike, each with an id and path of its own, are one group."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('other', 'gitlab-onprem', 'http://gitlab.test', 't')"
        )
        self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'acct', 'issues', 'g/' || n FROM generate_series(1, 300) n"
        )
        crawlers = ("c1", "c2", "c3")
        await self.present(*crawlers)
        held = [(each, key) for key in crawlers for each in await self.claim(key, 100)]
        self.query("UPDATE jobs SET account_id = 'other' WHERE id = %s", held[0][0][:26])
        failures = [
            Failed(f"Cannot store issue {number**3} of acme/shop-{number}", "TypeError", number % 3 > 0)
            for number in range(300)
        ]
        await gatherResults(
            self.writer.submit(Report(assignment, key, failure))
            for (assignment, key), failure in zip(held, failures, strict=True)
        )
        [group] = await self.groups()
        expected = group_of("TypeError", "issues", "Cannot store issue <n> of <path>")
        self.assertEqual(
            [group[name] for name in ("fingerprint", "error_type", "command", "text")],
            [expected.fingerprint, "TypeError", "issues", "Cannot store issue <n> of <path>"],
        )
        self.assertEqual([group[name] for name in ("errors", "accounts", "jobs_failed")], [300, 2, 100])
        self.assertEqual(self.query("SELECT DISTINCT error FROM jobs"), [(expected.fingerprint,)])
        self.assertEqual(self.query("SELECT DISTINCT fingerprint FROM job_error_log"), [(expected.fingerprint,)])
        told = {each.fingerprint for each in self.published if isinstance(each, JobChanged)}
        self.assertEqual(told, {expected.fingerprint})

    async def test_the_error_of_a_job(self) -> None:
        """That of its last failure, until it completes, or is retried by hand."""
        job = await self.failed()
        first = group_of("TypeError", "issues", BROKEN.error).fingerprint
        self.assertEqual(self.job(job, "error"), (first,))
        assignment = await self.again(job)
        await self.report(assignment, Progressed({"stage": "x"}))
        self.assertEqual(self.job(job, "status", "error"), ("assigned", first))
        await self.transitions.apply([job], Event.RELEASED)
        self.assertEqual(self.job(job, "status", "error"), ("queued", first))
        assignment = await self.again(job)
        await self.report(assignment, Failed("GitLab answered 502", None, False))
        second = group_of(None, "issues", "GitLab answered 502").fingerprint
        self.assertEqual(self.job(job, "status", "error"), ("failed", second))
        await self.transitions.apply([job], Event.RETRIED)
        self.assertEqual(self.job(job, "status", "error"), ("queued", None))
        assignment = await self.again(job)
        await self.report(assignment, BROKEN)
        assignment = await self.again(job)
        await self.report(assignment, Completed({}))
        self.assertEqual(self.job(job, "status", "error"), ("completed", None))
        self.assertEqual(
            {row["fingerprint"]: (row["errors"], row["jobs_failed"]) for row in await self.groups()},
            {first: (2, 0), second: (1, 0)},
        )

    async def test_what_the_server_logs(self) -> None:
        """Errors that no crawler has reported are grouped by what stands for them."""
        for path in ("g/p", "g/q"):
            assignment = await self.assigned(path)
            await self.transitions.run(
                [TransitionRequest(assignment[:26], Event.TIMED_OUT, assignment, f"no report for {len(path)}00 s")]
            )
        [group] = await self.groups()
        self.assertEqual((group["error_type"], group["text"]), ("time-out", "no report for <n> s"))
        self.assertEqual(group["errors"], 2)

    async def test_refused_discoveries(self) -> None:
        """They are grouped, each counted once; the error of the job is that of its failure."""
        refused = [Refused(f"at most 5 bytes, not {size}", "message_too_large", known=True) for size in (6, 7)]
        assignment = await self.assigned()
        await self.report(assignment, *refused)
        await self.report(assignment, refused[0])
        [group] = await self.groups()
        self.assertEqual(
            [group[name] for name in ("error_type", "command", "text", "errors")],
            ["message_too_large", "issues", "at most <n> bytes, not <n>", 2],
        )
        self.assertEqual(self.job(assignment[:26], "error"), (None,))
        await self.report(assignment, Refused("at most 8 bytes", "message_too_large", known=False), BROKEN)
        self.assertEqual(len(await self.groups()), 3)
        broken = group_of("TypeError", "issues", BROKEN.error)
        self.assertEqual(self.job(assignment[:26], "error"), (broken.fingerprint,))

    async def test_one_fingerprint_of_two_types(self) -> None:
        """Without a type and with an empty one are the same, also in one statement."""
        assignments = [await self.assigned(path) for path in ("g/p", "g/q")]
        await self.transitions.run(
            [
                TransitionRequest(each[:26], Event.FAILED, each, report=Failed("broke", type_, True))
                for each, type_ in zip(assignments, (None, ""), strict=True)
            ]
        )
        [group] = await self.groups()
        self.assertEqual(group["errors"], 2)

    async def test_two_nodes(self) -> None:
        """Two nodes that log the same groups, in whatever order, do not wait for each other in a circle."""
        remedies: list[Remedy] = []
        judge = connection.remedy

        def noted(error: Exception) -> Remedy:
            remedies.append(judge(error))
            return remedies[-1]

        self.patch(connection, "remedy", noted)
        words = ["one", "two", "three", "four", "five", "six", "seven"]
        await self.transitions.run(self.failures("first/", words))
        other = psycopg2.connect(self.database_url)
        self.addCleanup(other.close)
        with other.cursor() as statement:
            statement.execute("SELECT FROM error_groups WHERE text = %s FOR UPDATE", [words[len(words) // 2]])
        requests = self.failures("one/", words), self.failures("two/", words[::-1])
        done = [Deferred.fromCoroutine(self.transitions.run(each)) for each in requests]
        await until_waiting(self, 2)
        other.rollback()
        await gatherResults(done)
        self.assertEqual(remedies, [])
        counts = "SELECT DISTINCT g.errors, c.errors FROM error_groups g JOIN error_counts c USING (fingerprint)"
        self.assertEqual(self.query(counts), [(3, 3)])

    def failures(self, path: str, errors: Sequence[str]) -> list[TransitionRequest]:
        """New jobs that fail, one with each of *errors*."""
        rows = self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'acct', 'issues', %s || n FROM generate_series(1, %s) n RETURNING id",
            *(path, len(errors)),
        )
        self.query("UPDATE jobs SET status = 'running' WHERE status = 'queued'")
        return [
            TransitionRequest(str(job), Event.FAILED, report=Failed(error, "x", False))
            for (job,), error in zip(rows, errors, strict=True)
        ]

    async def test_nothing_is_counted_alone(self) -> None:
        """What can't be counted is not logged, and the other way round."""
        assignment = await self.assigned()
        self.query("ALTER TABLE error_counts ADD CHECK (errors > 1)")
        with self.assertRaises(psycopg2.errors.CheckViolation):
            await self.transitions.run([TransitionRequest(assignment[:26], Event.FAILED, assignment, report=BROKEN)])
        for table in ("job_error_log", "error_groups", "error_counts"):
            self.assertEqual(self.query(f"SELECT count(*) FROM {table}"), [(0,)])


class CleanupTests(ErrorsTestCase):
    """What is deleted of groups."""

    def setUp(self) -> None:
        super().setUp()
        self.cleanup = Cleanup(
            self.database, reactor, max_job_age=3600.0, max_error_age=7200.0, max_audit_age=10800.0
        )

    def old(self, *names: str, **columns: Any) -> None:
        """Groups that last occurred four hours ago."""
        then = datetime.now(UTC) - timedelta(hours=4)
        for name in names:
            self.add_group(name * 16, first_at=then, last_at=then, **columns)

    async def test_ages(self) -> None:
        """Counts of hours that were over by then are deleted, then groups without counts, but those ignored."""
        self.old("a")
        self.old("b", ignored_at=datetime.now(UTC))
        self.old("c", errors_at_retry=1)
        await self.failed()
        [(kept,)] = self.query(
            "SELECT fingerprint FROM error_groups WHERE command = 'issues' AND error_type IS NOT NULL"
        )
        now = datetime.now(UTC)
        self.add_counts("a" * 16, ("x", now - timedelta(hours=4), 1))
        self.add_counts("c" * 16, ("x", now - timedelta(hours=2, minutes=59), 1))
        self.add_counts(str(kept), ("x", now - timedelta(hours=3, minutes=1), 1))
        counts = await self.cleanup.run()
        self.assertEqual((counts["clean_error_counts"], counts["clean_error_groups"]), (2, 1))
        self.assertEqual(
            {row[0] for row in self.query("SELECT fingerprint FROM error_groups")}, {"b" * 16, "c" * 16, kept}
        )
        [ignored] = await self.groups(status={"ignored"})
        self.assertEqual((ignored["errors"], ignored["accounts"]), (0, 0))

    async def test_one_that_occurs_again(self) -> None:
        """A group is not deleted while it is being counted up."""
        self.old("a")
        other = psycopg2.connect(self.database_url)
        self.addCleanup(other.close)
        with other.cursor() as statement:
            statement.execute("UPDATE error_groups SET last_at = now()")
        done = Deferred.fromCoroutine(self.cleanup.run())
        await until_waiting(self)
        other.commit()
        self.assertEqual((await done)["clean_error_groups"], 0)
        self.assertEqual(self.query("SELECT count(*) FROM error_groups"), [(1,)])
