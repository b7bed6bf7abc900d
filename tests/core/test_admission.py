"""Who is admitted: a table of all combinations."""

from twisted.trial.unittest import SynchronousTestCase

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
        for admission, uid, hello, token, admitted in (
            (NOBODY, 7, True, "new", True),
            (NOBODY, None, True, "old", True),
            (NOBODY, 7, True, "ne", False),
            (NOBODY, 7, True, "newer", False),
            (NOBODY, 7, True, "", False),
            (NOBODY, 7, True, "ünï", False),
            (NOBODY, 7, True, "\ud800", False),
            (NOBODY, 7, True, None, False),
            (NOBODY, 7, False, None, False),
            (NOBODY, 0, False, None, False),
            (USERS, 7, True, None, True),
            (USERS, 7, True, "whatever", True),
            (USERS, 7, False, None, True),
            (USERS, 8, True, None, False),
            (USERS, 0, False, None, False),
            (USERS, None, False, None, False),
            (BOTH, 8, True, "old", True),
            (BOTH, 7, True, None, False),
            (BOTH, 7, True, "wrong", False),
            (BOTH, 7, False, None, True),
            (BOTH, 8, False, None, False),
        ):
            why = admission.refusal(uid, hello, token)
            self.assertEqual(why is None, admitted, (admission, uid, hello, token, why))
            if why is not None and token and token != "wrong":
                self.assertNotIn(token, why)

    def test_the_tokens_are_not_shown(self) -> None:
        """Not even in a traceback."""
        self.assertNotIn("new", repr(BOTH))
