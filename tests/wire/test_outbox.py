"""Replies in the order of the messages."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.replies import Ack, Error, Reply
from copilot_socket.wire.outbox import Outbox, Owed


def ack(ref: object) -> Ack:
    """The reply to the message that *ref* names."""
    return Ack("job_started", str(ref))


class OutboxTests(SynchronousTestCase):
    """An outbox, and the replies that it released."""

    def setUp(self) -> None:
        self.owed = Owed()
        self.outbox = Outbox(self.owed)
        self.sent: list[Reply] = []

    def refs(self) -> list[str]:
        """What has been sent so far."""
        return [reply.ref for reply in self.sent if isinstance(reply, Ack | Error) and reply.ref]

    def test_at_once(self) -> None:
        """Without pending replies a reply is sent immediately."""
        self.sent += self.outbox.answer([ack(1), ack(2)])
        self.assertEqual((self.refs(), self.outbox.waiting), (["1", "2"], 0))

    def test_waits_for_earlier_ones(self) -> None:
        """An answer that is ready waits for those before it."""
        first, second = self.outbox.slot(), self.outbox.slot()
        self.sent += self.outbox.answer([ack(3)])
        self.sent += self.outbox.fill(second, [ack(2)])
        self.assertEqual((self.refs(), self.outbox.waiting), ([], 3))
        self.sent += self.outbox.fill(first, [ack(1)])
        self.assertEqual((self.refs(), self.outbox.waiting), (["1", "2", "3"], 0))

    def test_nothing_and_several(self) -> None:
        """An answer may be nothing at all, or several replies that stay together."""
        slots = [self.outbox.slot() for _ in range(3)]
        self.sent += self.outbox.fill(slots[2], [ack(3)])
        self.sent += self.outbox.fill(slots[1], [])
        self.sent += self.outbox.fill(slots[0], [Error(ErrorCode.INTERNAL, "no", ref=ref) for ref in "ab"])
        self.assertEqual(self.refs(), ["a", "b", "3"])

    def test_counted(self) -> None:
        """What is owed counts by its weight until it is sent, for the connection and for all of them together."""
        other = Outbox(self.owed)
        heavy, light = self.outbox.slot(5), other.slot()
        self.outbox.answer([ack(1), ack(2)])
        self.assertEqual((self.outbox.waiting, other.waiting, self.owed.total), (7, 1, 8))
        self.outbox.fill(heavy, [])
        other.fill(light, [])
        self.assertEqual((self.outbox.waiting, other.waiting, self.owed.total), (0, 0, 0))

    def test_dropped(self) -> None:
        """Of a connection that is over only what is still being worked on counts, until that is done."""
        slot = self.outbox.slot(5)
        self.outbox.answer([ack(1), ack(2)])
        self.outbox.drop()
        self.assertEqual((self.outbox.waiting, self.owed.total), (0, 5))
        self.assertEqual(list(self.outbox.fill(slot, [ack(0)])), [])
        self.assertEqual(self.owed.total, 0)

    @given(st.integers(0, 12).flatmap(lambda count: st.permutations(range(count))))
    def test_any_order(self, order: list[int]) -> None:
        """Whatever the order in which answers become known, they go out in that of the messages."""
        outbox = Outbox(Owed())
        written: list[Reply] = []
        slots = [outbox.slot() for _ in order]
        known: set[int] = set()
        for index in order:
            written += outbox.fill(slots[index], [ack(index)])
            known.add(index)
            ready = next((place for place in range(len(order)) if place not in known), len(order))
            self.assertEqual([reply.wire()[2]["ref"] for reply in written], list(map(str, range(ready))))
            self.assertEqual(outbox.waiting, len(order) - ready)
