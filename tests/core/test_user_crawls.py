"""The state of a user's crawl."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.jobs import TERMINAL, Status
from copilot_socket.core.user_crawls import CrawlState, crawl_state, progress

NUMBERS = st.dictionaries(st.sampled_from(Status), st.integers(0, 3))


class UserCrawlTests(SynchronousTestCase):
    """By how many jobs are in which state."""

    def test_examples(self) -> None:
        """A state for each kind of mixture."""
        for jobs, free, expected in (
            ({}, True, "idle"),
            ({Status.QUEUED: 0}, False, "idle"),
            ({Status.QUEUED: 1}, True, "running"),
            ({Status.QUEUED: 1}, False, "waiting"),
            ({Status.QUEUED: 2, Status.ASSIGNED: 1}, False, "running"),
            ({Status.RUNNING: 1, Status.FAILED: 3}, False, "running"),
            ({Status.PAUSED: 1, Status.COMPLETED: 9}, True, "waiting"),
            ({Status.WAITING_CREDENTIAL: 1}, False, "waiting"),
            ({Status.WAITING_CREDENTIAL: 1, Status.QUEUED: 1}, True, "running"),
            ({Status.COMPLETED: 2, Status.CANCELLED: 1}, False, "done"),
            ({Status.CANCELLED: 1}, True, "done"),
            ({Status.COMPLETED: 2, Status.FAILED: 1}, True, "failed"),
        ):
            self.assertEqual(crawl_state(jobs, free=free), CrawlState(expected), (jobs, free))

    @given(NUMBERS, st.booleans())
    def test_live(self, jobs: dict[Status, int], free: bool) -> None:
        """It is running or waiting if, and only if, a job is live; then its progress is below 1."""
        state, share = crawl_state(jobs, free=free), progress(jobs)
        live = any(count for status, count in jobs.items() if status not in TERMINAL)
        self.assertEqual(state in (CrawlState.RUNNING, CrawlState.WAITING), live)
        self.assertEqual(state is CrawlState.IDLE, share is None)
        self.assertEqual(state in (CrawlState.DONE, CrawlState.FAILED), share == 1)
        if live:
            assert share is not None
            self.assertTrue(0 <= share < 1)
