"""Why a report is not applied."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.folding import Change, Verdict
from copilot_socket.core.refusals import Known, refusal
from copilot_socket.core.reports import Completed, Failed
from copilot_socket.store.ulids import ulids

NOW, AGE = 1_790_000_000.0, 3600.0
ABSENT = Known(live=False, outcome=None, job_exists=False)


def assignment(made: float) -> str:
    """An id in this server's form whose job was created at *made* (seconds since the epoch)."""
    return f"{ulids(round(made * 1000), 1)[0]}.1.0123456789ab"


def verdict(name: str, known: Known = ABSENT, ending: Completed | Failed | None = None) -> Verdict:
    """The verdict on a report on *name*."""
    return refusal(Change(name, "crawler", ending=ending), known, now=NOW, max_job_age=AGE)


class RefusalTests(SynchronousTestCase):
    """refusal()."""

    def test_ended(self) -> None:
        """The report that ended an attempt is acknowledged again; all others on it are stale."""
        completed, failed = Completed({}), Failed("no", None, True)
        for outcome, ending, expected in (
            ("completed", completed, Verdict.REPEATED),
            ("completed", failed, Verdict.STALE),
            ("failed", failed, Verdict.REPEATED),
            ("credential", failed, Verdict.REPEATED),
            ("released", completed, Verdict.STALE),
            ("completed", None, Verdict.STALE),
        ):
            known = Known(live=False, outcome=outcome, job_exists=True)
            self.assertIs(verdict("x", known, ending), expected, (outcome, ending))

    def test_live(self) -> None:
        """A live attempt is another crawler's."""
        self.assertIs(verdict("x", Known(live=True, outcome=None, job_exists=True)), Verdict.UNAUTHORIZED)

    def test_cleaned(self) -> None:
        """An absent job that is older than the age of cleanup may have been deleted; a younger one never was."""
        self.assertIs(verdict(assignment(NOW - AGE - 0.002)), Verdict.STALE)
        self.assertIs(verdict(assignment(NOW - AGE)), Verdict.UNKNOWN)
        self.assertIs(verdict(assignment(NOW - AGE + 60)), Verdict.UNKNOWN)
        self.assertIs(verdict(assignment(NOW + 60)), Verdict.UNKNOWN)

    def test_other_attempts_of_a_job(self) -> None:
        """All attempts of a job that still exists are known, however old it is."""
        known = Known(live=False, outcome=None, job_exists=True)
        self.assertIs(verdict(assignment(NOW - 2 * AGE), known), Verdict.UNKNOWN)

    def test_other_forms(self) -> None:
        """An id that is not in this server's form is unknown."""
        old = ulids(0, 1)[0]
        for name in (
            old,
            f"{old}.1",
            f"{old}.0.0123456789ab",
            f"{old}.01.0123456789ab",
            f"{old}.1.0123456789AB",
            f"{old}.1.0123456789abc",
            f"{old}.1.0123456789ab\n",
            f"{old}.1.0123456789ab.1",
            f"{old.lower()}.1.0123456789ab",
            f"8{old[1:]}.1.0123456789ab",
            f"{old[:-1]}U.1.0123456789ab",
            f"{old}.\u0661.0123456789ab",
        ):
            self.assertIs(verdict(name), Verdict.UNKNOWN, name)

    @given(st.text(), st.booleans())
    def test_rubbish(self, name: str, job_exists: bool) -> None:
        """Any text is accepted."""
        known = Known(live=False, outcome=None, job_exists=job_exists)
        self.assertIn(verdict(name, known), (Verdict.UNKNOWN, Verdict.STALE))

    @given(st.integers(0, 2**48 - 1))
    def test_every_time(self, milliseconds: int) -> None:
        """The time of every ULID is read."""
        name = f"{ulids(milliseconds, 1)[0]}.7.00000000000a"
        expected = Verdict.STALE if milliseconds / 1000 < NOW - AGE else Verdict.UNKNOWN
        self.assertIs(verdict(name), expected)
