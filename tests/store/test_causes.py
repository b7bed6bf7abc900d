"""Why attempts end, in the database: causes, what they spend, and what is kept of them."""

from typing import Any

from copilot_socket.core.ends import Cause
from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import Event, Loss
from copilot_socket.core.reports import Completed, Failed, GivenBack, Progressed
from copilot_socket.store.hosts import Hosts
from copilot_socket.store.transition_rows import TransitionRequest
from tests.support.store import StoreTestCase


def failed(cause: Cause, *, inferred: bool = False, recoverable: bool = True, wait: float | None = None) -> Failed:
    """A failure for this reason."""
    return Failed("broke", None, recoverable, cause=cause, inferred=inferred, retry_after=wait)


class CausesTestCase(StoreTestCase):
    """Shorthand."""

    def cause(self, assignment: str, *columns: str) -> tuple[Any, ...]:
        """Columns of its job."""
        return self.job(assignment[:26], *(columns or ("status", "attempts", "cause")))

    async def again(self, assignment: str) -> str:
        """Claim the same job once more, however long it has to wait."""
        self.query("UPDATE jobs SET ready = true, scheduled_at = now() WHERE id = %s", assignment[:26])
        [claimed] = await self.claim("c1")
        return claimed


class FailureTests(CausesTestCase):
    """``job_failed``."""

    async def test_what_spends_an_attempt(self) -> None:
        """Only faults of the job do; the others queue it again, recoverable or not."""
        for cause, attempts, status in (
            (Cause.JOB_ERROR, 1, "failed"),
            (Cause.NOT_FOUND, 1, "failed"),
            (Cause.FORBIDDEN, 1, "failed"),
            (Cause.GITLAB_UNAVAILABLE, 0, "queued"),
            (Cause.RATE_LIMITED, 0, "queued"),
            (Cause.CREDENTIAL, 0, "queued"),
        ):
            assignment = await self.assigned(f"g/{cause}")
            await self.report(assignment, failed(cause, recoverable=False))
            self.assertEqual(self.cause(assignment), (status, attempts, str(cause)))
            self.assertEqual(
                self.query("SELECT outcome, cause FROM job_tries WHERE crawler_job_id = %s", assignment),
                [("failed", str(cause))],
            )
            [(logged,)] = self.query("SELECT cause FROM job_error_log WHERE job_id = %s", assignment[:26])
            self.assertEqual(logged, str(cause))

    async def test_retry_after(self) -> None:
        """The job waits at least as long as GitLab asked for."""
        assignment = await self.assigned()
        await self.report(assignment, failed(Cause.RATE_LIMITED, wait=1000.0))
        [(wait,)] = self.query("SELECT extract(epoch FROM scheduled_at - now()) FROM jobs")
        self.assertGreater(wait, 990)

    async def test_trouble_is_kept_until_it_completes(self) -> None:
        """Counts go on from attempt to attempt, and end with a completion."""
        assignment = await self.assigned()
        for number in range(1, 4):
            await self.report(assignment, failed(Cause.GITLAB_UNAVAILABLE))
            self.assertEqual(self.cause(assignment, "trouble")[0]["waits"], number)
            assignment = await self.again(assignment)
        await self.report(assignment, Completed({}))
        self.assertEqual(self.cause(assignment, "status", "cause", "trouble"), ("completed", None, None))
        self.assertEqual(self.query("SELECT cause FROM job_tries ORDER BY try DESC LIMIT 1"), [("completed",)])

    async def test_others_succeed(self) -> None:
        """The fifth time that a job alone finds its GitLab unavailable is its own error."""
        assignment = await self.assigned()
        for _ in range(4):
            await Hosts(self.database).succeeded(["acct"])
            await self.report(assignment, failed(Cause.GITLAB_UNAVAILABLE))
            assignment = await self.again(assignment)
        await Hosts(self.database).succeeded(["acct"])
        await self.report(assignment, failed(Cause.GITLAB_UNAVAILABLE))
        self.assertEqual(self.cause(assignment), ("queued", 1, "job_error"))

    async def test_rejected_token(self) -> None:
        """A 401 makes the account's token count as expired, unless it is a newer one already."""
        self.query("UPDATE accounts SET credential_status = 'valid', token_expires_at = now() + interval '1 day'")
        late = await self.assigned("g/late")
        assignment = await self.assigned("g/now")
        await self.report(assignment, failed(Cause.CREDENTIAL))
        expired = "SELECT token_expires_at <= now(), credential_error FROM accounts WHERE id = 'acct'"
        self.assertEqual(self.query(expired), [(True, "GitLab has answered 401")])
        self.query(
            "UPDATE accounts SET token_generation = token_generation + 1, credential_error = NULL,"
            " token_expires_at = now() + interval '1 day'"
        )
        await self.report(late, failed(Cause.CREDENTIAL))
        self.assertEqual(self.query(expired), [(False, None)])

    async def test_nonsense_of_other_programs(self) -> None:
        """What another program has put there does not keep the job from being decided on."""
        assignment = await self.assigned()
        self.query("""UPDATE jobs SET trouble = '{"waits": "x", "lost": 5, "more": []}'""")
        await self.report(assignment, failed(Cause.GITLAB_UNAVAILABLE))
        self.assertEqual(self.cause(assignment), ("queued", 0, "gitlab_unavailable"))

    async def test_retried_by_hand(self) -> None:
        """A retry begins without trouble."""
        assignment = await self.assigned()
        await self.report(assignment, failed(Cause.NOT_FOUND, recoverable=False))
        await self.transitions.apply([assignment[:26]], Event.RETRIED)
        self.assertEqual(self.cause(assignment, "status", "cause", "trouble"), ("queued", None, None))


