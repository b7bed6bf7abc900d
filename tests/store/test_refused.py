"""Discoveries that are refused as a whole: the error log, and the outcome of their jobs."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Completed, Discovered, Failed, Refused, Report, Started
from copilot_socket.event_bus import JobChanged
from copilot_socket.store.error_log import MOST_ERRORS
from tests.support.store import StoreTestCase

UNKNOWN = Refused("at most 5 bytes (SOCKET_MAX_MESSAGE_SIZE)", "message_too_large", known=False)
KNOWN = Refused("at most 5 bytes (SOCKET_MAX_MESSAGE_SIZE)", "message_too_large", known=True)
STORED = Verdict.STORED


class RefusedTestCase(StoreTestCase):
    """Helpers."""

    def errors(self) -> list[tuple[str, str, bool]]:
        """Type, message and ``is_recoverable`` of all errors."""
        found = self.query("SELECT error_type, error_message, is_recoverable FROM job_error_log ORDER BY id")
        return [(row[0], row[1], row[2]) for row in found]

    def outcome(self, assignment: str) -> tuple[object, ...]:
        """The states of the job and its attempt."""
        columns = "j.status, j.attempts, j.progress, a.status, a.outcome, a.reason"
        where = "WHERE j.id = a.web_app_job_id AND a.crawler_job_id = %s"
        return self.query(f"SELECT {columns} FROM jobs j, job_assignments a {where}", assignment)[0]

    def assert_failed(self, assignment: str, progress: object) -> None:
        """The completion was stored as a failure, with the error."""
        status, attempts, stored, held, outcome, reason = self.outcome(assignment)
        self.assertEqual((status, attempts, stored), ("failed", 1, progress))
        self.assertEqual((held, outcome), ("failed", "failed"))
        self.assertIn("SOCKET_MAX_MESSAGE_SIZE", str(reason))
        first, *_, last = self.errors()
        self.assertEqual(first, ("message_too_large", UNKNOWN.error, False))
        self.assertEqual((last[0], last[2]), ("discovery_refused", False))
        self.assertIn(UNKNOWN.error, last[1])
        [changed] = [each for each in self.published if isinstance(each, JobChanged)]
        self.assertEqual((changed.status, changed.event), ("failed", Event.INCOMPLETE))


class UnknownTests(RefusedTestCase):
    """The crawler does not receive the error."""

    async def test_then_completed(self) -> None:
        """A completion in a later batch is a failure; others in that batch are stored."""
        assignment, other = await self.assigned("g/p"), await self.assigned("g/q", "c2")
        self.assertEqual(await self.report(assignment, Started(), UNKNOWN), [STORED, STORED])
        self.assertEqual(self.job(assignment[:26], "status"), ("running",))
        both = [
            self.writer.submit(Report(name, key, Completed({"finalCounts": {}})))
            for name, key in ((assignment, "c1"), (other, "c2"))
        ]
        self.assertEqual([await each for each in both], [STORED, STORED])
        self.assert_failed(assignment, {"finalCounts": {}})
        self.assertEqual(self.job(other[:26], "status"), ("completed",))

    async def test_completed_at_once(self) -> None:
        """A completion in the same batch is a failure, too."""
        assignment = await self.assigned()
        verdicts = await self.report(assignment, UNKNOWN, Completed({"a": 1}), Completed({}), Started())
        self.assertEqual(verdicts, [STORED, STORED, STORED, Verdict.STALE])
        self.assert_failed(assignment, {"a": 1})

    async def test_behind_a_discovery(self) -> None:
        """A refused discovery is ordered with those that are stored beside the batches."""
        assignment = await self.assigned()
        self.assertEqual(await self.report(assignment, UNKNOWN, Discovered(()), Completed({})), [STORED] * 3)
        self.assert_failed(assignment, {})

    async def test_completed_again(self) -> None:
        """The completion that ended the attempt is acknowledged again."""
        assignment = await self.assigned()
        await self.report(assignment, UNKNOWN)
        for _ in range(2):
            self.assertEqual(await self.report(assignment, Completed({})), [STORED])
        self.assertEqual(await self.report(assignment, Started()), [Verdict.STALE])
        self.assertEqual(len(self.errors()), 2)

    async def test_failed(self) -> None:
        """A failure that the crawler reports counts as usual."""
        assignment = await self.assigned()
        await self.report(assignment, UNKNOWN, Failed("why", None, True))
        self.assertEqual(self.outcome(assignment)[0], "queued")
        self.assertEqual([error[1] for error in self.errors()], [UNKNOWN.error, "why"])

    async def test_the_next_try(self) -> None:
        """The next attempt of the job can be completed."""
        assignment = await self.assigned()
        await self.report(assignment, UNKNOWN, Completed({}))
        await self.transitions.apply([assignment[:26]], Event.RETRIED)
        [again] = await self.claim()
        self.assertEqual(await self.report(again, Completed({})), [STORED])
        self.assertEqual(self.job(assignment[:26], "status"), ("completed",))

    async def test_another_crawler_completes(self) -> None:
        """Only the crawler that holds the job can end it."""
        assignment = await self.assigned()
        await self.present("c2")
        await self.report(assignment, UNKNOWN)
        self.assertEqual(await self.report(assignment, Completed({}), key="c2"), [Verdict.UNAUTHORIZED])
        self.assertEqual(self.job(assignment[:26], "status"), ("assigned",))

    async def test_what_else_is_in_the_metadata(self) -> None:
        """Other metadata of the assignment stay."""
        assignment = await self.assigned()
        self.query("""UPDATE job_assignments SET metadata = '{"theirs": 1}'""")
        await self.report(assignment, UNKNOWN, UNKNOWN)
        [(metadata,)] = self.query("SELECT metadata FROM job_assignments")
        mark = {"assignment": assignment, "error": UNKNOWN.error}
        self.assertEqual(metadata, {"theirs": 1, "refused_discovery": mark})


class KnownTests(RefusedTestCase):
    """The crawler receives the error, and may send the discovery again."""

    async def test_then_completed(self) -> None:
        """The job is completed, in the same batch or later; the error stays."""
        for path, batches in (("g/p", [[KNOWN], [Completed({})]]), ("g/q", [[KNOWN, Completed({})]])):
            assignment = await self.assigned(path)
            for bodies in batches:
                self.assertEqual(await self.report(assignment, *bodies), [STORED] * len(bodies))
            self.assertEqual(self.outcome(assignment)[0], "completed")
        self.assertEqual(self.errors(), [("message_too_large", KNOWN.error, True)] * 2)

    async def test_a_bounded_number(self) -> None:
        """The number of errors of a job is bounded."""
        assignment = await self.assigned()
        for begin in range(3):
            texts = [f"{number} of {begin}" for number in range(MOST_ERRORS // 2 + 1)]
            await self.report(assignment, *[Refused(text, "message_too_large", known=True) for text in texts])
        self.assertTrue(MOST_ERRORS <= len(self.errors()) < 2 * MOST_ERRORS)

    async def test_written_again(self) -> None:
        """The same error of one attempt is logged once, also after an unknown outcome."""
        self.add_jobs("g/p")
        await self.present("c1")
        for number in (1, 2):
            [assignment] = await self.claim()
            await self.report(assignment, KNOWN, KNOWN)
            await self.report(assignment, KNOWN)
            self.assertEqual(len(self.errors()), number)
            await self.transitions.apply([assignment[:26]], Event.RELEASED)


class FenceTests(RefusedTestCase):
    """Only the crawler that holds a job writes to its errors."""

    async def test_not_its_own(self) -> None:
        """Nothing is logged for another crawler's job, an ended one, or an unknown one."""
        assignment, ended = await self.assigned(), await self.assigned("g/q", "c2")
        await self.report(ended, Completed({}), key="c2")
        for name, verdict in (
            (assignment, Verdict.UNAUTHORIZED),
            (ended, Verdict.STALE),
            (assignment[:26], Verdict.UNKNOWN),
        ):
            self.assertEqual(await self.report(name, UNKNOWN, key="c2"), [verdict], name)
        self.assertEqual(self.errors(), [])
        self.assertEqual(await self.report(assignment, Completed({})), [STORED])
        self.assertEqual(self.job(assignment[:26], "status"), ("completed",))
