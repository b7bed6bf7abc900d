"""How often something may happen."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.rate import Rate, Rates, client_of


def at_once(rate: Rate, now: float) -> int:
    """How often it may happen at *now*."""
    count = 0
    while rate.wait(now) == 0:
        rate.count(now)
        count += 1
    return count


class RateTests(SynchronousTestCase):
    """Rate."""

    def test_a_burst_and_an_even_pace(self) -> None:
        """A second's worth at once; then each interval one, and after a second the same again."""
        for per_second in (1, 3, 10, 997):
            rate = Rate(per_second)
            self.assertEqual(at_once(rate, 5.0), per_second)
            self.assertEqual(at_once(rate, 5.0 + 1.01 / per_second), 1)
            self.assertEqual(at_once(rate, 90.0), per_second)
            self.assertEqual(at_once(rate, 90.0 + 2.51 / per_second), min(per_second, 3))

    def test_the_wait_is_enough(self) -> None:
        """After it, it may happen."""
        rate = Rate(4)
        at_once(rate, 1.0)
        wait = rate.wait(1.0)
        self.assertTrue(0 < wait <= 0.25)
        self.assertEqual(rate.wait(1.0 + wait), 0)

    @given(st.integers(1, 100), st.lists(st.floats(0, 0.5), max_size=50))
    def test_the_average(self, per_second: int, steps: "list[float]") -> None:
        """From any moment on, no more than a second's worth and what the time since allows."""
        rate, now, happened = Rate(per_second), 0.0, []
        for step in [*steps, 0.0]:
            now += step
            happened += [now] * at_once(rate, now)
        for first in range(len(happened)):
            allowed = per_second * (1 + happened[-1] - happened[first]) + 1
            self.assertLessEqual(len(happened) - first, allowed)


class RatesTests(SynchronousTestCase):
    """A rate for each client."""

    def test_clients_are_apart(self) -> None:
        """What one does costs no other, and so many times a minute means the same as a second."""
        rates = Rates(2, 60.0)
        for _ in range(2):
            self.assertEqual(rates.wait("a", 0.0), 0.0)
            rates.count("a", 0.0)
        self.assertGreater(rates.wait("a", 14.0), 0.0)
        self.assertEqual((rates.wait("a", 15.0), rates.wait("b", 0.0)), (0.0, 0.0))

    def test_none(self) -> None:
        """Without a limit nothing is counted."""
        rates = Rates(0)
        for _ in range(9):
            rates.count("a", 0.0)
        self.assertEqual(rates.wait("a", 0.0), 0.0)

    def test_bounded(self) -> None:
        """Of too many clients the one without an event for longest is forgotten."""
        rates = Rates(1, most=2)
        for client in ("a", "b", "a", "c"):
            rates.count(client, 0.0)
        self.assertEqual([rates.wait(client, 0.0) > 0 for client in "abc"], [True, False, True])

    def test_clients(self) -> None:
        """An address of IPv4, also one that is mapped; of IPv6 its network."""
        same = ("192.0.2.1", "::ffff:192.0.2.1")
        self.assertEqual({client_of(each) for each in same}, {"192.0.2.1"})
        network = ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:1::1%eth0")
        self.assertEqual({client_of(each) for each in network}, {"2001:db8:0:1::/64"})
        self.assertRaises(ValueError, client_of, "unknown")
