"""What output looks like: where it is shown, how wide that is, and in which colours."""

import shutil
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from copilot_socket.core.printing import printable

COLOURS = {
    "completed": "32",
    "done": "32",
    "valid": "32",
    "failed": "1;31",
    "expired": "1;31",
    "refused": "31",
    "regressed": "1;31",
    "error": "31",
    "cancelled": "35",
    "aborted": "35",
    "running": "36",
    "assigned": "36",
    "paused": "33",
    "waiting_credential": "33",
    "draining": "33",
    "quarantined": "33",
    "waiting": "33",
    "fell silent": "33",
    "throttled": "33",
    "lost": "1;33",
    "held": "1;33",
    "closed": "2",
    "left": "2",
    "ignored": "2",
}
"""The state that a word names → its colour, as parameters of SGR."""
BOLD, DIM = "1", "2"
_ELLIPSIS = "…"


class Styled(str):
    """A line that is safe to be shown as it is: what others wrote is escaped, and colours are not."""

    __slots__ = ()


class Screen(NamedTuple):
    """Where output is shown: *width* and *height* in characters, None unless it is a terminal, and *colours*.

    *wide*: nothing is cut, and times are absolute.
    """

    width: int | None = None
    height: int | None = None
    colours: bool = False
    wide: bool = True
    now: datetime = datetime.min.replace(tzinfo=UTC)

    def paint(self, text: str, colour: str | None) -> str:
        """*text* in a colour, if there are any. It must be safe to be shown."""
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self.colours and text else text

    def state(self, text: str) -> str:
        """*text* in the colour of the state that it names; padding is not coloured."""
        word = text.strip()
        return text.replace(word, self.paint(word, COLOURS.get(word)), 1) if word else text


def screen_on(terminal: bool, environ: Mapping[str, str], *, wide: bool = False) -> Screen:
    """The screen of standard output, which is a *terminal* or not (a file, a pipe).

    Colours are left out where ``NO_COLOR`` is set, or ``TERM`` is dumb.
    """
    now = datetime.now(UTC)
    if not terminal:
        return Screen(now=now)
    size = shutil.get_terminal_size()
    colours = not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    return Screen(size.columns, size.lines, colours, wide, now)


def width_of(text: str) -> int:
    """How many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(each) for each in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, *, front: bool = False) -> str:
    """*text* in at most *width* columns; what is left out, at its end or in *front*, is marked."""
    if width_of(text) <= width:
        return text
    if width < 1:
        return ""
    kept: list[str] = []
    room = width - 1
    for each in reversed(text) if front else text:
        room -= _columns(each)
        if room < 0:
            break
        kept.append(each)
    return _ELLIPSIS + "".join(reversed(kept)) if front else "".join(kept) + _ELLIPSIS


def escaped(text: str) -> Styled:
    """*text* as a line that is safe to be shown."""
    return Styled(printable(text))
