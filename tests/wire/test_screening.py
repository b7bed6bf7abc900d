"""What JSON allows and the protocol does not."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.cutting import NotJson
from copilot_socket.wire.screening import (
    MAX_DEPTH,
    MAX_INTEGER,
    forbidden,
    least_size,
    parse,
    parsed_too_deep,
    suspicious,
    too_deep,
)

_texts = st.text(max_size=4) | st.sampled_from(["\x00", "a\x00", "\\u0000", "\ud800", "\udc00x", "0" * 16])
_integers = st.integers() | st.sampled_from(
    [MAX_INTEGER, MAX_INTEGER + 1, -MAX_INTEGER, -MAX_INTEGER - 1, 10**19, 10**20, 10**30]
)
_plain = st.none() | st.booleans() | _integers | _texts


def _objects_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=8
    )
    return st.dictionaries(_texts, values, max_size=4)


_objects = _objects_of(_plain | st.floats(allow_nan=False, allow_infinity=False))
_exact_objects = _objects_of(_plain)
"""Without floats, which may be written in several ways."""


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


def inner_values(value: Any) -> Iterator[Any]:
    """All that is in *value*, names of fields too."""
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for inner in inside:
        yield inner
        yield from inner_values(inner)


def bad_but_for_surrogates(value: Any) -> bool:
    """Whether *value* itself is forbidden, and not for a surrogate."""
    return "\0" in value if isinstance(value, str) else isinstance(value, int) and bad(value)


def read(data: bytes) -> tuple[Any, bool]:
    """*data* parsed as the decoder does it."""
    return parse(data, suspicious(data))


class ForbiddenTests(SynchronousTestCase):
    """forbidden() and suspicious()."""

    @settings(max_examples=300)
    @given(_objects)
    def test_finds_what_is_there(self, value: dict[str, Any]) -> None:
        """It complains if and only if something is forbidden, and every path leads to something that is."""
        parsed, suspect = read(json.dumps(value).encode())
        complaints = list(forbidden(parsed))
        self.assertEqual(bool(complaints), bad(value))
        self.assertTrue(suspect or not complaints)
        for path, _text in complaints:
            self.assertTrue(bad(at(parsed, path)))

    @settings(max_examples=300)
    @given(_objects, st.booleans())
    def test_nothing_slips_by_unsuspected(self, value: dict[str, Any], spaced: bool) -> None:
        """The quick look misses no U+0000 and no integer; lone surrogates the parser refuses by itself."""
        data = json.dumps(value, separators=(", ", ": ") if spaced else (",", ":")).encode()
        if any(map(bad_but_for_surrogates, (value, *inner_values(value)))):
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
        """A bad name is reported at the path of its object."""
        self.assertEqual([path for path, _text in forbidden({"a": {"\x00": 1}})], [("a",)])


class ParseTests(SynchronousTestCase):
    """parse()."""

    @given(_objects, st.booleans())
    def test_nothing_forbidden_is_lost(self, value: dict[str, Any], ascii_: bool) -> None:
        """What json wrote comes back; what is forbidden in it comes as something that is."""
        data = json.dumps(value, ensure_ascii=ascii_).encode("utf-8", "replace" if ascii_ else "surrogatepass")
        if not ascii_ and any("\ud800" <= char <= "\udfff" for char in data.decode("utf-8", "surrogatepass")):
            self.assertRaises(NotJson, read, data)
            return
        parsed, _suspect = read(data)
        self.assertEqual(bad(parsed), bad(value))
        if not bad(value):
            self.assertEqual(parsed, value)

    def test_no_json(self) -> None:
        """NaN, infinities, numbers that are infinite as floats, bytes that are no UTF-8."""
        for data in (b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"-1e999", b'"\xff"', b'"\x00"', b"{", b"",
                     b"9" * 400 + b".5", b'{"a":"\\ud800",}', b'"\\ud800'):  # fmt: skip
            self.assertRaises(NotJson, read, data)

    def test_integers_too_large_for_the_parser(self) -> None:
        """Any number of digits is an integer, if a forbidden one; digits elsewhere are none."""
        many = b"9" * 30
        for data, number in ((many, 1), (b"-" + many, 1), (b"9" * 10_000, 1), (b"[%s,-%s]" % (many, many), 2),
                             (b'["\\\\",%s,"%s"]' % (many, many), 1), (b'["\\"",%s]' % many, 1)):  # fmt: skip
            self.assertEqual(len(list(forbidden(read(data)[0]))), number, data[:40])
        for data in (b'"%s"' % many, b'"\\"%s"' % many, b"0.%s" % many, b"%s.5" % many, b"%se2" % many,
                     b"1e-%s" % many, b"1e-000000000000000000", b"1E+00000000000000000001"):  # fmt: skip
            self.assertEqual(read(data)[0], json.loads(data), data)
            self.assertEqual(list(forbidden(read(data)[0])), [], data)

    def test_surrogates(self) -> None:
        """A pair is a character; a half alone is forbidden, whatever is beside it."""
        for written, lone in ((r"\ud83d\ude00", 0), (r"\ud83d", 1), (r"\ude00", 1), (r"\ude00\ud83d", 2),
                              (r"\ud83d\ud83d\ude00", 1), (r"\ud83d\ude00\ude00", 1), (r"\\ud83d", 0),
                              (r"\\\ud83d", 1), (r"\uD83D\uDE00\uDBFF", 1)):  # fmt: skip
            text = read(b'"%s"' % written.encode())[0]
            self.assertEqual(text.count("\0"), lone, written)
            if not lone:
                self.assertEqual(text, json.loads(f'"{written}"'))


class SizeTests(SynchronousTestCase):
    """least_size()."""

    @given(_exact_objects, st.booleans(), st.integers(0, 3))
    def test_never_too_much(self, value: dict[str, Any], ascii_: bool, spaces: int) -> None:
        """Re-encoded, a value takes at least that size, however it was written."""
        separators = "," + " " * spaces, " " * spaces + ":"
        data = json.dumps(value, ensure_ascii=ascii_, separators=separators).encode("utf-8", "replace")
        if not bad(value):
            self.assertLessEqual(least_size(data), len(orjson.dumps(value)))

    def test_spaces_and_escapes(self) -> None:
        """These are what may be saved; spaces in strings are kept."""
        self.assertEqual(least_size(b'{"a" : [ 1 ,\t2 ], "b c": 3}'), len(b'{"a":[1,2],"b c":3}'))
        self.assertEqual(least_size(rb'"\u0041\/"'), len(b'"A/"'))


class DepthTests(SynchronousTestCase):
    """too_deep()."""

    def nested(self, levels: int, opening: bytes, closing: bytes) -> bytes:
        """An object of *levels* levels."""
        return b'{"b":[[],{}],"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"

    def test_limit(self) -> None:
        """So many levels are allowed, and not one more."""
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"]}":', b"}")):
            for levels, deep in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True), (100_000, True)):
                data = self.nested(levels, opening, closing)
                self.assertEqual(too_deep(data), deep)
                if levels <= MAX_DEPTH + 1:
                    self.assertEqual(parsed_too_deep(data, json.loads(data)), deep)

    def test_wide_is_not_deep(self) -> None:
        """Many brackets side by side, or in strings, are no depth."""
        values: list[dict[str, Any]] = [{"a": [[]] * 2000}, {"a": "[{" * 2000}, {"a": ["]", "["] * 2000}]
        for value in values:
            data = json.dumps(value).encode()
            self.assertFalse(too_deep(data))
            self.assertFalse(parsed_too_deep(data, value))
