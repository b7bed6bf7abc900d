"""Folding of batches."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Failed, Refused, Report, Started
from copilot_socket.store.writes import ConnectionSeen, Folded

SEEN = ConnectionSeen("k", "c1", "c1", True)


class FoldedTests(SynchronousTestCase):
    """Folded."""

    def test_verdicts_in_the_order_of_the_operations(self) -> None:
        """Each report has the verdict of its change, in any order; other writes are stored."""
        writes = [
            Report("b", "c1", Started()),
            Report("a", "c2", Completed({})),
            SEEN,
            Report("b", "c1", Completed({})),
            Report("b", "c1", Started()),
        ]
        batch = Folded(writes)
        self.assertEqual([change.assignment for change in batch.changes], ["b", "a"])
        verdicts = batch.verdicts({"b": Verdict.STORED, "a": Verdict.UNKNOWN})
        stored = Verdict.STORED
        self.assertEqual(verdicts, [stored, Verdict.UNKNOWN, stored, stored, Verdict.STALE])

    def test_said_after_the_end(self) -> None:
        """Reports after an ending are stale, though all changes are stored."""
        writes = [Report("a", "c1", Completed({})), Report("b", "c1", Started()), Report("a", "c1", Started())]
        verdicts = Folded(writes).verdicts({"a": Verdict.STORED, "b": Verdict.STORED})
        self.assertEqual(verdicts, [Verdict.STORED, Verdict.STORED, Verdict.STALE])
        self.assertEqual(Folded(writes[:2]).verdicts({"a": Verdict.STORED, "b": Verdict.STORED}), verdicts[:2])

    def test_written_again(self) -> None:
        """After an unknown outcome a repeated ending counts as stored."""
        batch = Folded([Report("a", "c1", Started()), Report("a", "c1", Completed({})), Report("a", "c1", Started())])
        stored, stale = Verdict.STORED, Verdict.STALE
        self.assertEqual(batch.verdicts({"a": Verdict.REPEATED}), [stale, stored, stale])
        batch.outcome_unknown = True
        self.assertEqual(batch.verdicts({"a": Verdict.REPEATED}), [stored, stored, stale])

    def test_endings(self) -> None:
        """The assignments whose end each crawler reports, without duplicates."""
        writes = [
            *(Report(name, "c1", Completed({})) for name in ("a", "b", "a")),
            Report("c", "c2", Failed("no", None, True)),
            Report("d", "c3", Started()),
            Report("e", "c4", Completed({})),
        ]
        self.assertEqual(Folded(writes).endings, {"c1": ["a", "b"], "c2": ["c"], "c4": ["e"]})

    def test_ordinary(self) -> None:
        """Batches of starts, progress and completions are ordinary; those with failures or presence are not."""
        started = Report("a", "c1", Started())
        for other, ordinary in (
            (Report("b", "c1", Completed({})), True),
            (Report("b", "c1", Failed("no", None, True)), False),
            (Report("b", "c1", Refused("limit", "code", True)), False),
            (SEEN, False),
        ):
            self.assertEqual(Folded([started, other]).ordinary, ordinary, other)

    def test_what_no_database_takes(self) -> None:
        """Values that can't be encoded raise on folding."""
        self.assertRaises(ValueError, Folded, [Report("a\0", "c1", Started())])
        self.assertRaises(TypeError, Folded, [Report("a", "c1", Completed({"n": object()}))])
