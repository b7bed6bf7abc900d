"""The scanner: finds the end of a message by following its braces and strings. No reactor.

It resumes where it stopped, so each byte is examined a bounded number of times, however the input is split. Regular
expressions skip everything that cannot end the message; Python code runs only for each remaining brace.
"""

import re

from copilot_socket.wire.beginning import KEPT
from copilot_socket.wire.items import MAX_SKIP, Broken, Document, Item, Overrun, TooLarge

# A repetition whose body can fail after its first character must not be possessive: Python 3.11.2 then continues in
# the middle of that body (see cutting.py).
_PLAIN = rb'[^"{}\n]*+'
_STRING = rb'"[^"\\\n]*+(?:\\[^\n]?+[^"\\\n]*+)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_OUTERMOST = re.compile(_PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*")
"""Skips to a brace, a newline, the quote of an incomplete string, or the end of the bytes."""
_SKIPPED = _STRING
for _ in range(4):  # enough levels for the elements of most lists
    _SKIPPED = _STRING + rb"|\{" + _PLAIN + rb"(?:(?:" + _SKIPPED + rb")" + _PLAIN + rb")*\}"
_NESTED = re.compile(_PLAIN + rb"(?:(?:" + _SKIPPED + rb")" + _PLAIN + rb")*")
"""Also skips whole objects of few levels. Not for the first level, whose objects are long."""
_IN_STRING = re.compile(rb'[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*')
"""Skips to the closing quote, a newline, a backslash before a newline or at the end, or the end of the bytes."""
_RESYNC = re.compile(rb"[{\n]")
_QUOTE, _NEWLINE, _OPEN, _CLOSE = b'"\n{}'


class Scanner:
    """Takes chunks by :meth:`feed`, returns items by :meth:`next`."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._start = 0
        """Position in the buffer of the current message, or of the bytes not scanned yet."""
        self._scanned = 0
        """Position in the buffer at which scanning of the current message resumes."""
        self._depth = 0
        """Open braces of the current message; 0 between messages."""
        self._in_string = False
        self._skipped = 0
        """Bytes of the current message discarded because it is too large."""
        self._skipping = False
        self._overrun = False
        """The next item is an Overrun."""
        self.work = 0
        """Bytes scanned, to test that the cost is linear. The expressions visit each byte at most six times."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._start:
            del self._buffer[: self._start]
            self._scanned -= self._start
            self._start = 0
        self._buffer += data

    def take(self) -> bytes:
        """Remove and return the bytes not scanned yet, without leading white space; only :attr:`between` messages."""
        begin = _SPACE.match(self._buffer, self._start).end()  # type: ignore[union-attr]
        data = bytes(memoryview(self._buffer)[begin:])
        self._buffer.clear()
        self._start = 0
        return data

    @property
    def held(self) -> int:
        """Bytes held that belong to no item yet."""
        return len(self._buffer) - self._start

    @property
    def busy(self) -> bool:
        """Whether it holds bytes, or is inside a message or skipped input."""
        return self._start < len(self._buffer) or not self.between

    @property
    def between(self) -> bool:
        """Whether it is between two messages."""
        return not (self._depth or self._skipping or self._overrun)

    def next(self) -> Item | None:
        """The next item, or None until more bytes come."""
        while not self._overrun:
            if not self._depth:
                broken = self._find_message()
                if broken is not None or not self._depth:
                    return broken
            item = self._continue_message()
            if item is not None or self._depth:
                return item
        self._overrun = False
        return Overrun()

    def _find_message(self) -> Broken | None:
        """Find the opening brace of the next message, if it has arrived. Broken for input before it, once a run."""
        if self._skipping:
            self._resync()
        self._start = _SPACE.match(self._buffer, self._start).end()  # type: ignore[union-attr]
        if self._start == len(self._buffer):
            self.take()
            return None
        if self._buffer[self._start] != _OPEN:
            self._resync()
            return Broken("Message must be a JSON object")
        self._depth, self._scanned = 1, self._start + 1
        return None

    def _resync(self) -> None:
        """Skip to the next opening brace or newline."""
        found = _RESYNC.search(self._buffer, self._start)
        end = len(self._buffer) if found is None else found.start()
        self.work += end - self._start
        self._start, self._skipping = end, found is None

    def _continue_message(self) -> Item | None:
        """Scan the current message and enforce the size limit. None if its end has not arrived, or it is skipped."""
        found = self._scan()
        begin, end = self._start, len(self._buffer) if found is None else found
        size = self._skipped + end - begin
        item: Item | None = None
        if size > self._max_size:
            if not self._skipped:
                item = TooLarge(size, self._kept(begin, end))
            self._skipped += self._scanned - begin
            self._start = self._scanned
            self._overrun = size > MAX_SKIP * self._max_size
        elif found is not None and self._depth:
            item = Broken("Newline before the end of the JSON object", self._kept(begin, end))
        elif found is not None:
            item = Document(bytes(self._buffer[begin:end]))
        if found is not None or self._overrun:
            self._start, self._depth, self._in_string, self._skipped = end, 0, False, 0
        return item

    def _scan(self) -> int | None:
        """Position of the end of the object, or of the line if that comes first; None if neither has arrived.

        If it is the end of the line, the depth is not 0.
        """
        buffer, at, size = self._buffer, self._scanned, len(self._buffer)
        depth, in_string = self._depth, self._in_string
        found: int | None = None
        outermost, nested = _OUTERMOST.match, _NESTED.match
        while found is None:
            match = _IN_STRING.match if in_string else nested if depth > 1 else outermost
            at = match(buffer, at).end()  # type: ignore[union-attr]
            if at == size:
                break
            byte = buffer[at]
            at += 1
            if byte == _OPEN:
                depth += 1
            elif byte == _CLOSE:
                depth -= 1
                if not depth:
                    found = at
            elif byte == _QUOTE:
                in_string = not in_string
            elif byte == _NEWLINE:
                found = at - 1
            elif at < size:  # a backslash before a newline
                found = at
            else:  # a backslash whose character has not arrived
                at -= 1
                break
        self.work += at - self._scanned
        self._scanned, self._depth, self._in_string = at, depth, in_string
        return found

    def _kept(self, begin: int, end: int) -> bytes:
        return bytes(self._buffer[begin : min(end, begin + KEPT)])
