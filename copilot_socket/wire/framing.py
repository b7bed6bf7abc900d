"""Framing: bytes in, documents out (docs/protocol.md, "Framing"). No reactor.

Messages are JSON objects one after another, with a newline, other white space or nothing between them, cut into
pieces anywhere. A raw newline always ends a message.

Bytes that parse as one object are one object: what has come is cut in one go at every newline and ``}{``, and the
JSON parser confirms piece by piece. From the first piece on that is no object, the scanner takes over
(:mod:`copilot_socket.wire.scanning`).
"""

from collections import deque

import orjson

from copilot_socket.wire.items import Document, Item
from copilot_socket.wire.scanning import Scanner
from copilot_socket.wire.screening import suspicious

_NEWLINE, _OPEN = b"\n{"


class Framer:
    """Takes chunks by :meth:`feed`, gives items by :meth:`next`.

    Holds at most *max_size* bytes of a message that is under way, and the documents of one chunk.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._scanner = Scanner(max_size)
        self.ready: deque[Document] = deque()
        """Documents that were found together and not asked for yet: who deals with all of them may take them here."""
        self._rest = b""
        """The beginning of a message that has no closing brace yet."""
        self._fresh = False
        """Whether the scanner has been given bytes that were never cut."""
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
        if self._scanner.busy:
            self._scanner.feed(data)
            self._fresh = True
            return
        text, more = self._rest + data, len(data) >= len(self._rest)
        self._rest = b""
        if more:  # than has been cut before: so the cost stays linear
            self._cut(text)
        else:
            self._scanner.feed(text)

    def next(self) -> Item | None:
        """The next item, or None until more bytes come."""
        if not self.ready and self._fresh and self._scanner.between:
            self._fresh = False
            self._cut(self._scanner.take())
        if self.ready:
            return self.ready.popleft()
        return self._scanner.next() if self._scanner.busy else None

    def _cut(self, text: bytes) -> None:
        """Make everything ready that comes before the first piece that is no object."""
        self._work += 3 * len(text)  # screened, cut and parsed
        screened = not suspicious(text)
        pieces = text.replace(b"}{", b"}\n{").split(b"\n")
        for number, piece in enumerate(pieces):
            if not piece:
                continue
            try:
                value = orjson.loads(piece)
            except orjson.JSONDecodeError:
                value = None
            if type(value) is not dict or len(piece) > self._max_size:
                self._leave(text, pieces[number:])
                return
            self.ready.append(Document(piece, value, screened))

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
        self._scanner.feed(text[begin - len(pieces[0]) :])
