"""What happened in intervals, and how that adds up."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.ends import Cause
from copilot_socket.core.history import CAUSES, QUEUED, STATUSES, Interval, status_of
from copilot_socket.core.jobs import Status


def interval(jobs: list[int] | None, crawlers: int) -> Interval:
    """One with one of everything."""
    made = Interval(jobs, created=1, crawlers=crawlers)
    for status in (*Status, Status.FAILED):
        made.entered(status)
    made.attempt_ended(Cause.TIMED_OUT, 2.0)
    made.attempt_ended(Cause.CANCELLED, None)
    made.dispatch.add(0.5)
    return made


class IntervalTests(SynchronousTestCase):
    """Interval."""

    def test_order(self) -> None:
        """Stored lists are read by these orders: what is known keeps its place."""
        self.assertEqual(
            " ".join(STATUSES), "queued assigned running completed failed cancelled paused waiting_credential"
        )
        self.assertEqual(
            " ".join(CAUSES),
            "completed job_error timed_out not_found forbidden gitlab_unavailable rate_limited credential"
            " crawler_lost idle released paused drained stuck poison cancelled",
        )
        self.assertEqual({status_of(state) for state in QUEUED}, {Status.QUEUED})
        self.assertEqual(status_of("paused"), Status.PAUSED)

    def test_counts(self) -> None:
        """What happened is counted; attempts whose duration is unknown are in no histogram."""
        made = interval(None, 3)
        self.assertEqual((made.completed, made.failed, made.cancelled), (1, 2, 1))
        self.assertEqual(sum(made.ended), 2)
        self.assertEqual((made.ended[CAUSES.index(Cause.TIMED_OUT)], sum(made.run.counts)), (1, 1))

    def test_sums(self) -> None:
        """Of several nodes crawlers add up, of a period the most count; jobs are those at the beginning."""
        first, second = interval(None, 3), interval([5] * len(STATUSES), 4)
        for both, crawlers in ((first.beside(second), 7), (first.before(second), 4)):
            self.assertEqual((both.created, both.completed, both.failed, both.crawlers), (2, 2, 4, crawlers))
            self.assertEqual((sum(both.ended), both.run.seconds, both.dispatch.seconds), (4, 4.0, 1.0))
            self.assertEqual(both.jobs, second.jobs)
        self.assertEqual(second.before(interval([9] * len(STATUSES), 0)).jobs, second.jobs)
