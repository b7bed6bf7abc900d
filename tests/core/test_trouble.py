"""When a cause that spends no attempt is taken for a fault of the job."""

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.ends import FAILURES, SPENDING, Cause
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.trouble import APART, NO_TROUBLE, End, Judgement, Trouble, judge, lose, poisonous

POLICY = RetryPolicy(base=5.0)
DAY = 86_400.0
FAILED = st.builds(
    End,
    cause=st.sampled_from(FAILURES),
    inferred=st.booleans(),
    retry_after=st.none() | st.floats(0, 3600),
    others_succeed=st.booleans(),
    token_generation=st.none() | st.integers(1, 3),
)


class JudgeTests(SynchronousTestCase):
    """judge()."""

    def judged(self, *failures: End, every: float = 1.0, jitter: float = 0.5) -> list[Judgement]:
        """What is made of *failures* of one job, one *every* so many seconds."""
        judgements = []
        trouble, now = NO_TROUBLE, 0.0
        for failure in failures:
            judgements.append(judge(failure, trouble, POLICY, jitter, now))
            trouble, now = judgements[-1].trouble, now + every
        return judgements

    def causes(self, *failures: End, every: float = 1.0) -> list[Cause]:
        """As what causes *failures* of one job are taken."""
        return [each.cause for each in self.judged(*failures, every=every)]

    def test_an_outage(self) -> None:
        """However often within a day, it stays the outage that it is; each wait is longer, up to ten minutes."""
        found = self.judged(*[End(Cause.GITLAB_UNAVAILABLE)] * 50)
        self.assertEqual({each.cause for each in found}, {Cause.GITLAB_UNAVAILABLE})
        waits = [each.delay for each in found]
        self.assertEqual(waits[:3], [3.75, 7.5, 15.0])
        self.assertEqual((waits, waits[-1]), (sorted(waits), 450.0))

    def test_a_day(self) -> None:
        """A day after its first, it is taken for an error of the job."""
        self.assertEqual(
            self.causes(*[End(Cause.GITLAB_UNAVAILABLE)] * 3, every=DAY / 2),
            [Cause.GITLAB_UNAVAILABLE, Cause.GITLAB_UNAVAILABLE, Cause.JOB_ERROR],
        )

    def test_alone(self) -> None:
        """Five times while others succeed, and from then on."""
        alone, outage = End(Cause.GITLAB_UNAVAILABLE, others_succeed=True), End(Cause.GITLAB_UNAVAILABLE)
        self.assertEqual(self.causes(*[alone] * 5, outage)[3:], [outage.cause, Cause.JOB_ERROR, Cause.JOB_ERROR])

    def test_another_end_between(self) -> None:
        """Reaching GitLab starts the count again."""
        alone = End(Cause.GITLAB_UNAVAILABLE, others_succeed=True)
        found = self.causes(*[alone] * 4, End(Cause.NOT_FOUND), *[alone] * 4)
        self.assertEqual(set(found), {Cause.GITLAB_UNAVAILABLE, Cause.NOT_FOUND})

    def test_inferred(self) -> None:
        """The tenth cause in a row that is only inferred is an error of the job; a named one starts again."""
        guessed, named = End(Cause.RATE_LIMITED, inferred=True), End(Cause.RATE_LIMITED)
        self.assertEqual(self.causes(*[guessed] * 11)[8:], [Cause.RATE_LIMITED, Cause.JOB_ERROR, Cause.JOB_ERROR])
        self.assertEqual(set(self.causes(*[guessed] * 9, named, *[guessed] * 9)), {Cause.RATE_LIMITED})

    def test_tokens(self) -> None:
        """The third fresh token that is refused; the same one refused again counts once."""
        ends = [End(Cause.CREDENTIAL, token_generation=generation) for generation in (1, 1, 1, 2, 3)]
        self.assertEqual(self.causes(*ends), [Cause.CREDENTIAL] * 4 + [Cause.JOB_ERROR])

    def test_while_the_host_is_held(self) -> None:
        """A probe that fails says nothing of its job: however many, and though nobody names the cause."""
        probe = End(Cause.GITLAB_UNAVAILABLE, inferred=True, host_held=True)
        self.assertEqual(set(self.causes(*[probe] * 40)), {Cause.GITLAB_UNAVAILABLE})

    def test_asked_to_wait_for_ever(self) -> None:
        """A day of 429s, mixed with whatever else does not reach GitLab, is the job's error."""
        mixed = [End(Cause.RATE_LIMITED), End(Cause.GITLAB_UNAVAILABLE)] * 2
        self.assertEqual(self.causes(*mixed, End(Cause.RATE_LIMITED), every=DAY / 4)[-1], Cause.JOB_ERROR)

    def test_retry_after(self) -> None:
        """What GitLab asks for is kept."""
        [judgement] = self.judged(End(Cause.RATE_LIMITED, retry_after=77.0))
        self.assertEqual(judgement.delay, 77.0)

    @given(st.lists(FAILED, max_size=30), st.floats(0, 1, exclude_max=True))
    def test_any(self, failures: list[End], jitter: float) -> None:
        """What spends an attempt is never softened; nothing waits longer than it must; all of it can be stored."""
        for failure, judgement in zip(failures, self.judged(*failures, jitter=jitter), strict=True):
            self.assertIn(judgement.cause, {failure.cause, Cause.JOB_ERROR})
            self.assertFalse(failure.cause in SPENDING and judgement.cause is not failure.cause)
            self.assertLessEqual(judgement.delay, max(POLICY.cap, failure.retry_after or 0))
            stored = json.loads(json.dumps(judgement.trouble.to_json()))
            self.assertEqual(Trouble.from_json(stored), judgement.trouble)

    def test_no_trouble(self) -> None:
        """A job without trouble has nothing stored of it."""
        self.assertIsNone(NO_TROUBLE.to_json())
        self.assertEqual(Trouble.from_json(None), NO_TROUBLE)


