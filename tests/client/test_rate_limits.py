"""What handlers say of GitLab's rate limits."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from copilot_socket.client import Job
from copilot_socket.client.rate_limits import INTERVAL, RateLimits
from tests.client.support import CrawlerTestCase, in_deferred


class RateLimitsTests(TestCase):
    """RateLimits, with a clock of the test's."""

    def setUp(self) -> None:
        """Nothing was said yet."""
        self.clock = Clock()
        self.sent: list[Any] = []
        self.limits = RateLimits(self.clock, self.sent.append)

    def say(self, *remaining: int, name: str = "") -> None:
        """Say, one after the other, what is left."""
        for number in remaining:
            self.limits.say({"remaining": number, "name": name})

    def told(self) -> list[int]:
        """What was sent since the last call."""
        told = [data["remaining"] for data in self.sent]
        self.sent.clear()
        return told

    def test_the_latest_state_once_a_second(self) -> None:
        """The first is sent at once; of those that follow within the interval only the last, when it is over."""
        self.say(9, 8, 7)
        self.assertEqual(self.told(), [9])
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told(), [7])
        self.clock.advance(INTERVAL / 2)
        self.say(6)
        self.assertEqual(self.told(), [])
        self.clock.advance(INTERVAL / 2)
        self.assertEqual(self.told(), [6])
        self.clock.advance(INTERVAL)
        self.assertEqual((self.told(), self.clock.getDelayedCalls()), ([], []))

    def test_each_limit_by_itself(self) -> None:
        """Limits with different names don't hold each other back."""
        self.say(9, 8, name="a")
        self.say(5, 4, name="b")
        self.assertEqual(self.told(), [9, 5])
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told(), [8, 4])

    def test_at_the_end(self) -> None:
        """The last state is sent before the job's end, or not at all."""
        self.say(9, 8)
        self.limits.close(flush=True)
        self.assertEqual(self.told(), [9, 8])
        self.say(9, 8)
        self.limits.close(flush=False)
        self.assertEqual((self.told(), self.clock.getDelayedCalls()), ([9], []))


class JobTests(CrawlerTestCase):
    """``Job.rate_limit``."""

    features = ("commands", "rate_limit")

    @in_deferred
    async def test_the_message(self) -> None:
        """It has no id, since no answer is waited for; the last state is sent before the job's end."""
        jobs: list[Job] = []

        async def handler(job: Job) -> None:
            jobs.append(job)
            job.rate_limit(60, limit=600, reset_at=1_767_225_600, name="throttle_api", retry_after=1.5)
            job.rate_limit(59, reset_at=1e300)
            job.rate_limit(58)

        peer = await self.begin(handler)
        await peer.take("job_started")
        message = await peer.expect("rate_limit")
        self.assertEqual((message["jobId"], "id" in message), ("j.1.x", False))
        self.assertEqual(
            message["data"],
            {
                "remaining": 60,
                "limit": 600,
                "resetAt": "2026-01-01T00:00:00+00:00",
                "name": "throttle_api",
                "retryAfter": 1500,
            },
        )
        self.assertEqual((await peer.expect("rate_limit"))["data"], {"remaining": 59})
        self.assertEqual((await peer.expect("rate_limit"))["data"], {"remaining": 58})
        await peer.take("job_completed")
        jobs[0].rate_limit(1)
        await peer.expect("job_request")

    @in_deferred
    async def test_of_a_cancelled_job(self) -> None:
        """Nothing more is said of it."""

        async def handler(job: Job) -> None:
            try:
                job.rate_limit(9)
                job.rate_limit(8)
                await Deferred()
            finally:
                job.rate_limit(7)

        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.expect("rate_limit")
        peer.send("job_cancel", "j.1.x")
        await peer.expect("job_request")
