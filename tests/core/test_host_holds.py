"""When a host is held back, and how it is probed."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.host_holds import (
    FIRST_PROBE,
    LAST_PROBE,
    MOST_FAILURES,
    Failure,
    Host,
    failures_from_json,
    failures_to_json,
    probed,
)


def after(*failures: tuple[str, str, float], crawlers: int = 2, host: Host | None = None) -> Host:
    """A host after these failures: job, crawler and time."""
    host = host or Host()
    for job, crawler, at in failures:
        host = host.failed(Failure(job, crawler, at), crawlers)
    return host


class HoldTests(SynchronousTestCase):
    """Host.failed()."""

    def test_three_jobs_of_two_crawlers(self) -> None:
        """Within a minute."""
        self.assertTrue(after(("1", "a", 0), ("2", "b", 10), ("3", "a", 59)).held)
        for failures in (
            (("1", "a", 0), ("2", "b", 10)),
            (("1", "a", 0), ("1", "b", 10), ("2", "b", 20)),
            (("1", "a", 0), ("2", "a", 10), ("3", "a", 20)),
            (("1", "a", 0), ("2", "b", 10), ("3", "a", 61)),
        ):
            self.assertFalse(after(*failures).held, failures)

    def test_one_crawler_connected(self) -> None:
        """A single crawler is enough where there is no other."""
        self.assertTrue(after(("1", "a", 0), ("2", "a", 10), ("3", "a", 20), crawlers=1).held)

    def test_a_success_between(self) -> None:
        """What failed before a success does not count."""
        host = after(("1", "a", 0), ("2", "b", 10), ("3", "a", 20), host=Host(succeeded_at=5.0))
        self.assertFalse(host.held)
        self.assertTrue(after(("4", "a", 21), host=host).held)

    def test_probes(self) -> None:
        """The first comes soon, the others later and later, up to a limit; one that arrives ends the hold."""
        host = after(("1", "a", 0), ("2", "b", 0), ("3", "a", 0))
        self.assertEqual(host.opens_at, FIRST_PROBE)
        waits = []
        for number in range(6):
            host = host.failed(Failure(str(number), "a", 100.0), 2)
            waits.append(host.opens_at - 100.0)  # type: ignore[operator]
        self.assertEqual(waits, [10.0, 20.0, LAST_PROBE, LAST_PROBE, LAST_PROBE, LAST_PROBE])
        self.assertEqual(host.reached(), Host())

    @given(st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from("ab"), st.floats(0, 100)), max_size=60))
    def test_bounded(self, failures: list[tuple[str, str, float]]) -> None:
        """However many fail, little is kept, and it can be stored."""
        host = after(*failures)
        self.assertLessEqual(len(host.failures), MOST_FAILURES)
        self.assertEqual(failures_from_json(json.loads(json.dumps(failures_to_json(host.failures)))), host.failures)

    def test_nonsense(self) -> None:
        """What another program has stored there counts for nothing."""
        for stored in (None, 5, {"a": 1}, {"latest": [[1]]}, {"latest": [["a", "b", "x"]]}, {"latest": 5}):
            self.assertEqual(failures_from_json(stored), ())

    def test_which_account_probes(self) -> None:
        """The one whose last probe is longest ago."""
        self.assertEqual(probed({"a": 3.0, "b": 1.0, "c": 2.0}), "b")
        self.assertIsNone(probed({}))
