"""Counters at their maximum stay there, and nothing fails."""

from copilot_socket.core.jobs import Event
from copilot_socket.core.reports import Completed, Failed
from tests.support.store import StoreTestCase

END = 1_000_000_000
"""The last number that tables accept in a counter."""


class CounterTests(StoreTestCase):
    """A job whose counters another program has set to the maximum."""

    async def _at_the_end(self) -> str:
        """Claim such a job; return its assignment."""
        [job_id] = self.add_jobs("g/p")
        self.query("UPDATE jobs SET tries = %s, attempts = %s, releases = %s WHERE id = %s", END, END, END, job_id)
        await self.present("c1")
        [assignment] = await self.claim()
        return assignment

    async def test_tries(self) -> None:
        """The job can be claimed and completed."""
        assignment = await self._at_the_end()
        await self.report(assignment, Completed({}))
        self.assertEqual(self.job(assignment[:26], "status", "tries"), ("completed", END))

    async def test_attempts(self) -> None:
        """The job can fail."""
        assignment = await self._at_the_end()
        await self.report(assignment, Failed("so", None, True))
        self.assertEqual(self.job(assignment[:26], "status", "attempts"), ("failed", END))

    async def test_releases(self) -> None:
        """The job can be released."""
        assignment = await self._at_the_end()
        await self.transitions.apply([assignment[:26]], Event.RELEASED)
        self.assertEqual(self.job(assignment[:26], "status", "releases"), ("failed", END))
