"""Who is admitted: a table of all combinations."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.acts import REASONS, WIRE
from copilot_socket.core.admission import Admission

NOBODY = Admission(("new", "old"))
USERS = Admission((), frozenset({7}))
BOTH = Admission(("new", "old"), frozenset({7}))


class AdmissionTests(SynchronousTestCase):
    """Admission.refusal()."""

    def test_everybody(self) -> None:
        """Without tokens and users whoever comes."""
        for hello in (True, False):
            self.assertIsNone(Admission().refusal(None, hello, None))

    def test_table(self) -> None:
        """hello needs a token where there are any, whoever it is; others must be of a listed user."""
        for admission, uid, hello, token, reason in (
            (NOBODY, 7, True, "new", None),
            (NOBODY, None, True, "old", None),
            (NOBODY, 7, True, "ne", "wrong_token"),
            (NOBODY, 7, True, "newer", "wrong_token"),
            (NOBODY, 7, True, "", "wrong_token"),
            (NOBODY, 7, True, "ünï", "wrong_token"),
            (NOBODY, 7, True, "\ud800", "wrong_token"),
            (NOBODY, 7, True, None, "no_token"),
            (NOBODY, 7, False, None, "user"),
            (NOBODY, 0, False, None, "user"),
            (USERS, 7, True, None, None),
            (USERS, 7, True, "whatever", None),
            (USERS, 7, False, None, None),
            (USERS, 8, True, None, "user"),
            (USERS, 0, False, None, "user"),
            (USERS, None, False, None, "user"),
            (BOTH, 8, True, "old", None),
            (BOTH, 7, True, None, "no_token"),
            (BOTH, 7, True, "wrong", "wrong_token"),
            (BOTH, 7, False, None, None),
            (BOTH, 8, False, None, "user"),
        ):
            why = admission.refusal(uid, hello, token)
            self.assertEqual(why and why.reason, reason, (admission, uid, hello, token, why))
            if why is not None and token and token != "wrong":
                self.assertNotIn(token, why.text)
            self.assertIn(reason, {None, *REASONS[WIRE]})

    def test_the_tokens_are_not_shown(self) -> None:
        """Not even in a traceback."""
        self.assertNotIn("new", repr(BOTH))
