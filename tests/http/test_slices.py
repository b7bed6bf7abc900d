"""Turns of the reactor, handed out one by one."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http.slices import Slices
from tests.http.harness import Turns


class SliceTests(SynchronousTestCase):
    """Slices.next()."""

    def test_one_a_turn(self) -> None:
        """Each turn serves one of those waiting, first come, first served; none is served in the current turn."""
        reactor, got = Turns(), list[str]()
        slices = Slices(reactor)
        for name in "abc":
            slices.next().addCallback(lambda _none, name=name: got.append(name))
        self.assertEqual(got, [])
        for expected in ("a", "ab", "abc", "abc"):
            reactor.turn()
            self.assertEqual("".join(got), expected)

    def test_round_robin(self) -> None:
        """A repeated request queues behind those already waiting."""
        reactor, got = Turns(), list[str]()
        slices = Slices(reactor)

        def ask(name: str) -> None:
            slices.next().addCallback(lambda _none: (got.append(name), ask(name)))

        ask("a")
        ask("b")
        for _ in range(6):
            reactor.turn()
        self.assertEqual("".join(got), "ababab")
