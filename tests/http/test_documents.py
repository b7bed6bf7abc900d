"""Request bodies as JSON, read value by value."""

import json
from collections.abc import Awaitable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http import documents
from copilot_socket.http.documents import MAX_VALUE, SLICE_CHARACTERS, SLICE_VALUES, Document
from copilot_socket.http.messages import Problem

LARGEST = 16 * 1024 * 1024
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


class Reading:
    """Reads *body*, at most *most* values of it; ``slices`` holds the number of values in each slice."""

    def __init__(self, body: bytes, most: int | None = None) -> None:
        self.values: list[Any] = []
        self.slices: list[int] = []
        self.problem: Problem | None = None
        self._document = Document(body, self._next_slice)
        coroutine = self._read(most)
        try:
            coroutine.send(None)
        except StopIteration:
            self.slices.append(len(self.values) - sum(self.slices))
        else:
            raise AssertionError("it waits for something")

    @property
    def is_list(self) -> bool:
        return self._document.is_list

    async def _read(self, most: int | None) -> None:
        try:
            async for value in self._document:
                self.values.append(value)
                if len(self.values) == most:
                    break
        except Problem as problem:
            self.problem = problem

    def _next_slice(self) -> Awaitable[object]:
        self.slices.append(len(self.values) - sum(self.slices))
        return succeed(None)


class ValueTests(SynchronousTestCase):
    """What is read."""

    @settings(max_examples=200)
    @given(JSON, st.sampled_from((None, 1)), st.booleans(), st.integers(1, 8))
    def test_as_the_whole(self, value: Any, indent: int | None, ascii_only: bool, piece: int) -> None:
        """Value by value, and in pieces of a few bytes, a document is what it is as a whole."""
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            return
        self.patch(documents, "_PIECE", piece)
        self.patch(documents, "MAX_VALUE", len(text))
        reading = Reading(body)
        self.assertIsNone(reading.problem)
        self.assertEqual(reading.is_list, isinstance(value, list))
        self.assertEqual(reading.values, value if isinstance(value, list) else [value])

    @settings(max_examples=300)
    @given(
        st.lists(st.sampled_from(["[", "]", "{", "}", ",", ":", '"a"', "1", " ", "true", "\\u0", "é"]), max_size=8)
    )
    def test_refused_as_the_whole(self, parts: list[str]) -> None:
        """What is not JSON as a whole is refused, and nothing else is."""
        text = "".join(parts)
        try:
            json.loads(text)
            status = None
        except ValueError:
            status = 400
        problem = Reading(text.encode()).problem
        self.assertEqual(problem and problem.status, status)

    def test_not_json(self) -> None:
        """What Python's parser takes and JSON does not have is refused, as well as broken UTF-8."""
        for body in (
            b"", b" ", b"[NaN]", b"[-Infinity]", b'{"a":1e999}', b"\xff", '["é'.encode()[:-1], b"\xef\xbb\xbf{}",
            b"[1,]", b"[1 2]", b"{} {}", b"[1]]", b'"\n"', b'{"a":' + b"9" * 5000 + b"}", b"[" * 100_000,
            b"[" * 2000 + b"]" * 2000,
        ):  # fmt: skip
            problem = Reading(body).problem
            self.assertEqual(problem and problem.status, 400, body[:20])

    def test_where(self) -> None:
        """The error says where in the body, also far behind its beginning."""
        body = b"[" + (b'"' + b"x" * 200_000 + b'", ') * 4 + b"nothing]"
        problem = Reading(body).problem
        assert problem is not None
        self.assertIn(f"at character {body.index(b'nothing')}", problem.detail)

    def test_large_values(self) -> None:
        """A value of the largest size is read, wherever it is; a larger one is refused, and named."""
        fits = b'"' + b"x" * (MAX_VALUE - 2) + b'"'
        self.assertIsNone(Reading(b"[1, " + fits + b" , " + fits + b"]").problem)
        self.assertIsNone(Reading(b"  " + fits).problem)
        for excess in (1, MAX_VALUE, LARGEST - MAX_VALUE - 10):
            larger = b'"' + b"x" * (MAX_VALUE - 2 + excess) + b'"'
            for body, where in ((b"[1, " + larger + b"]", "/1"), (larger, "Request body")):
                problem = Reading(body).problem
                assert problem is not None
                self.assertEqual(problem.status, 413)
                self.assertIn(where, problem.detail)


class SliceTests(SynchronousTestCase):
    """What is read in one turn of the reactor."""

    def test_values(self) -> None:
        """The number of values in a slice is limited, however small they are."""
        for piece in (b"[],", b"1,", b'"",', b"{},", b"[ ] , "):
            reading = Reading(b"[" + piece * 10_000 + b"1]")
            self.assertEqual(len(reading.values), 10_001)
            self.assertEqual(max(reading.slices), SLICE_VALUES)

    def test_characters(self) -> None:
        """The characters of a slice are limited, up to the end of its last value."""
        for length in (100, 1000, SLICE_CHARACTERS - 2, MAX_VALUE - 2):
            value = b'"' + b"x" * length + b'"'
            reading = Reading(b"[" + b",".join([value] * (LARGEST // len(value) // 4)) + b"]")
            self.assertIsNone(reading.problem)
            self.assertLessEqual((max(reading.slices) - 1) * length, SLICE_CHARACTERS)

    def test_blanks(self) -> None:
        """White space is read in slices too."""
        reading = Reading(b"[" + b" " * (LARGEST - 2) + b"]")
        self.assertEqual((reading.values, reading.problem), ([], None))
        self.assertGreaterEqual(len(reading.slices), LARGEST // (MAX_VALUE + SLICE_CHARACTERS))

    def test_rest_is_not_read(self) -> None:
        """Text behind the last requested value is neither parsed nor decoded."""
        reading = Reading(b"[" + b"1," * SLICE_VALUES + b"2" * 2 * MAX_VALUE + b"\xff" * LARGEST, most=SLICE_VALUES)
        self.assertEqual((reading.values, reading.problem), ([1] * SLICE_VALUES, None))
        self.assertLessEqual(len(reading.slices), 2)
