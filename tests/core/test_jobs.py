"""The state machine, cell by cell."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import HELD, TERMINAL, Event, Outcome, Status
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.transitions import Job, Refusal, Transition, decide
from copilot_socket.core.trouble import End
from tests.support.matrix import MATRIX

POLICY = RetryPolicy(base=5.0)


class MatrixTests(SynchronousTestCase):
    """The table in tests/support/matrix.py, which the store is tested with, too."""

    def test_the_table_is_complete(self) -> None:
        """Every event has a cell for every state."""
        for event in Event:
            for status in Status:
                self.assertIn((event, status), MATRIX)

    def test_every_cell(self) -> None:
        """decide() agrees with the table."""
        for (event, status), expected in MATRIX.items():
            answer = decide(Job(status, attempts=0, max_attempts=3), event, POLICY, 0.5)
            found = answer.status if isinstance(answer, Transition) else None
            self.assertEqual(found, expected, f"{event} on {status}")

    def test_a_refusal_says_what_and_why(self) -> None:
        """The text names the state and the event."""
        answer = decide(Job(Status.COMPLETED), Event.CANCELLED, POLICY, 0.0)
        self.assertEqual(str(answer), "cancel is not allowed: the job is completed")


class TriesTests(SynchronousTestCase):
    """What spends attempts and what does not."""

    def test_the_last_try_is_a_dead_letter(self) -> None:
        """A recoverable failure with no attempts left fails the job."""
        answer = decide(Job(Status.RUNNING, attempts=2, max_attempts=3), Event.FAILED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts), (Status.FAILED, 3))

    def test_not_recoverable_fails_at_once(self) -> None:
        """Attempts that are left do not help a job whose failure is not recoverable."""
        answer = decide(Job(Status.RUNNING, max_attempts=9), Event.FAILED_FOR_GOOD, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts), (Status.FAILED, 1))

    def test_incomplete_fails_at_once(self) -> None:
        """A discovery would be refused in another attempt, too, also where a token was refused."""
        answer = decide(Job(Status.RUNNING, max_attempts=9, credential_refused=True), Event.INCOMPLETE, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.outcome), (Status.FAILED, 1, Outcome.FAILED))

    def test_a_time_out_spends_a_try(self) -> None:
        """A time-out counts like a failure."""
        answer = decide(Job(Status.RUNNING), Event.TIMED_OUT, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.outcome), (Status.QUEUED, 1, Outcome.TIMED_OUT))

    def test_given_back_again_and_again(self) -> None:
        """A crawler that gives everything back does not spin; a job that is to be paused waits for nothing."""
        job, waits = Job(Status.ASSIGNED), []
        for _ in range(5):
            answer = decide(job, Event.GIVEN_BACK, POLICY, 0.5, End(Cause.DRAINED))
            waits.append(answer.delay)
            job = evolve(job, trouble=answer.trouble)
        self.assertEqual((waits[0], waits), (0.0, sorted(waits)))
        self.assertGreater(waits[-1], waits[1])
        pausing = decide(evolve(job, pausing=True), Event.GIVEN_BACK, POLICY, 0.5, End(Cause.PAUSED))
        self.assertEqual((pausing.status, pausing.delay, pausing.releases), (Status.PAUSED, 0.0, 0))

    def test_a_pause_is_not_forgotten(self) -> None:
        """Whatever would queue the job, now or later, pauses it."""
        job = Job(Status.RUNNING, pausing=True)
        for event in (Event.FAILED, Event.RELEASED, Event.NO_CREDENTIAL, Event.GIVEN_BACK, Event.TIMED_OUT):
            self.assertIs(decide(job, event, POLICY, 0.5).status, Status.PAUSED, event)
        self.assertIs(decide(job, Event.COMPLETED, POLICY, 0.5).status, Status.COMPLETED)

    def test_put_off_is_never_at_once(self) -> None:
        """A job that can't be sent for now spends nothing, and is not claimed again immediately."""
        for base, delay in ((0.0, 1.0), (5.0, 5.0)):
            answer = decide(Job(Status.ASSIGNED, attempts=1, releases=2), Event.PUT_OFF, RetryPolicy(base), 0.0)
            self.assertEqual(answer, Transition(Status.QUEUED, 1, 2, delay, Outcome.RETURNED, cause=Cause.CREDENTIAL))

    def test_a_release_spends_none(self) -> None:
        """Releases are counted separately."""
        answer = decide(Job(Status.RUNNING, attempts=2, max_attempts=3), Event.RELEASED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.releases), (Status.QUEUED, 2, 1))

    def test_the_tenth_release_is_the_last(self) -> None:
        """A job that kills its crawlers is released a limited number of times."""
        answer = decide(Job(Status.RUNNING, releases=9), Event.RELEASED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.releases), (Status.FAILED, 10))

    def test_a_first_release_waits_for_nothing(self) -> None:
        """The first release queues the job immediately; later ones wait."""
        first = decide(Job(Status.RUNNING), Event.RELEASED, POLICY, 0.999)
        second = decide(Job(Status.RUNNING, releases=1), Event.RELEASED, POLICY, 0.5)
        self.assertEqual((first.delay, second.delay), (0.0, 2.5))

    def test_a_return_costs_nothing(self) -> None:
        """A job that was claimed and not sent is queued unchanged."""
        answer = decide(Job(Status.ASSIGNED, attempts=1, releases=1), Event.RETURNED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.releases, answer.delay), (Status.QUEUED, 1, 1, 0.0))

    def test_a_refused_credential_is_no_failure(self) -> None:
        """Failure, release and time-out all park a job whose crawler was refused a token; no attempt is spent."""
        for event in (Event.FAILED, Event.FAILED_FOR_GOOD, Event.RELEASED, Event.TIMED_OUT):
            answer = decide(Job(Status.RUNNING, attempts=2, credential_refused=True), event, POLICY, 0.5)
            self.assertEqual((answer.status, answer.attempts), (Status.WAITING_CREDENTIAL, 2), event)

    def test_a_credential_renewed_meanwhile(self) -> None:
        """A job does not wait for a renewal that happened while its crawler still had the old token."""
        job = Job(Status.RUNNING, credential_refused=True, credential_valid=True)
        answer = decide(job, Event.FAILED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.delay), (Status.QUEUED, 0, 0.0))

    def test_a_retry_by_hand_starts_afresh(self) -> None:
        """Attempts and releases count from zero again."""
        answer = decide(Job(Status.FAILED, attempts=3, releases=7), Event.RETRIED, POLICY, 0.5)
        self.assertEqual((answer.status, answer.attempts, answer.releases), (Status.QUEUED, 0, 0))

    def test_cancel_ends_a_try_only_if_there_is_one(self) -> None:
        """A queued job has no attempt to end."""
        self.assertIsNone(decide(Job(Status.QUEUED), Event.CANCELLED, POLICY, 0.5).outcome)
        self.assertEqual(decide(Job(Status.RUNNING), Event.CANCELLED, POLICY, 0.5).outcome, Outcome.CANCELLED)


class PropertyTests(SynchronousTestCase):
    """Invariants."""

    @given(
        st.lists(st.tuples(st.sampled_from(list(Event)), st.floats(0, 0.999))),
        st.integers(1, 5),
    )
    def test_a_life(self, events: list[tuple[Event, float]], max_attempts: int) -> None:
        """In any order of events counts stay in bounds, only a retry revives a job, only held attempts end."""
        job = Job(Status.QUEUED, max_attempts=max_attempts)
        for event, jitter in events:
            answer = decide(job, event, POLICY, jitter)
            if isinstance(answer, Refusal):
                continue
            self.assertLessEqual(answer.attempts, max_attempts)
            self.assertLessEqual(answer.releases, POLICY.max_releases)
            if job.status in TERMINAL:
                self.assertIs(event, Event.RETRIED)
            if answer.outcome is not None:
                self.assertIn(job.status, HELD)
            self.assertEqual(answer.outcome is not None, job.status in HELD and answer.status not in HELD)
            job = Job(answer.status, answer.attempts, max_attempts, answer.releases)
