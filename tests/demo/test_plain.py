"""How the plain crawler reads."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.demo.plain import BraceCounter


class BraceCounterTests(SynchronousTestCase):
    """Cutting by braces."""

    @given(st.lists(st.integers(1, 9), max_size=12))
    def test_any_cut(self, cuts: list[int]) -> None:
        """Messages come out whole, however they are cut."""
        text = '{"type":"a","data":{"x":[{}]}}\n{"type":"b"}{"type":"c","data":{}}'
        counter = BraceCounter()
        seen = []
        for cut in cuts:
            seen += counter.feed(text[:cut])
            text = text[cut:]
        seen += counter.feed(text)
        self.assertEqual([message["type"] for message in seen], ["a", "b", "c"])

    def test_a_brace_in_a_string_blocks_it(self) -> None:
        """It is as blind as the programs that it stands for: an opening brace in a string stops everything."""
        counter = BraceCounter()
        self.assertEqual(counter.feed('{"type":"a","name":"{"}\n{"type":"b"}'), [])
        self.assertEqual(len(BraceCounter().feed('{"type":"a","name":"\\u007b"}\n{"type":"b"}')), 2)
