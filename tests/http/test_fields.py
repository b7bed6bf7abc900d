"""The bounds of single fields."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http.bodies import JOB
from copilot_socket.http.checks import MAX_INTEGER, MAX_LEVELS, MAX_STATE, json_object, short_name, text, timestamp
from copilot_socket.http.fields import pointer, read
from copilot_socket.http.messages import MAX_FAULTS, Faults


def nested(levels: int) -> dict[str, Any]:
    """An object of *levels* levels, lists among them."""
    value: Any = {} if levels % 2 else []
    for level in range(levels - 1, 0, -1):
        value = {"x": value} if level % 2 else [value]
    return {"x": value["x"]} if levels > 1 else {}


class ObjectTests(SynchronousTestCase):
    """A resume state."""

    def refused(self, value: Any) -> str:
        """Why *value* is refused."""
        return str(self.assertRaises(ValueError, json_object, value))

    @given(st.dictionaries(st.text('aé😀"\\/\n'), st.text() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.booleans()))
    def test_compact(self, value: dict[str, Any]) -> None:
        """What is stored is the same object, as compact JSON, or nothing where PostgreSQL would not take it."""
        try:
            stored = json_object(value)
        except ValueError:
            self.assertRegex(json.dumps(value), r"\\u0000|\\ud[89a-f]")
        else:
            self.assertEqual(json.loads(stored), value)

    def test_size(self) -> None:
        """Its limit counts the bytes of compact JSON in UTF-8."""
        for character in ("x", "é"):
            filler = MAX_STATE - len('{"s":""}')
            longest = character * (filler // len(character.encode()))
            self.assertLessEqual(len(json_object({"s": longest})), MAX_STATE)
            self.assertIn(str(MAX_STATE), self.refused({"s": longest + character}))

    def test_exponents(self) -> None:
        """A number with an exponent counts as what PostgreSQL makes of it; digits in a string do not."""
        json_object({"x": [1e300] * (MAX_STATE // 310)})
        for number in (1e300, -1.5e-300):
            self.assertIn("exponents", self.refused({"x": [number] * (MAX_STATE // 290)}))
        json_object({"x": ["9e99"] * 1000})

    def test_levels(self) -> None:
        """It may be nested so deeply, and not one level more; far deeper is refused likewise."""
        json_object(nested(MAX_LEVELS))
        wide = {"x": [nested(MAX_LEVELS - 2)] + [[] for _ in range(200)]}
        json_object(wide)
        for levels in (MAX_LEVELS + 1, 254, 255, 900):
            self.assertIn(f"{MAX_LEVELS} levels", self.refused(nested(levels)))

    def test_integers(self) -> None:
        """Integers that JavaScript would round are refused, of any length; digits in a string are just text."""
        json_object({"a": [MAX_INTEGER, -MAX_INTEGER], "b": "9" * 40, "9" * 40: 1e300})
        for value in (MAX_INTEGER + 1, -MAX_INTEGER - 1, 2**64, 10**400):
            self.assertIn("2^53", self.refused({"a": [{"b": value}]}))

    def test_strings(self) -> None:
        """U+0000 and lone surrogates are refused wherever they stand."""
        for value in ({"a": ["\0"]}, {"\0": 1}, {"a": {"\ud800": 1}}, {"a": "\udfff"}):
            self.assertIn("U+0000", self.refused(value))
        json_object({"a": "\\u0000"})


class FieldTests(SynchronousTestCase):
    """Other fields."""

    def test_times(self) -> None:
        """Times lie between the years 2000 and 2200, in UTC."""
        self.assertEqual(timestamp("2000-01-01T01:00:00+01:00"), "2000-01-01T00:00:00+00:00")
        self.assertEqual(timestamp("2199-12-31T23:59:59Z"), "2199-12-31T23:59:59+00:00")
        for given_time in (
            "1999-12-31T23:59:59Z",
            "2000-01-01T00:30:00+01:00",
            "2200-01-01T00:00:00Z",
            "9999-12-31T23:59:59-10:00",
        ):
            self.assertIn(
                "2200" if given_time[0] != "9" else "", str(self.assertRaises(ValueError, timestamp, given_time))
            )
        for given_time in ("2030-01-01T00:00:00", "soon", 5, None):
            self.assertIn("ISO-8601", str(self.assertRaises(ValueError, timestamp, given_time)))

    def test_bytes(self) -> None:
        """The length of a text is that of its UTF-8."""
        self.assertEqual(text(4)("éé"), "éé")
        for value in ("", "ééa", "x" * 5, "x" * 10_000_000, 7):
            self.assertRaises(ValueError, text(4), value)

    def test_characters(self) -> None:
        """A short name is bounded in characters, as its column is."""
        self.assertEqual(short_name("\U0001f600" * 255), "\U0001f600" * 255)
        for value in ("", "x" * 256, "a\0", "\ud800", 7, None):
            self.assertRaises(ValueError, short_name, value)


class FaultTests(SynchronousTestCase):
    """Very many faults."""

    def test_unknown_fields(self) -> None:
        """Of many unknown fields the first are named, and all are counted."""
        faults = Faults()
        read({f"f{number}": 0 for number in range(20_000)}, JOB, "/7", faults)
        errors = faults.problem().members["errors"]
        self.assertEqual(faults.count, 20_002)  # with the two fields that are required
        self.assertEqual([error["path"] for error in errors[:2]], ["/7/f0", "/7/f1"])
        self.assertEqual((len(errors), errors[-1]["path"]), (MAX_FAULTS + 1, ""))
        self.assertIn(str(20_002 - MAX_FAULTS), errors[-1]["message"])

    def test_no_more_than_there_are(self) -> None:
        """As many faults as are listed draw no further line."""
        faults = Faults()
        for number in range(MAX_FAULTS):
            faults.add(f"/{number}", "is wrong")
        self.assertEqual(len(faults.problem().members["errors"]), MAX_FAULTS)

    def test_long_names(self) -> None:
        """The name of an unknown field is shortened, and can be sent."""
        self.assertEqual(pointer("", "a/b~c\ud800"), "/a~1b~0c?")
        self.assertLess(len(pointer("/1", "/" * 200_000)), 500)