class GivenBackTests(CausesTestCase):
    """``job_released``."""

    async def test_reasons(self) -> None:
        """No attempt is spent, and only a crawler's own reason counts as a release."""
        for cause, releases in ((Cause.PAUSED, 0), (Cause.DRAINED, 0), (Cause.RATE_LIMITED, 0), (Cause.RELEASED, 1)):
            assignment = await self.assigned(f"g/{cause}")
            await self.report(assignment, Progressed({}, b'{"page": 1}'))
            await self.report(assignment, GivenBack(cause, "later", b'{"page": 2}'))
            self.assertEqual(
                self.cause(assignment, "status", "attempts", "releases", "cause", "resume_state"),
                ("queued", 0, releases, str(cause), {"page": 2}),
            )
            self.assertEqual(
                self.query("SELECT outcome, reason FROM job_tries WHERE crawler_job_id = %s", assignment),
                [("given_back", "later")],
            )

    async def test_said_again(self) -> None:
        """It is acknowledged again; another ending is late."""
        assignment = await self.assigned()
        given = GivenBack(Cause.PAUSED)
        self.assertEqual(await self.report(assignment, given), [Verdict.STORED])
        self.assertEqual(await self.report(assignment, given), [Verdict.STORED])
        self.assertEqual(await self.report(assignment, Completed({})), [Verdict.STALE])

    async def test_a_lost_crawler_has_given_nothing_back(self) -> None:
        """A release by the server is not taken for the crawler's."""
        assignment = await self.assigned()
        await self.leases.release([assignment], Loss.GONE)
        self.assertEqual(await self.report(assignment, GivenBack(Cause.PAUSED)), [Verdict.STALE])

    async def test_retry_after(self) -> None:
        """The crawler says when."""
        assignment = await self.assigned()
        await self.report(assignment, GivenBack(Cause.DRAINED, retry_after=500.0))
        self.assertEqual(self.cause(assignment, "ready"), (False,))


class PoisonTests(CausesTestCase):
    """Jobs that their crawlers do not survive."""

    async def lose(self, assignment: str, crawler: str, hours_ago: float = 0.0) -> None:
        """*crawler*, which has reported on it, is gone, and was so long ago."""
        self.query(
            "UPDATE job_assignments SET crawler_key = %s, reported_at = now() WHERE completed_at IS NULL", crawler
        )
        await self.transitions.run([TransitionRequest(assignment[:26], Event.RELEASED, assignment, Loss.GONE)])
        then = f"{hours_ago} hours"
        self.query("UPDATE disturbances SET at = at - %s::interval WHERE name = %s", then, crawler)
        self.query(
            "UPDATE jobs SET trouble = jsonb_set(trouble, ARRAY['lost', '-1', '1'],"
            " to_jsonb((trouble #>> '{lost,-1,1}')::float8 - %s * 3600)) WHERE trouble ? 'lost'",
            hours_ago,
        )

    async def test_three_crawlers(self) -> None:
        """The third crawler that is lost at one cursor is the last."""
        assignment = await self.assigned()
        for number, crawler in enumerate(("a", "b")):
            await self.lose(assignment, crawler, 2 - number)
            self.assertEqual(self.cause(assignment), ("queued", 0, "crawler_lost"))
            assignment = await self.again(assignment)
        await self.lose(assignment, "c")
        self.assertEqual(self.cause(assignment), ("failed", 0, "poison"))
        [(resolution,)] = self.query("SELECT resolution FROM job_error_log")
        self.assertIn("quarantined", resolution)

    async def test_a_crowd(self) -> None:
        """Where another crawler was lost at about the same time, the job is not to blame."""
        assignment = await self.assigned()
        for number, crawler in enumerate(("a", "b")):
            await self.lose(assignment, crawler, 2 - number)
            assignment = await self.again(assignment)
        self.query("INSERT INTO disturbances (name) VALUES ('another')")
        await self.lose(assignment, "c")
        self.assertEqual(self.cause(assignment), ("queued", 0, "crawler_lost"))

    async def test_a_node_that_stopped(self) -> None:
        """Nor where a node's lease ended."""
        assignment = await self.assigned()
        for number, crawler in enumerate(("a", "b")):
            await self.lose(assignment, crawler, 2 - number)
            assignment = await self.again(assignment)
        self.query("INSERT INTO nodes VALUES ('dead', 'h', 1, now(), now())")
        await self.lose(assignment, "c")
        self.assertEqual(self.cause(assignment), ("queued", 0, "crawler_lost"))
