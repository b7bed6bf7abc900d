"""Cutting objects and lists, held against the parser of the standard library."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire import cutting
from copilot_socket.wire.cutting import NotJson, elements, fields

_texts = st.text(alphabet=st.sampled_from('a{}[]"\\ \n,:é\x7f'), max_size=6)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r : ")])
_strides = st.sampled_from([(2048, 32768), (1, 3), (4, 2), (9, 8)])
_soup = st.lists(st.sampled_from(["{", "}", "[", "]", ",", ":", '"', "\\", " ", "1", "x", '"a":', "{}", "null"])).map(
    "".join
)


def depth(value: Any) -> int:
    """Levels of objects and lists."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


def parts(text: bytes) -> list[tuple[Any, Any, int]]:
    """Name, value and levels of each part of the object or list that *text* is."""
    cut = fields if text[:1] == b"{" else elements
    return [
        (json.loads(part[0]) if part[0] else None, json.loads(text[part[1] : part[2]]), part[3])
        for part in cut(text, 0, len(text))
        if part is not None
    ]


class CutTests(SynchronousTestCase):
    """fields() and elements()."""

    def stride(self, near: int, stride: int) -> None:
        """Set the bytes searched bracket by bracket, and those of each further step."""
        self.patch(cutting, "_NEAR", near)
        self.patch(cutting, "_STRIDE", stride)

    @given(
        st.lists(_values, max_size=4) | st.dictionaries(_texts, _values, max_size=4),
        *(_separators, st.booleans(), _strides),
    )
    @settings(max_examples=300)
    def test_any_value(self, value: Any, separators: tuple[str, str], ascii_: bool, strides: tuple[int, int]) -> None:
        """The parts are those of the parsed value, whatever is in them and between them."""
        self.stride(*strides)
        text = json.dumps(value, separators=separators, ensure_ascii=ascii_).encode()
        names = list(value) if isinstance(value, dict) else [None] * len(value)
        inside = list(value.values()) if isinstance(value, dict) else value
        expected = list(zip(names, inside, map(depth, inside), strict=True))
        self.assertEqual(parts(text), expected)

    @given(_soup, _soup, _strides)
    @example("", '"\\', (1, 3))
    @example('"a":"', "\\", (1, 3))
    @settings(max_examples=300)
    def test_soup(self, before: str, behind: str, strides: tuple[int, int]) -> None:
        """What can't be cut is no JSON, and all that is JSON can be cut."""
        self.stride(*strides)
        for text in (f"{{{before}{behind}}}", f"[{before}{behind}]", f'{{"a":{before}}}', f"[1,{before}]"):
            try:
                parts(text.encode())
            except (NotJson, json.JSONDecodeError):
                self.assertRaises(ValueError, json.loads, text)

    def test_no_json(self) -> None:
        """What is wrong between parts, and in scalars and strings, is found."""
        for text in (
            *(
                b"{",
                b"[1",
                b"[1}",
                b"[[1]}",
                b'{"a":{}]',
                b"[}",
                b"{]",
                b"{}}",
                b"[]]",
                b"[1,]",
                b"[,1]",
                b"[1 2]",
                b"[1]]",
                b'{"a":1,}',
                b'{"a"}',
                b'{"a" 1}',
            ),
            *(
                b"{a:1}",
                b"{1:1}",
                b'["a]',
                b'["\n"]',
                b'["\\"]',
                b"[tru]",
                b"[01]",
                b"[1.]",
                b"[+1]",
                b"[NaN]",
                b"[-]",
            ),
            *(b"[1e]", b"[\\]", b'[{"a":"]', b"[[[[]]]", b"[[" + b"x" * 5000, b'[["\\' + b"x" * 5000 + b"]"),
        ):
            cut = fields if text[:1] == b"{" else elements
            self.assertRaises(NotJson, list, cut(text, 0, len(text)))

    def test_within_more_text(self) -> None:
        """Only the bytes of the object are looked at."""
        text = b'[{"a":[1,{}]},{"b":2}]'
        self.assertEqual([part for part in fields(text, 1, 13) if part], [(b'"a"', 6, 12, 2)])
        self.assertRaises(NotJson, list, fields(text, 1, 14))


class StepTests(SynchronousTestCase):
    """How much is done in one step."""

    def test_pauses(self) -> None:
        """There is a pause in each stretch of what is passed over, whatever is in it."""
        for inner in (b"[],", b'{"":1},', b"[" * 60 + b"]" * 60 + b",", b'"x",', b'"\\\\\\"[",', b"1,"):
            list_ = b"[" + inner * (1_000_000 // len(inner)) + b"1]"
            for text in (b"[" + list_ + b"]", b"[" + b"[" * 200_000 + list_ + b"]" * 200_001):
                pauses = sum(part is None for part in elements(text, 0, len(text)))
                self.assertGreaterEqual(pauses, len(text) // cutting._STRIDE - 1, inner)

    def test_very_deep(self) -> None:
        """Depth is counted, however deep, without recursion."""
        text = b'{"a":' + b"[" * 300_000 + b"]" * 300_000 + b',"b":[{}]}'
        self.assertEqual([part[3] for part in fields(text, 0, len(text)) if part], [300_000, 2])
