"""Depth by brackets alone, and what of a text is outside of strings."""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.levels import nesting, outside_strings, whole_escapes


def one_by_one(stretch: bytes) -> tuple[int, int, int]:
    """The same as nesting(), bracket by bracket."""
    ended = begun = deepest = 0
    for byte in stretch:
        if byte in b"{[":
            begun += 1
            deepest = max(deepest, begun - ended)
        elif byte in b"}]" and begun:
            begun -= 1
        elif byte in b"}]":
            ended += 1
    return ended, begun, deepest


class LevelTests(SynchronousTestCase):
    """nesting()."""

    def test_examples(self) -> None:
        """What closes comes before what opens, and pairs are neither."""
        for stretch, expected in (
            (b"", (0, 0, 0)),
            (b'"a":[1,2],', (0, 0, 1)),
            (b'{"a":[[1,{"b":2}]]},[', (0, 1, 4)),
            (b'{"a":{}}', (0, 0, 2)),
            (b'1}},{"a":{"b":', (2, 2, 0)),
            (b"}{", (1, 1, 0)),
            (b"}{{", (1, 2, 1)),
            (b"{" * 1000, (0, 1000, 1000)),
            (b"{" * 1000 + b"}" * 1001, (1, 0, 1000)),
        ):
            self.assertEqual(nesting(stretch), expected, stretch)

    @given(st.text(alphabet="{}[]x", max_size=40).map(str.encode))
    def test_as_one_by_one(self, stretch: bytes) -> None:
        """However they are nested."""
        self.assertEqual(nesting(stretch), one_by_one(stretch))


class StringTests(SynchronousTestCase):
    """outside_strings() and whole_escapes()."""

    @given(st.lists(st.text(alphabet='a"\\{}[]\n\0é', max_size=8), max_size=5), st.integers(0, 80))
    @example(['\\"', "\\"], 7)
    def test_cut_anywhere(self, strings: list[str], cut: int) -> None:
        """Wherever a text is cut, both parts together give what is between its strings."""
        text = json.dumps(strings, ensure_ascii=False).encode()
        first = whole_escapes(text[:cut])
        begun = outside_strings(first, in_string=False)
        assert begun is not None
        rest = outside_strings(text[len(first) :], in_string=begun[1])
        assert rest is not None
        between = b"[" + b", ".join([b""] * len(strings)) + b"]"
        self.assertEqual((begun[0] + rest[0], rest[1]), (between, False))
        self.assertGreaterEqual(len(first), len(text[:cut]) - 1)

    def test_no_json(self) -> None:
        """Backslashes outside of strings are none, and nothing is said of such a text."""
        for text in (b'{\\"a":1}', b'{"a":1}\\', b'{"a":\\\\"b"}', b"\0"):
            self.assertIsNone(outside_strings(text, in_string=False), text)
        self.assertEqual(outside_strings(b'a\\"}"{', in_string=True), (b"{", False))
