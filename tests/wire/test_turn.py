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

    def handle(self, data: bytes) -> None:
        """Handle *data*, which is to be written."""
        self.done.append(f"handled {data.decode()}")
        self.assertTrue(self.batcher.handling)
        self.batcher.write(partial(self.done.append, f"written {data.decode()}"))

    def test_one_after_the_other(self) -> None:
        """Nothing is written before all is handled, and nothing is handled before the turn is over."""
        self.batcher.write(partial(self.done.append, "written 0"))
        self.batcher.handle(self.handle, b"1")
        self.batcher.handle(self.handle, b"2")
        self.assertEqual((self.done, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(0)
        self.assertEqual(self.done, ["handled 1", "handled 2", "written 0", "written 1", "written 2"])
        self.assertEqual((self.batcher.handling, self.clock.getDelayedCalls()), (False, []))

    def test_what_comes_up_meanwhile(self) -> None:
        """It is done in the next turn."""

        def again(data: bytes) -> None:
            self.handle(data)
            self.batcher.handle(self.handle, b"2")
            self.batcher.write(lambda: self.batcher.write(partial(self.done.append, "written later")))

        self.batcher.handle(again, b"1")
        self.clock.advance(0)
        self.assertEqual(self.done, ["handled 1", "written 1", "handled 2", "written later", "written 2"])

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
            self.batcher.handle(self.handle, str(number).encode())
            turn(self.clock)
        expected = ["aa", "bb", "c", "a", ""]
        turns = [[f"handled {number}", *steps, f"written {number}"] for number, steps in enumerate(expected)]
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
        self.batcher.handle(self.handle, b"1")
        self.batcher.write(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        self.batcher.handle(self.handle, b"2")
        self.clock.advance(0)
        self.assertEqual(self.done, ["handled 1", "handled 2", "written 1", "written 2"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
