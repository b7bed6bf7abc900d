"""Framing: bytes in, documents out (docs/protocol.md, "Framing"). No reactor.

Messages are JSON objects one after another, with a newline, other white space or nothing between them, cut into
pieces anywhere. A raw newline always ends a message.

Bytes that parse as one object are one object: what has come is cut in one go at every newline and ``}{``, and the
JSON parser confirms piece by piece. From the first piece on that is no object, the scanner takes over
(:mod:`copilot_socket.wire.scanning`).
"""

from collections import deque
from typing import Any

import orjson

from copilot_socket.wire.items import Document, Item
from copilot_socket.wire.scanning import Scanner
from copilot_socket.wire.screening import suspicious

_NEWLINE, _OPEN = b"\n{"

Found = tuple[bytes, dict[str, Any], bool]
"""The fields of a document."""


class Framer:
    """Takes chunks by :meth:`feed`, gives items by :meth:`next`.

    Holds at most *max_size* bytes of a message that is under way, and the documents of one chunk.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._scanner = Scanner(max_size)
        self.ready: deque[Found] = deque()
        """What was found together and not asked for yet: who deals with all of it may take it here."""
        self._rest = b""
        """The beginning of a message that has no closing brace yet."""
        self._scanning = False
        """Whether the scanner may hold something."""
        self._fresh = False
        """Whether that was never cut."""
        self._work = 0

    @property
    def held(self) -> int:
        """Bytes of messages that are under way."""
        return len(self._rest) + self._scanner.held

    @property
    def work(self) -> int:
        """Bytes looked at, for the test that the cost is linear."""
        return self._work + self._scanner.work

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._scanning:
            self._scanner.feed(data)
            self._fresh = True
        elif not self._rest:
            self._cut(data)
        else:
            text, more = self._rest + data, len(data) >= len(self._rest)
            self._rest = b""
            if more:  # than has been cut before: so the cost stays linear
                self._cut(text)
            else:
                self._scan(text)

    def next(self) -> Item | None:
        """The next item, or None until more bytes come."""
        if self._fresh and not self.ready and self._scanner.between:
            self._fresh = self._scanning = False
            self._cut(self._scanner.take())
        if self.ready:
            return Document(*self.ready.popleft())
        if not self._scanning:
            return None
        item = self._scanner.next()
        self._scanning = item is not None or self._scanner.busy
        return item

    def _cut(self, text: bytes) -> None:
        """Make everything ready that comes before the first piece that is no object."""
        self._work += 3 * len(text)  # screened, cut and parsed
        screened = not suspicious(text)
        pieces = text.replace(b"}{", b"}\n{").split(b"\n")
        parse, found, most = orjson.loads, self.ready.append, self._max_size
        for number, piece in enumerate(pieces):
            if not piece:
                continue
            try:
                value = parse(piece)
            except orjson.JSONDecodeError:
                value = None
            if type(value) is not dict or len(piece) > most:
                self._leave(text, pieces[number:])
                return
            found((piece, value, screened))

    def _leave(self, text: bytes, pieces: list[bytes]) -> None:
        """Leave *pieces*, the last ones of *text*, to the scanner, or the very last one to bytes that come."""
        last = pieces[-1]
        if len(pieces) == 1 and last[0] == _OPEN and b"}" not in last and len(last) <= self._max_size:
            self._rest = last
            return
        begin = len(text)
        for piece in reversed(pieces[1:]):
            begin -= len(piece)
            if text[begin - 1] == _NEWLINE:
                begin -= 1
        self._scan(text[begin - len(pieces[0]) :])

    def _scan(self, text: bytes) -> None:
        self._scanner.feed(text)
        self._scanning = True
