"""Answers in the order of the questions."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.replies import Ack, Error, Reply, Shutdown
from copilot_socket.wire.outbox import Outbox


def ack(ref: object) -> Ack:
    """The answer to the message that *ref* names."""
    return Ack("job_started", str(ref))


class OutboxTests(SynchronousTestCase):
    """An outbox that writes into a list."""

    def setUp(self) -> None:
        self.written: list[Reply] = []
        self.outbox = Outbox(self.written.append)

    def refs(self) -> list[str]:
        """What has been answered so far."""
        return [getattr(reply, "ref", None) or "pushed" for reply in self.written]

    def test_at_once(self) -> None:
        """With nothing owed an answer goes out at once."""
        self.outbox.answer([ack(1), ack(2)])
        self.assertEqual((self.refs(), self.outbox.waiting), (["1", "2"], 0))

    def test_waits_for_earlier_ones(self) -> None:
        """An answer that is ready waits for those before it."""
        first, second = self.outbox.slot(), self.outbox.slot()
        self.outbox.answer([ack(3)])
        self.outbox.fill(second, [ack(2)])
        self.assertEqual((self.refs(), self.outbox.waiting), ([], 3))
        self.outbox.fill(first, [ack(1)])
        self.assertEqual((self.refs(), self.outbox.waiting), (["1", "2", "3"], 0))

    def test_nothing_and_several(self) -> None:
        """An answer may be nothing at all, or several replies that stay together."""
        slots = [self.outbox.slot() for _ in range(3)]
        self.outbox.fill(slots[2], [ack(3)])
        self.outbox.fill(slots[1], [])
        self.outbox.fill(slots[0], [Error(ErrorCode.INTERNAL, "no", ref=ref) for ref in "ab"])
        self.assertEqual(self.refs(), ["a", "b", "3"])

    def test_pushes_overtake(self) -> None:
        """A push waits for nobody."""
        slot = self.outbox.slot()
        self.outbox.push(Shutdown("node", True, 8.0))
        self.assertEqual((self.refs(), self.outbox.waiting), (["pushed"], 1))
        self.outbox.fill(slot, [ack(1)])
        self.assertEqual(self.refs(), ["pushed", "1"])

    @settings(deadline=None)
    @given(st.integers(0, 12).flatmap(lambda count: st.permutations(range(count))))
    def test_any_order(self, order: list[int]) -> None:
        """Whatever the order in which answers become known, they go out in that of the questions."""
        written: list[Reply] = []
        outbox = Outbox(written.append)
        slots = [outbox.slot() for _ in order]
        known: set[int] = set()
        for index in order:
            outbox.fill(slots[index], [ack(index)])
            known.add(index)
            ready = next((place for place in range(len(order)) if place not in known), len(order))
            self.assertEqual([reply.wire()[2]["ref"] for reply in written], list(map(str, range(ready))))
            self.assertEqual(outbox.waiting, len(order) - ready)
