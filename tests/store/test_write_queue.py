"""The write queue: order, batches, discoveries, and when it is full."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.reports import Discovered, Progressed, Report
from copilot_socket.store import write_queue
from copilot_socket.store.write_queue import WriteQueue
from copilot_socket.store.writes import ConnectionSeen, Write

OUTCOME = None  # nobody is called back by a queue


def _report(crawler: str, number: int = 0, size: int = 0) -> Report:
    return Report(f"{crawler}-job.1.x", crawler, Progressed({"n": number}), size)


def _discovery(crawler: str, size: int = 0) -> Report:
    return Report(f"{crawler}-job.1.x", crawler, Discovered(()), size)


class QueueTests(SynchronousTestCase):
    """WriteQueue."""

    def setUp(self) -> None:
        self.queue = WriteQueue()

    def put(self, *writes: Write) -> None:
        """Add writes."""
        for write in writes:
            self.queue.put(write, OUTCOME)  # type: ignore[arg-type]

    def take(self) -> tuple[list[Write], list[Report]]:
        """The next batch's writes, and the discoveries that follow it."""
        batch = self.queue.take()
        return [each for each, _ in batch.entries], [each for each, _ in batch.discoveries]

    def test_half_of_what_waits(self) -> None:
        """A batch takes half of the queue, but all of a short one, and no more than the maximum."""
        self.patch(write_queue, "MIN_BATCH", 4)
        self.patch(write_queue, "MAX_BATCH", 6)
        self.put(*(_report(str(n)) for n in range(20)))
        self.assertEqual([len(self.take()[0]) for _ in range(6)], [6, 6, 4, 4, 0, 0])

    def test_no_more_than_so_many_bytes(self) -> None:
        """A batch ends before the message that exceeds its size; a single message may have any size."""
        self.patch(write_queue, "MAX_BATCH_SIZE", 100)
        sizes = [60, 40, 1, 200, 100, 5]
        self.put(*(_report(str(n), size=size) for n, size in enumerate(sizes)))
        batches = [[each.size for each in self.take()[0]] for _ in range(5)]
        self.assertEqual(batches, [[60, 40], [1], [200], [100], [5]])

    def test_two_crawlers_on_one_assignment(self) -> None:
        """Reports of two crawlers on one assignment never share a batch."""
        first, second = _report("a"), Report("a-job.1.x", "b", Progressed({}))
        self.put(first, second)
        self.assertEqual([self.take()[0], self.take()[0]], [[first], [second]])

    def test_behind_a_discovery(self) -> None:
        """Later writes of its crawler wait, those of others do not; afterwards all are taken in order."""
        seen = ConnectionSeen("k", "a", "a", True)
        writes = [_report("a", 1), _discovery("a"), _report("a", 2), _report("b", 1), seen]
        self.put(*writes)
        self.assertEqual(self.take(), ([writes[0], writes[3]], [writes[1]]))
        later = [_report("a", 3), _report("b", 2), _discovery("a")]
        self.put(*later)
        self.assertEqual(self.take(), ([later[1]], []))
        self.assertEqual(len(self.queue), 0)
        self.queue.go_on("a")
        self.assertEqual(self.take(), ([writes[2], seen, later[0]], [later[2]]))

    def test_full_and_low(self) -> None:
        """By number and by bytes: full from the high-water mark on, low at the low-water mark."""
        self.patch(write_queue, "HIGH_WATER", 4)
        self.patch(write_queue, "LOW_WATER", 1)
        self.patch(write_queue, "HIGH_SIZE", 100)
        self.patch(write_queue, "LOW_SIZE", 10)
        state = []

        def note() -> None:
            state.append((self.queue.full, self.queue.low))

        note()
        many = [_discovery("a"), *(_report("a", n) for n in range(3))]
        for write in many:
            self.put(write)
            note()
        self.take()
        note()  # what was taken still counts
        for write in many:
            self.queue.done([write])
            note()
        self.queue.go_on("a")
        self.take()
        self.put(large := _report("b", size=101))
        note()
        self.queue.done([large])
        self.put(_report("b", size=11))
        note()
        self.assertEqual(
            state,
            [
                (False, True),
                (False, True), (False, False), (False, False), (True, False),
                (True, False),
                (False, False), (False, False), (False, True), (False, True),
                (True, False),
                (False, False),
            ],
        )  # fmt: skip

    @given(
        st.lists(
            st.one_of(
                st.builds(_report, st.sampled_from("abc"), st.integers(0, 99)),
                st.builds(_discovery, st.sampled_from("abc")),
                st.sampled_from(["take", "go on"]),
            )
        )
    )
    def test_each_crawlers_order(self, steps: list[Report | str]) -> None:
        """Writes of a crawler are written once, in order, and none beside its discovery."""
        queue = WriteQueue()
        written: list[Write] = []
        said: list[Write] = []
        discovering: list[Report] = []

        def take() -> None:
            batch = queue.take()
            busy = {each.crawler for each in discovering}
            for write, _ in batch.entries:
                self.assertNotIn(write.crawler, busy)
                written.append(write)
            for write, _ in batch.discoveries:
                self.assertNotIn(write.crawler, busy)
                written.append(write)
                discovering.append(write)

        def go_on() -> None:
            if discovering:
                queue.go_on(discovering.pop(0).crawler)

        for step in steps:
            if isinstance(step, Report):
                said.append(step)
                queue.put(step, OUTCOME)  # type: ignore[arg-type]
            elif step == "take":
                take()
            else:
                go_on()
        while len(queue) or discovering:
            take()
            go_on()
        for crawler in "abc":
            mine = [id(each) for each in said if each.crawler == crawler]
            self.assertEqual([id(each) for each in written if each.crawler == crawler], mine)
        self.assertEqual(len(written), len(said))
