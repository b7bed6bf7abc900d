"""Tables that fit the terminal, and documents as lines of ``name: value``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from copilot_socket.cli.style import BOLD, Screen, Styled, cut, escaped, width_of
from copilot_socket.cli.times import absolute, relative
from copilot_socket.core.printing import printable

_GAP = 2
_NARROW = 12
"""Columns of a terminal that text keeps at least, when it is cut."""
_INDENT = "  "


class Kind(Enum):
    """How the values of a column are shown."""

    TEXT = auto()
    """Cut at its end."""
    PATH = auto()
    """Cut at its beginning: the end tells more."""
    NAME = auto()
    """Never cut, to be copied: ids."""
    STATE = auto()
    """Coloured, not cut."""
    NUMBER = auto()
    """With separators, to the right."""
    TIME = auto()
    """On a terminal how long ago."""


class Column(NamedTuple):
    """A column: its *heading*, which is also the key of its values unless *value* takes them from the row."""

    heading: str
    kind: Kind = Kind.TEXT
    value: Callable[[Any], Any] | None = None

    def cell(self, row: Any, screen: Screen) -> str:
        """What is shown of *row*, escaped."""
        value = row.get(self.heading) if self.value is None else self.value(row)
        if value is None:
            return "-"
        if self.kind is Kind.TIME:
            return printable(str(value)) if not isinstance(value, str) else time(value, screen)
        if self.kind is Kind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:,}"
        return text(value)

    def least(self, natural: int) -> int:
        """How narrow the column may become, if it would be *natural* wide."""
        if self.kind in (Kind.TEXT, Kind.PATH):
            return min(natural, max(_NARROW, len(self.heading)))
        return natural


def time(value: str, screen: Screen) -> str:
    """A time as the screen shows it."""
    return printable(absolute(value) if screen.wide else relative(value, screen.now))


def text(value: Any) -> str:
    """*value* on one line, escaped: a dash for None, ``yes`` and ``no``, lists and objects without brackets."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{text(name)} {text(each)}" for name, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "-"
    return printable(str(value))


def table(columns: Sequence[Column], rows: Sequence[Any], screen: Screen) -> list[Styled]:
    """*rows* below the headings of *columns*, as lines that fit the screen.

    Where they would not, texts are cut, and then columns left out, the last ones first; the last line names these.
    """
    cells = [[column.cell(row, screen) for column in columns] for row in rows]
    natural = [
        max([len(column.heading), *(width_of(row[number]) for row in cells)]) for number, column in enumerate(columns)
    ]
    widths = natural if screen.wide or screen.width is None else fitted(columns, natural, screen.width)
    shown = list(zip(columns, widths, strict=False))
    lines = [_line([(c.heading, w, c) for c, w in shown], lambda each, _: screen.paint(each, BOLD))]
    for row in cells:
        parts = [(each, w, c) for each, (c, w) in zip(row, shown, strict=False)]
        lines.append(_line(parts, lambda each, c: screen.state(each) if c.kind is Kind.STATE else each))
    left_out = [column.heading for column in columns[len(widths) :]]
    if left_out:
        lines.append(Styled(cut(f"({', '.join(left_out)}: --wide)", screen.width or 0)))
    return lines


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """The widths of as many of the first *columns* as fit into *width*, which would be *natural* wide."""
    for number in range(len(columns), 0, -1):
        least = [column.least(natural[index]) for index, column in enumerate(columns[:number])]
        spare = width - sum(least) - _GAP * (number - 1)
        if spare >= 0:
            wanted = [natural[index] - least[index] for index in range(number)]
            return [size + more for size, more in zip(least, shared(wanted, spare), strict=True)]
    return [width]


def shared(wanted: Sequence[int], spare: int) -> list[int]:
    """*spare* characters for those who want some: whoever wants less than an equal share gets all that it wants."""
    given = [0] * len(wanted)
    for place, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        given[index] = min(wanted[index], spare // (len(wanted) - place))
        spare -= given[index]
    return given


def _line(parts: Sequence[tuple[str, int, Column]], paint: Callable[[str, Column], str]) -> Styled:
    shown = []
    for place, (each, width, column) in enumerate(parts):
        fits = cut(each, width, front=column.kind is Kind.PATH)
        padding = " " * (width - width_of(fits))
        if column.kind is Kind.NUMBER:
            shown.append(padding + paint(fits, column))
        else:
            shown.append(paint(fits, column) + ("" if place == len(parts) - 1 else padding))
    return Styled((" " * _GAP).join(shown).rstrip())


def details(document: Mapping[str, Any], screen: Screen, indent: str = "") -> Iterator[Styled]:
    """*document* as lines of ``name: value``; what is in it is indented, and what is null left out."""
    for name, value in document.items():
        if value is None or value in ({}, []):
            continue
        shown = printable(name)
        if isinstance(value, Mapping):
            yield Styled(f"{indent}{shown}:")
            yield from details(value, screen, indent + _INDENT)
        elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
            yield Styled(f"{indent}{shown}:")
            for number, each in enumerate(value, 1):
                yield from details({str(number): each}, screen, indent + _INDENT)
        elif isinstance(value, str) and name.endswith(("_at", "timestamp", "until")):
            yield Styled(f"{indent}{shown}: {when(value, screen)}")
        elif isinstance(value, str) and "\n" in value:
            yield Styled(f"{indent}{shown}:")
            yield from block(value, indent + _INDENT)
        else:
            yield Styled(f"{indent}{shown}: {screen.state(text(value))}")


def when(value: str, screen: Screen) -> str:
    """A time, and on a terminal how long ago it was."""
    exact = printable(absolute(value))
    return exact if screen.width is None else f"{exact} ({printable(relative(value, screen.now))})"


def block(value: str, indent: str = _INDENT) -> Iterator[Styled]:
    """Lines of a longer text, indented."""
    for line in value.expandtabs(4).splitlines():
        yield escaped(f"{indent}{line}".rstrip())
