"""What handlers say of GitLab's rate limits."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.client.rate_limits import INTERVAL, RateLimits
from copilot_socket.client.twisted import Job
from tests.client.support import CrawlerTestCase, in_deferred


class RateLimitsTests(SynchronousTestCase):
    """RateLimits, at times of the test's."""

    def setUp(self) -> None:
        """Nothing was said yet."""
        self.limits = RateLimits()

    def say(self, now: float, *remaining: int, name: str = "") -> list[int]:
        """Say, one after the other, what is left; what is sent at once."""
        sent = [self.limits.say({"remaining": number, "name": name}, now) for number in remaining]
        return [state["remaining"] for states in sent for state in states]

    def due(self, now: float) -> list[int]:
        """What is sent at *now*."""
        return [state["remaining"] for state in self.limits.due(now)]

    def test_the_latest_state_once_a_second(self) -> None:
        """The first is sent at once; of those that follow within the interval only the last, when it is over."""
        self.assertEqual(self.say(0.0, 9, 8, 7), [9])
        self.assertEqual(self.limits.deadline, INTERVAL)
        self.assertEqual((self.due(INTERVAL - 0.1), self.due(INTERVAL)), ([], [7]))
        self.assertEqual(self.say(1.5 * INTERVAL, 6), [])
        self.assertEqual(self.due(2 * INTERVAL), [6])
        self.assertEqual((self.due(3 * INTERVAL), self.limits.deadline), ([], None))
        self.assertEqual(self.say(3 * INTERVAL, 5), [5])

    def test_each_limit_by_itself(self) -> None:
        """Limits with different names don't hold each other back."""
        self.assertEqual(self.say(0.0, 9, 8, name="a") + self.say(0.0, 5, 4, name="b"), [9, 5])
        self.assertEqual(self.due(INTERVAL), [8, 4])

    def test_at_the_end(self) -> None:
        """What was not sent yet is sent before the job's end."""
        self.say(0.0, 9, 8)
        self.assertEqual(([state["remaining"] for state in self.limits.flush()], self.limits.deadline), ([8], None))


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
