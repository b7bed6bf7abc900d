"""Folding and then applying equals applying one by one."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.folding import Verdict, fold
from copilot_socket.core.reports import (
    Body,
    Completed,
    Failed,
    Incomplete,
    Progressed,
    Refused,
    Report,
    Started,
    job_of,
    try_of,
)
from tests.support import model

_objects = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3)
_bodies: st.SearchStrategy[Body] = st.one_of(
    st.just(Started()),
    st.builds(Progressed, _objects, st.none() | st.binary(max_size=3)),
    st.builds(Completed, _objects),
    st.builds(Refused, st.text(max_size=3), st.just("message_too_large"), st.booleans()),
    st.builds(Failed, st.text(max_size=3), st.none(), st.booleans(), _objects, st.none() | st.binary(max_size=3)),
)


def _reports(bodies: list[Body]) -> list[Report]:
    return [Report("J.1.x", "crawler", body) for body in bodies]


class FoldingTests(SynchronousTestCase):
    """fold()."""

    @given(st.lists(_bodies, min_size=1, max_size=12))
    def test_equals_one_by_one(self, bodies: list[Body]) -> None:
        """Folded or applied one by one, state and verdicts are the same."""
        one_by_one, verdicts = model.Model(), []
        for body in bodies:
            one_by_one, verdict = model.report(one_by_one, body)
            verdicts.append(verdict)
        folded = fold(_reports(bodies))
        self.assertEqual(model.change(model.Model(), folded.change), one_by_one)
        self.assertEqual(folded.verdicts(Verdict.STORED), verdicts)

    @given(st.lists(_bodies, min_size=2, max_size=12), st.data())
    def test_batches_may_be_cut_anywhere(self, bodies: list[Body], data: st.DataObject) -> None:
        """Two batches, if the first ends nothing, make the same state as one."""
        cut = data.draw(st.integers(1, len(bodies) - 1))
        first, second = fold(_reports(bodies[:cut])).change, fold(_reports(bodies[cut:])).change
        whole = fold(_reports(bodies)).change
        state = model.change(model.Model(), first)
        if first.ending is None:
            state = model.change(state, second)
        self.assertEqual(state, model.change(model.Model(), whole))

    def test_an_ending_repeated(self) -> None:
        """If an ending is repeated, it alone is acknowledged again; other reports of the batch are not stored."""
        folded = fold(_reports([Started(), Progressed({}), Completed({}), Completed({}), Started()]))
        stale, stored = Verdict.STALE, Verdict.STORED
        self.assertEqual(folded.verdicts(Verdict.REPEATED), [stale, stale, stored, stored, stale])

    def test_a_refused_change_refuses_all(self) -> None:
        """Reports behind the ending get the verdict of the change."""
        folded = fold(_reports([Completed({}), Started()]))
        self.assertEqual(folded.verdicts(Verdict.UNKNOWN), [Verdict.UNKNOWN, Verdict.UNKNOWN])


class RefusedTests(SynchronousTestCase):
    """Discoveries that were refused."""

    def test_unknown_to_its_crawler(self) -> None:
        """The completion becomes a failure that names the limit; so does its repetition."""
        reports = [
            Refused("first", "code", True),
            Refused("limit", "code", False),
            Completed({"a": 1}),
            Completed({}),
        ]
        folded = fold(_reports(reports))
        assert isinstance(folded.change.ending, Incomplete)
        self.assertIn("limit", folded.change.ending.error)
        self.assertEqual((folded.change.progress, folded.change.refused), ({"a": 1}, tuple(reports[:2])))
        self.assertEqual(folded.verdicts(Verdict.STORED), [Verdict.STORED] * 4)

    def test_known_to_its_crawler(self) -> None:
        """A crawler that knows of the refusal may complete the job."""
        folded = fold(_reports([Refused("limit", "code", True), Completed({})]))
        self.assertEqual(folded.change.ending, Completed({}))

    def test_behind_the_end(self) -> None:
        """A discovery refused behind the end of an attempt does not change the end."""
        folded = fold(_reports([Completed({}), Refused("limit", "code", False)]))
        self.assertEqual((folded.change.ending, folded.change.refused), (Completed({}), ()))
        self.assertEqual(folded.verdicts(Verdict.STORED), [Verdict.STORED, Verdict.STALE])


class AssignmentIdTests(SynchronousTestCase):
    """The parts of an assignment id."""

    def test_the_parts(self) -> None:
        """Job id and number of the attempt."""
        self.assertEqual((job_of("01ABC.12.f00"), try_of("01ABC.12.f00")), ("01ABC", 12))

    @given(st.text())
    def test_rubbish(self, text: str) -> None:
        """Any text is accepted; the number of an attempt always fits the database's integer."""
        self.assertIsInstance(job_of(text), str)
        self.assertTrue(0 <= try_of(text) < 2**31)
