"""Whose a reserved job has become, and when that is stored."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Given, Report
from copilot_socket.handlers.crawlers import Held
from copilot_socket.handlers.ownership import HESITATION, Ownership
from copilot_socket.store.operations import Operation
from copilot_socket.store.turns import Claimed
from copilot_socket.store.writer import Outcome
from tests.handlers.test_reserve import TYPES, ReserveTestCase, claimed


class FakeWriter:
    """Remembers what is to be put down."""

    def __init__(self) -> None:
        self.queue: list[tuple[Operation, Outcome]] = []

    def enqueue(self, operation: Operation, outcome: Outcome) -> None:
        self.queue.append((operation, outcome))


class OwnershipTests(ReserveTestCase):
    """Ownership."""

    def setUp(self) -> None:
        super().setUp()
        self.writer = FakeWriter()
        self.ownership = Ownership(self.writer, self.reserve, self.clock)  # type: ignore[arg-type]

    def given(self, number: int = 1) -> Claimed:
        """A job that was kept, and that the crawler has been given now."""
        job = claimed(number)
        self.reserve.keep(TYPES, [job])
        self.reserve.take(TYPES, 1)
        self.crawler.held[job.assignment] = Held(0.0, reported=False)
        self.ownership.give(job.assignment, self.crawler, self.clock.seconds())
        return job

    def put_down(self) -> list[str]:
        """The jobs of which it is on its way to the database whose they are."""
        return [operation.job_id for operation, _ in self.writer.queue if isinstance(operation, Report)]

    def test_put_down(self) -> None:
        """A job is the node's until it is stored whose it is; a crawler does not hold one that was cancelled then."""
        for verdict, held in ((Verdict.STORED, 1), (Verdict.STALE, 0)):
            job = self.given()
            self.assertIn(job.assignment, self.reserve)
            self.assertEqual((self.crawler.pending, self.writer.queue), (1, []))
            self.clock.advance(HESITATION)
            [(operation, outcome)] = self.writer.queue
            self.assertEqual(operation, Report(job.assignment, "c1", Given()))
            self.writer.queue.clear()
            outcome.callback(verdict)
            self.assertNotIn(job.assignment, self.reserve)
            self.assertEqual((self.crawler.pending, len(self.crawler.held)), (0, held))
        self.reserve.stop()

    def test_put_down_in_order(self) -> None:
        """Each in its time; when the node stops, all that are left."""
        self.given(1)
        for number in (2, 3):
            self.clock.advance(HESITATION / 2)
            self.given(number)
        self.assertEqual(self.put_down(), ["JOB1"])
        self.ownership.stop()
        self.assertEqual(self.put_down(), ["JOB1", "JOB2", "JOB3"])
        self.reserve.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_put_down_by_the_first_report(self) -> None:
        """What the crawler says of the job says whose it is: nothing else is stored. Another's word is none."""
        name = self.given().assignment
        self.assertIsNone(self.ownership.reported(name, self.crawler_called("c2")))
        put_down = self.ownership.reported(name, self.crawler)
        assert put_down is not None
        self.assertIsNone(self.ownership.reported(name, self.crawler))
        self.clock.advance(HESITATION)
        self.assertEqual(self.writer.queue, [])
        self.assertIn(name, self.reserve)
        put_down.callback(Verdict.STORED)
        self.assertNotIn(name, self.reserve)
        self.assertEqual((self.crawler.pending, list(self.crawler.held)), (0, [name]))
        self.reserve.stop()
