"""Framing: bytes in, documents out (docs/protocol.md, "Framing"). No reactor.

Messages are JSON objects one after another, separated by a newline, other white space or nothing, and split over
reads anywhere. A raw newline always ends a message.

Bytes that parse as one object are one object: a read is split at every newline and ``}{``, and the JSON parser
confirms each piece. From the first piece that it rejects, the scanner (:mod:`copilot_socket.wire.scanning`) takes
over; the next read is split again as soon as the scanner is between two messages.

A read with very many messages is parsed in parts, since parsed messages take many times the memory of their text.
"""

import re
from collections import deque
from itertools import islice, pairwise
from typing import Any

import orjson

from copilot_socket.wire.items import PARSED_WHOLE, Document, Item
from copilot_socket.wire.scanning import Scanner
from copilot_socket.wire.screening import suspicious

_NEWLINE, _OPEN = b"\n{"
_ENDS = b"}", b"\n"
_SHORT = 4096
"""Bytes of an incomplete message up to which it is split again together with the next read."""
_MANY = 1000
"""Most messages that are parsed together."""
_BOUNDARY = re.compile(rb"\n|\}(?=\{)")

Found = tuple[bytes, dict[str, Any], bool]
"""The fields of a :class:`Document`."""


class Framer:
    """Takes chunks by :meth:`feed`, returns items by :meth:`next`.

    Buffers at most *max_size* bytes of an incomplete message, and the documents of one chunk.
    """

    def __init__(self, max_size: int) -> None:
        self._most = min(max_size, PARSED_WHOLE)
        """Bytes up to which a message is parsed here."""
        self._scanner = Scanner(max_size)
        self.ready: deque[Found] = deque()
        """Documents found and not returned yet; the caller may also take them from here."""
        self._unread: deque[bytes] = deque()
        """Chunks not examined yet, behind everything else."""
        self._rest = b""
        """The beginning of a message, split again together with the next read."""
        self._scanning = False
        """Whether the scanner has bytes, or is inside a message."""
        self._fresh = False
        """Whether the scanner holds a read that has not been split."""
        self._work = 0

    @property
    def held(self) -> int:
        """Bytes held that belong to no document yet."""
        return len(self._rest) + self._scanner.held + sum(map(len, self._unread))

    @property
    def work(self) -> int:
        """Bytes examined; the tests use it to show that the cost is linear."""
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
            text, more = self._rest + data, len(data) >= len(self._rest)
            self._rest = b""
            if more:  # than were split in vain, so that the cost stays linear
                self._cut(text)
            else:
                self._scan(text)

    def _cut(self, text: bytes) -> None:
        """Make documents of the pieces of *text* up to the first that is no object; the scanner takes the rest."""
        self._work += 3 * len(text)  # split, screened and parsed
        pieces = text.replace(b"}{", b"}\n{").split(b"\n")
        if len(pieces) > _MANY:
            first, *others = _divided(text)
            self._unread.extendleft(reversed(others))
            self._cut(first)
            return
        rest = b"" if text.endswith(_ENDS) else pieces.pop()
        screened = not (pieces and suspicious(text))
        parse, found, most = orjson.loads, self.ready.append, self._most
        for number, piece in enumerate(pieces):
            if not piece:
                continue
            try:
                value = parse(piece) if len(piece) <= most else None
            except orjson.JSONDecodeError:
                value = None
            if type(value) is not dict:
                self._scan(text[_begin(text, pieces[:number]) :])
                return
            found((piece, value, screened))
        if rest:
            self._wait(rest)

    def _wait(self, rest: bytes) -> None:
        """Keep *rest*, the end of a read, for the next one if it must be the beginning of a message; else scan it."""
        if rest[0] == _OPEN and rest.find(b"}") < 0 and len(rest) <= min(_SHORT, self._most):
            self._rest = rest
        else:
            self._scan(rest)

    def _scan(self, text: bytes) -> None:
        self._scanner.feed(text)
        self._scanning, self._fresh = True, False


def _begin(text: bytes, pieces: list[bytes]) -> int:
    """The position in *text* behind *pieces*, which are its first."""
    begin = 0
    for piece in pieces:
        begin += len(piece)
        if text[begin] == _NEWLINE:
            begin += 1
    return begin


def _divided(text: bytes) -> list[bytes]:
    """*text* in parts of ``_MANY`` / 2 pieces."""
    boundaries = islice(_BOUNDARY.finditer(text), _MANY // 2, None, _MANY // 2)
    ends = [0, *[found.end() for found in boundaries], len(text)]
    return [text[begin:end] for begin, end in pairwise(ends)]
