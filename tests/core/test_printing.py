"""Foreign text for terminals."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.printing import printable


class PrintingTests(SynchronousTestCase):
    """printable()."""

    def test_examples(self) -> None:
        """Control, bidirectional and invisible characters are escaped; others stay."""
        for text, shown in (
            ("Größe 1\xa0€ 👍", "Größe 1\xa0€ 👍"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\x1b[31m\x9b0m\x07", "\\x1b[31m\\x9b0m\\x07"),
            ("\u202e\u2066\u200f\u2028\ufeff", "\\u202e\\u2066\\u200f\\u2028\\ufeff"),
            ("\ud800\U000e0041", "\\ud800\\U000e0041"),
        ):
            self.assertEqual(printable(text), shown)

    @given(st.text())
    def test_nothing_but_what_shows(self, text: str) -> None:
        """No control, format, line or paragraph separator or surrogate is left in any text."""
        shown = printable(text)
        self.assertFalse({unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Zl", "Zp", "Cs"})
        self.assertEqual(printable(shown), shown)
