"""Cursors of lists."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core import cursor

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


class CursorTests(SynchronousTestCase):
    """There and back."""

    @given(KEYS)
    def test_round_trip(self, key: str) -> None:
        """Any key comes back, and its cursor fits into a URL as it is."""
        made = cursor.encode(key)
        self.assertRegex(made, r"\A[A-Za-z0-9_-]+\Z")
        self.assertEqual(cursor.decode(made), key)

    @given(st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        """Any text is either the cursor of a key that can be stored, or no cursor."""
        try:
            key = cursor.decode(text)
        except ValueError:
            return
        self.assertEqual(cursor.encode(key), text)
        self.assertNotIn("\0", key)

    def test_strays(self) -> None:
        """What the decoder would overlook is no cursor."""
        for text in ("", "AA", "YQ==", "Y Q", "YR", "_w", "Y"):
            self.assertRaises(ValueError, cursor.decode, text)
