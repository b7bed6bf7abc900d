"""Framing: bytes in, documents out (docs/protocol.md, "Framing"). No reactor.

Messages are JSON objects one after another, with a newline, other white space or nothing between them, cut into
pieces anywhere. A raw newline always ends a message.

Bytes that parse as one object are one object: what has come is cut in one go at every newline and ``}{``, and the
JSON parser confirms piece by piece. The last piece waits for its rest where it can't be over yet: one without a
closing brace, or a long one. From the first other one that is no object, and for a message that is too large to be
parsed in one go, the scanner takes over (:mod:`copilot_socket.wire.scanning`).

Of a read with very many messages a part is parsed at a time: what is parsed takes many times the room of its text.
"""

import re
from collections import deque
from itertools import islice, pairwise
from typing import Any

import orjson

from copilot_socket.wire.items import LARGE, Document, Item
from copilot_socket.wire.levels import BRACES
from copilot_socket.wire.scanning import Scanner
from copilot_socket.wire.screening import suspicious

_NEWLINE, _OPEN = b"\n{"
_LONG = 4096
"""Bytes of a message from which on it is worth it to see whether it goes on."""
_MANY = 1000
"""Messages that are parsed together."""
_BOUNDARY = re.compile(rb"\n|\}(?=\{)")
_MAY_END = re.compile(rb"\}(?![,\]}])")
"""Where an object may be over: what closes one inside it has one of these behind it."""

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
        self._unread: deque[bytes] = deque()
        """What came and has not been looked at."""
        self._rest = bytearray()
        """The beginning of a message, which is not over yet."""
        self._depth = 0
        """How many braces are open there."""
        self._scanning = False
        """Whether the scanner may hold something."""
        self._fresh = False
        """Whether that was never cut."""
        self._work = 0

    @property
    def held(self) -> int:
        """Bytes of messages that are under way."""
        return len(self._rest) + self._scanner.held + sum(map(len, self._unread))

    @property
    def work(self) -> int:
        """Bytes looked at, for the test that the cost is linear."""
        return self._work + self._scanner.work

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._unread:
            self._unread.append(data)
        else:
            self._take(data)

    def next(self) -> Item | None:
        """The next item, or None until more bytes come."""
        while True:
            if self._fresh and not self.ready and self._scanner.between:
                self._fresh = self._scanning = False
                self._cut(self._scanner.take())
            if self.ready:
                return Document(*self.ready.popleft())
            if self._scanning:
                item = self._scanner.next()
                self._scanning = item is not None or self._scanner.busy
                if item is not None:
                    return item
            if not self._unread:
                return None
            self._take(self._unread.popleft())

    def _take(self, data: bytes) -> None:
        if self._scanning:
            self._scanner.feed(data)
            self._fresh = True
        elif not self._rest:
            self._cut(data)
        else:
            more = len(data) >= len(self._rest)
            large = len(self._rest) > LARGE
            self._rest += data
            long = len(self._rest) >= _LONG
            if long and not large and len(self._rest) <= self._max_size and self._goes_on(data):
                return
            text = bytes(self._rest)
            self._rest.clear()
            if not large and (more or long):  # than was cut before, or may be over at last: so the cost stays linear
                self._cut(text)
            else:
                self._scan(text)

    def _cut(self, text: bytes) -> None:
        """Make everything ready that comes before the first piece that is no object."""
        self._work += 3 * len(text)  # screened, cut and parsed
        pieces = text.replace(b"}{", b"}\n{").split(b"\n")
        if len(pieces) > _MANY:
            first, *others = _divided(text)
            self._unread.extendleft(reversed(others))
            self._cut(first)
            return
        screened = not suspicious(text)
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
        if len(pieces) == 1 and last[0] == _OPEN and len(last) <= self._max_size:
            self._depth = 1
            if (b"}" not in last or len(last) >= _LONG) and self._goes_on(last[1:]):
                self._rest += last
                return
        begin = len(text)
        for piece in reversed(pieces[1:]):
            begin -= len(piece)
            if text[begin - 1] == _NEWLINE:
                begin -= 1
        self._scan(text[begin - len(pieces[0]) :])

    def _goes_on(self, more: bytes) -> bool:
        """Whether the message that has come so far, *more* at the last, is not over yet.

        If this is wrong, braces in strings have misled it, and something that begins no message follows.
        """
        may_end = _MAY_END.search(more)
        self._work += 2 * len(more) if may_end is None else may_end.end()
        if may_end is not None or b"\n" in more:
            return False
        ended, begun, _ = BRACES.levels(more)
        if ended >= self._depth:
            return False
        self._depth += begun - ended
        return True

    def _scan(self, text: bytes) -> None:
        self._scanner.feed(text)
        self._scanning = True


def _divided(text: bytes) -> list[bytes]:
    """*text*, which has many pieces, in parts of half as many as are parsed together."""
    boundaries = islice(_BOUNDARY.finditer(text), _MANY // 2, None, _MANY // 2)
    ends = [0, *[found.end() for found in boundaries], len(text)]
    return [text[begin:end] for begin, end in pairwise(ends)]
