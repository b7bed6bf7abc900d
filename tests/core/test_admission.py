"""Who is admitted: a table of all combinations."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.acts import REASONS, WIRE
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
            why = admission.refusal(Identity(uid), hello, token)
            self.assertEqual(why and why.reason, reason, (admission, uid, hello, token, why))
            if why is not None and token and token != "wrong":
                self.assertNotIn(token, why.text)
            self.assertIn(reason, {None, *REASONS[WIRE]})

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
