"""Tables, documents, times and colours for people."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.style import Screen, cut, screen_on, width_of
from copilot_socket.cli.tables import Column, Kind, details, fitted, shared, table, text
from copilot_socket.cli.times import absolute, between, duration_text, relative

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ID = "01JD0000000000000000000000"
COLUMNS = (
    Column("id", Kind.NAME),
    Column("status", Kind.STATE),
    Column("full_path", Kind.PATH),
    Column("reason"),
    Column("tries", Kind.NUMBER),
    Column("at", Kind.TIME),
)
ROW = {
    "id": ID,
    "status": "failed",
    "full_path": "acme/backend/services/shop",
    "reason": "Cannot store the issue, since it is none",
    "tries": 12345,
    "at": "2026-01-05T10:59:59.523456Z",
}


def on(width: int | None, **more: Any) -> Screen:
    """A terminal of this width without colours."""
    return Screen(width, 24, now=NOW, **{"wide": width is None, **more})


class TableTests(SynchronousTestCase):
    """Rows of columns."""

    def test_piped(self) -> None:
        """Where there is no terminal nothing is cut, and times are absolute; numbers are to the right."""
        heading, row = table(COLUMNS, [ROW], on(None))
        self.assertEqual(row, f"{ID}  failed  {ROW['full_path']}  {ROW['reason']}  12,345  2026-01-05T10:59:59Z")
        self.assertEqual(heading.index("tries") + len("tries"), row.index("12,345") + len("12,345"))
        self.assertEqual(heading.index("reason"), row.index("Cannot"))

    def test_a_terminal(self) -> None:
        """Texts are cut at their end and paths at their beginning; times are relative."""
        _, row = table(COLUMNS, [ROW], on(92))
        self.assertTrue(row.startswith(f"{ID}  failed  …"), row)
        self.assertIn("s/shop  Cannot", row)
        self.assertTrue(row.endswith("…  12,345  60 min ago"), row)
        self.assertEqual(width_of(row), 92)

    def test_a_narrow_terminal(self) -> None:
        """Columns that do not fit are left out from the end, and named; ids are never cut."""
        heading, row, note = table(COLUMNS, [ROW], on(60))
        self.assertEqual(heading.split(), ["id", "status", "full_path"])
        self.assertTrue(row.startswith(f"{ID}  failed  "), row)
        self.assertEqual(note, "(reason, tries, at: --wide)")

    def test_wide(self) -> None:
        """--wide shows on a terminal what a pipe gets."""
        self.assertEqual(table(COLUMNS, [ROW], on(60, wide=True)), table(COLUMNS, [ROW], on(None)))

    def test_what_others_wrote(self) -> None:
        """Control characters are escaped, and wide characters take two columns."""
        evil = {**ROW, "full_path": "a\x1b[31m\nb", "reason": "日本"}
        _, row = table(COLUMNS, [evil], on(None, colours=True))
        self.assertIn(r"a\x1b[31m\nb", row)
        self.assertEqual(re.findall("\x1b[^m]*m", row), ["\x1b[1;31m", "\x1b[0m"])
        lines = table((Column("a"), Column("b")), [{"a": "日本", "b": "x"}, {"a": "abcd", "b": "x"}], on(None))
        self.assertEqual(lines[1:], ["日本  x", "abcd  x"])

    @given(
        st.lists(st.tuples(st.text(max_size=40), st.sampled_from(list(Kind))), min_size=1, max_size=8),
        st.integers(1, 200),
    )
    def test_every_width(self, values: list[tuple[str, Kind]], width: int) -> None:
        """No line is ever wider than the terminal."""
        columns = [Column(f"c{number}", kind) for number, (_, kind) in enumerate(values)]
        row = {column.heading: value for column, (value, _) in zip(columns, values, strict=True)}
        for line in table(columns, [row], on(width)):
            self.assertLessEqual(width_of(line), width)

    def test_names_are_whole(self) -> None:
        """Whatever the width, ids, states and numbers are shown whole or not at all, but for an only column."""
        for width in range(1, 160):
            heading, row, *_ = table(COLUMNS, [ROW], on(width))
            shown = heading.split()
            for name, whole in (("id", ID), ("status", "failed"), ("tries", "12,345"), ("at", "60 min ago")):
                if name in shown and len(shown) > 1:
                    self.assertIn(whole, row, width)

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 200))
    def test_shares(self, wanted: list[int], spare: int) -> None:
        """Nobody gets more than it wants, nothing is left while somebody wants, and no less than an equal share."""
        found = shared(wanted, spare)
        self.assertTrue(all(has <= wants for has, wants in zip(found, wanted, strict=True)))
        self.assertEqual(sum(found), min(sum(wanted), spare))
        for has, wants in zip(found, wanted, strict=True):
            self.assertGreaterEqual(has, min(wants, spare // len(wanted)))

    def test_fitted(self) -> None:
        """What is spare goes to those that want it."""
        columns = (Column("a"), Column("b"))
        self.assertEqual(fitted(columns, [14, 100], 60), [14, 44])
        self.assertEqual(fitted(columns, [100, 100], 10), [10])


class DetailTests(SynchronousTestCase):
    """Documents."""

    def test_lines(self) -> None:
        """No JSON: what is within is indented, lists are separated by commas, and null is left out."""
        document = {
            "id": ID,
            "none": None,
            "cursor": {"page": 7, "flags": [1, 2], "by": {"a": True, "b": None}},
            "steps": [{"n": 1}, {"n": 2}],
            "created_at": "2026-01-05T11:59:30.5Z",
            "text": "two\nlines\x1b",
            "empty": {},
        }
        self.assertEqual(
            list(details(document, on(80))),
            [
                f"id: {ID}", "cursor:", "  page: 7", "  flags: 1, 2", "  by:", "    a: yes", "steps:", "  1:",
                "    n: 1", "  2:", "    n: 2", "created_at: 2026-01-05T11:59:30Z (29 s ago)",
                "text:", "  two", "  lines\\x1b",
            ],
        )  # fmt: skip

    def test_values(self) -> None:
        """Of every kind."""
        for value, shown in ((None, "-"), (True, "yes"), ({"a": 1, "b": "x"}, "a 1, b x"), ([], "-"), ("\n", "\\n")):
            self.assertEqual(text(value), shown)


class TimeTests(SynchronousTestCase):
    """Times and durations."""

    def test_relative(self) -> None:
        """In the largest unit of which there are two; far away as a date."""
        for distance, shown in (
            (timedelta(0), "now"),
            (timedelta(seconds=-90), "90 s ago"),
            (timedelta(minutes=-5), "5 min ago"),
            (timedelta(hours=3), "in 3 h"),
            (timedelta(days=-40), "40 d ago"),
            (timedelta(days=-200), "2025-06-19"),
        ):
            self.assertEqual(relative((NOW + distance).isoformat(), NOW), shown)
        self.assertEqual((relative("x", NOW), absolute("x")), ("x", "x"))

    def test_durations(self) -> None:
        """Two units at most."""
        for seconds, shown in ((0.0123, "12 ms"), (9.87, "9.9 s"), (245, "4 min 5 s"), (7384, "2 h 3 min")):
            self.assertEqual(duration_text(seconds), shown)
        self.assertEqual(between("2026-01-05T10:00:00Z", "2026-01-05T10:00:01.5Z"), "1.5 s")
        self.assertIsNone(between("2026-01-05T10:00:00Z", None))


class ScreenTests(SynchronousTestCase):
    """Where there are colours, and where anything is cut."""

    def test_colours(self) -> None:
        """Only on a terminal, unless NO_COLOR is set or it is dumb."""
        for terminal, environ, colours in (
            (True, {"TERM": "xterm"}, True),
            (False, {"TERM": "xterm"}, False),
            (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
            (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
            (True, {"TERM": "dumb"}, False),
            (True, {}, False),
        ):
            found = screen_on(terminal, environ)
            self.assertEqual((found.colours, found.width is not None, found.wide), (colours, terminal, not terminal))

    @given(st.text(), st.integers(0, 30), st.booleans())
    def test_cut(self, given_text: str, width: int, front: bool) -> None:
        """What is cut fits; what fits is not cut."""
        found = cut(given_text, width, front=front)
        self.assertLessEqual(width_of(found), width)
        if width_of(given_text) <= width:
            self.assertEqual(found, given_text)
