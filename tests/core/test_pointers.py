"""JSON pointers."""

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.pointers import reference_token


class PointerTests(SynchronousTestCase):
    """reference_token()."""

    def test_escapes(self) -> None:
        """The tilde is escaped first, or the escape of a slash would be escaped again (RFC 6901, section 3)."""
        self.assertEqual(reference_token("a/b~c~1", 10), "a~1b~0c~01")

    def test_length(self) -> None:
        """The length counts characters of the name, not of its escaped form, so no escape is cut in half."""
        self.assertEqual(reference_token("~/~/", 3), "~0~1~0")