class PoisonTests(SynchronousTestCase):
    """Crawlers that are lost at one cursor."""

    def lost(self, *losses: tuple[str, str, float]) -> Trouble:
        """A job that lost these crawlers, each at a cursor and a time."""
        trouble = NO_TROUBLE
        for crawler, cursor, at in losses:
            trouble = lose(trouble, crawler, cursor, at)
        return trouble

    def test_three_crawlers(self) -> None:
        """Three different ones, at one cursor."""
        self.assertFalse(poisonous(self.lost(("a", "c", 0), ("b", "c", 100)), ()))
        self.assertTrue(poisonous(self.lost(("a", "c", 0), ("b", "c", 100), ("d", "c", 200)), ()))
        self.assertFalse(poisonous(self.lost(("a", "c", 0), ("a", "c", 100), ("b", "c", 200)), ()))

    def test_in_quick_succession(self) -> None:
        """The job's own victims do not excuse it, however close together they fall."""
        trouble = self.lost(("a", "c", 0), ("b", "c", 20), ("d", "c", 40))
        self.assertTrue(poisonous(trouble, [("a", 0), ("b", 20), ("d", 40)]))

    def test_a_new_cursor(self) -> None:
        """Starts the count again."""
        self.assertFalse(poisonous(self.lost(("a", "c", 0), ("b", "c", 100), ("d", "e", 200)), ()))

    def test_other_explanations(self) -> None:
        """A loss near to another one, or to a node's start or stop, does not count."""
        trouble = self.lost(("a", "c", 0), ("b", "c", 100), ("d", "c", 200))
        self.assertFalse(poisonous(trouble, [("e", 200 + APART)]))
        self.assertTrue(poisonous(trouble, [("e", 200 + APART + 1), ("d", 200), ("a", 190)]))

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.just("c"), st.floats(0, 1e9)), max_size=40))
    def test_bounded(self, losses: list[tuple[str, str, float]]) -> None:
        """However often it is lost, little is kept, and that can be stored."""
        trouble = self.lost(*losses)
        self.assertLessEqual(len(trouble.lost), 6)
        self.assertEqual(Trouble.from_json(json.loads(json.dumps(trouble.to_json()))), trouble)
        self.assertEqual(attrs.evolve(trouble), trouble)
