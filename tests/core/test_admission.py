"""Who is admitted: a table of all combinations."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.admission import Admission
from copilot_socket.core.identity import MAX_SUBJECT, Identity, valid_subject

NOBODY = Admission(("new", "old"))
USERS = Admission((), frozenset({7}))
BOTH = Admission(("new", "old"), frozenset({7}))


class AdmissionTests(SynchronousTestCase):
    """Admission.refusal()."""

    def test_everybody(self) -> None:
        """Without tokens and users whoever comes."""
        for hello in (True, False):
            self.assertIsNone(Admission().refusal(Identity(), hello, None))

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
            why = admission.refusal(Identity(uid), hello, token)
            self.assertEqual(why is None, admitted, (admission, uid, hello, token, why))
            if why is not None and token and token != "wrong":
                self.assertNotIn(token, why)

    def test_remote(self) -> None:
        """A certificate admits, whatever is said; without one, only hello with a token, whoever else is admitted."""
        certified, stranger = Identity(subject="CN=a", address="::1"), Identity(address="::1")
        for admission in (Admission(), NOBODY, USERS, BOTH):
            for hello, token in ((True, None), (True, "wrong"), (False, None)):
                self.assertIsNone(admission.refusal(certified, hello, token))
                self.assertIsNotNone(admission.refusal(stranger, hello, token), (admission, hello))
            self.assertEqual(admission.refusal(stranger, True, "old") is None, bool(admission.tokens))
            self.assertTrue(admission.admits(certified))
            self.assertFalse(admission.admits(stranger))

    def test_owners(self) -> None:
        """Kinds of identities never have the same owner; an unknown local user owns nothing."""
        known = [Identity(7), Identity(subject="CN=uid:7", address="h"), Identity(address="h")]
        self.assertEqual([each.owner for each in known], ["uid:7", "cert:CN=uid:7", "token"])
        self.assertIsNone(Identity().owner)
        said = [each.description for each in known]
        self.assertEqual(said, [None, "from h with the certificate CN=uid:7", "from h"])

    def test_subjects(self) -> None:
        """Empty, unprintable and very long ones are none; the longest one still is."""
        for subject, valid in (("", False), ("CN=a\nb", False), ("CN=\u202e", False), ("CN=é", True)):
            self.assertEqual(valid_subject(subject), valid, subject)
        self.assertEqual([valid_subject("x" * n) for n in (MAX_SUBJECT, MAX_SUBJECT + 1)], [True, False])

    def test_the_tokens_are_not_shown(self) -> None:
        """Not even in a traceback."""
        self.assertNotIn("new", repr(BOTH))
