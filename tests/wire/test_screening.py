"""What JSON allows and the protocol does not."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.screening import MAX_DEPTH, MAX_INTEGER, forbidden, parse_exactly, suspicious, too_deep

_texts = st.text(max_size=4) | st.sampled_from(["\x00", "a\x00", "\\u0000", "\ud800", "\udc00x", "0" * 16])
_integers = st.integers() | st.sampled_from(
    [MAX_INTEGER, MAX_INTEGER + 1, -MAX_INTEGER, -MAX_INTEGER - 1, 10**19, 10**20, 10**30]
)
_values = st.recursive(
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_texts, _values, max_size=4)


def bad(value: Any) -> bool:
    """Whether anything in *value* is forbidden, the plain way."""
    if isinstance(value, dict):
        return any(bad(key) or bad(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(map(bad, value))
    if isinstance(value, str):
        return "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int) and abs(value) > 2**53


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """What *path* leads to."""
    for part in path:
        value = value[part]
    return value


class ForbiddenTests(SynchronousTestCase):
    """forbidden() and suspicious()."""

    @settings(deadline=None, max_examples=300)
    @given(_objects)
    def test_finds_what_is_there(self, value: dict[str, Any]) -> None:
        """It complains if and only if something is forbidden, and every path leads to something that is."""
        complaints = list(forbidden(value))
        self.assertEqual(bool(complaints), bad(value))
        for path, _text in complaints:
            self.assertTrue(bad(at(value, path)))

    @settings(deadline=None, max_examples=300)
    @given(_objects, st.booleans())
    def test_nothing_slips_by_unsuspected(self, value: dict[str, Any], spaced: bool) -> None:
        """The quick look misses no U+0000 and no integer; lone surrogates the parser refuses by itself."""
        data = json.dumps(value, separators=(", ", ": ") if spaced else (",", ":")).encode()
        if any("surrogate" not in text for _path, text in forbidden(value)):
            self.assertTrue(suspicious(data))

    def test_many_digits_wherever_they_stand(self) -> None:
        """Sixteen digits are suspicious at any place, and fifteen at none."""
        for before in range(20):
            for after in range(20):
                self.assertTrue(suspicious(b"x" * before + b"9876543210123456" + b"x" * after), (before, after))
                self.assertFalse(suspicious(b"x" * before + b"987654321012345" + b"x" * after), (before, after))

    def test_everyday_messages_are_not_suspected(self) -> None:
        """Numbers of fifteen digits, escapes and NUL's neighbours need no second look."""
        for data in (b'{"a":999999999999999}', b'{"a":"\\u0001\\n"}', b'{"a":1.25,"b":"2026-01-02T03:04:05.678Z"}'):
            self.assertFalse(suspicious(data), data)

    def test_bounds(self) -> None:
        """2**53 is allowed on both sides, and no integer past it."""
        self.assertEqual(list(forbidden({"a": [MAX_INTEGER, -MAX_INTEGER, True, 1e300]})), [])
        paths = [path for path, _text in forbidden({"a": [0, MAX_INTEGER + 1, -MAX_INTEGER - 1]})]
        self.assertEqual(paths, [("a", 1), ("a", 2)])

    def test_names_of_fields(self) -> None:
        """A bad name is told of at its object."""
        self.assertEqual([path for path, _text in forbidden({"a": {"\x00": 1}})], [("a",)])


class ParseTests(SynchronousTestCase):
    """parse_exactly()."""

    @settings(deadline=None)
    @given(_objects)
    def test_integers_stay_whole(self, value: dict[str, Any]) -> None:
        """What json wrote comes back, but that an integer of very many digits may stand for any too large one."""
        data = json.dumps(value).encode()
        parsed = parse_exactly(data)
        self.assertEqual(bad(parsed), bad(value))
        if not bad(value):
            self.assertEqual(parsed, value)

    def test_no_json(self) -> None:
        """NaN, infinities, numbers that are infinite as floats, bytes that are no UTF-8."""
        for data in (b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"-1e999", b'"\xff"', b'"\x00"', b"{", b""):
            self.assertRaises(ValueError, parse_exactly, data)

    def test_very_long_integers(self) -> None:
        """Any number of digits is an integer, if a forbidden one."""
        self.assertEqual(
            len(list(forbidden({"a": parse_exactly(b"9" * 100_000), "b": parse_exactly(b"-" + b"9" * 30)}))), 2
        )


class DepthTests(SynchronousTestCase):
    """too_deep()."""

    def nested(self, levels: int, opening: bytes, closing: bytes) -> bytes:
        """An object of so many levels."""
        return b'{"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"

    def test_limit(self) -> None:
        """So many levels are allowed, and not one more."""
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            for levels, deep in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True)):
                data = self.nested(levels, opening, closing)
                self.assertEqual(too_deep(data, json.loads(data)), deep)

    def test_wide_is_not_deep(self) -> None:
        """Many brackets side by side, or in strings, are no depth."""
        values: list[dict[str, Any]] = [{"a": [[]] * 2000}, {"a": "[{" * 2000}]
        for value in values:
            self.assertFalse(too_deep(json.dumps(value).encode(), value))
