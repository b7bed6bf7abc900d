"""Array literals: PostgreSQL reads back the given values."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import arrays
from tests.support.store import StoreTestCase

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
_AWKWARD = ["", "NULL", '"', "\\", "{", "}", ",", " a ", "\n", '\\"', "ä\U0001f642", "a'b", "%s"]


class RoundTripTests(StoreTestCase):
    """Round trips through PostgreSQL."""

    def _back(self, made: str, type_: str) -> Any:
        return self.query(f"SELECT %s::{type_}[]", made)[0][0]

    async def test_awkward_texts(self) -> None:
        """Quotes, braces, commas, backslashes, blanks and the word NULL are ordinary text."""
        self.assertEqual(self._back(arrays.of_texts(_AWKWARD), "text"), _AWKWARD)
        for each in _AWKWARD:
            self.assertEqual(self._back(arrays.of_texts([each]), "text"), [each])

    async def test_any_texts(self) -> None:
        """Arbitrary texts, some of them missing."""

        @settings(max_examples=100, database=None)
        @given(st.lists(st.none() | _TEXT, max_size=6))
        def holds(values: list[str | None]) -> None:
            self.assertEqual(self._back(arrays.of_optional_texts(values), "text"), values)

        holds()

    async def test_other_types(self) -> None:
        """Integers and booleans; empty lists of each type."""
        self.assertEqual(self._back(arrays.of_integers([3, -1, 0]), "integer"), [3, -1, 0])
        self.assertEqual(self._back(arrays.of_booleans([True, False]), "boolean"), [True, False])
        empty: list[tuple[Callable[[Any], str], str]] = [
            (arrays.of_texts, "text"),
            (arrays.of_optional_texts, "text"),
            (arrays.of_integers, "integer"),
            (arrays.of_booleans, "boolean"),
        ]
        for make, type_ in empty:
            self.assertEqual(self._back(make([]), type_), [])


class RefusalTests(SynchronousTestCase):
    """Text that PostgreSQL refuses."""

    def test_zero(self) -> None:
        """U+0000 is refused, and never taken for a separator."""
        for values in (["a\0b"], ["a", "\0"], ["\0"]):
            with self.assertRaises(ValueError):
                arrays.of_texts(values)
            with self.assertRaises(ValueError):
                arrays.of_optional_texts([None, *values])
