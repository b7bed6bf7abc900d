"""One turn of the reactor."""

from functools import partial

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.turn import SLICE, TurnBatcher
from tests.wire.connection import turn


class TurnBatcherTests(SynchronousTestCase):
    """TurnBatcher."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.batcher = TurnBatcher(self.clock)
        self.done: list[str] = []

    def deal(self, data: bytes) -> None:
        """Deal with *data*, which is to be sent."""
        self.done.append(f"dealt {data.decode()}")
        self.assertTrue(self.batcher.handling)
        self.batcher.write(partial(self.done.append, f"sent {data.decode()}"))

    def test_one_after_the_other(self) -> None:
        """Nothing is sent before all is dealt with, and nothing is dealt with before the turn is over."""
        self.batcher.write(partial(self.done.append, "sent 0"))
        self.batcher.handle(self.deal, b"1")
        self.batcher.handle(self.deal, b"2")
        self.assertEqual((self.done, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(0)
        self.assertEqual(self.done, ["dealt 1", "dealt 2", "sent 0", "sent 1", "sent 2"])
        self.assertEqual((self.batcher.handling, self.clock.getDelayedCalls()), (False, []))

    def test_what_comes_up_meanwhile(self) -> None:
        """It is done in the next turn."""

        def again(data: bytes) -> None:
            self.deal(data)
            self.batcher.handle(self.deal, b"2")
            self.batcher.write(lambda: self.batcher.write(partial(self.done.append, "sent later")))

        self.batcher.handle(again, b"1")
        self.clock.advance(0)
        self.assertEqual(self.done, ["dealt 1", "sent 1", "dealt 2", "sent later", "sent 2"])

    def test_what_takes_long(self) -> None:
        """Beside all else, one slice a turn: as many steps as there is time for, at least one, and then the next."""
        left = {"a": 3, "b": 2, "c": 1}

        def step(name: str) -> bool:
            left[name] -= 1
            self.done.append(name)
            self.clock.rightNow += SLICE / 2
            self.assertTrue(self.batcher.handling)
            return left[name] > 0

        for name in left:
            self.batcher.slowly(partial(step, name))
        for number in range(5):
            self.batcher.handle(self.deal, str(number).encode())
            turn(self.clock)
        expected = ["aa", "bb", "c", "a", ""]
        turns = [[f"dealt {number}", *steps, f"sent {number}"] for number, steps in enumerate(expected)]
        self.assertEqual(self.done, [done for turn in turns for done in turn])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_takes_long_and_fails(self) -> None:
        """It is given up, and disturbs nothing else."""
        self.batcher.slowly(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        self.batcher.slowly(lambda: self.done.append("other") is not None)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual((self.done, self.clock.getDelayedCalls()), (["other"], []))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_fails(self) -> None:
        """It disturbs nothing else."""
        self.batcher.handle(lambda _data: 1 / 0, b"")  # type: ignore[arg-type, return-value]
        self.batcher.handle(self.deal, b"1")
        self.batcher.write(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        self.batcher.handle(self.deal, b"2")
        self.clock.advance(0)
        self.assertEqual(self.done, ["dealt 1", "dealt 2", "sent 1", "sent 2"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
