"""The careful way to the end of a message: one after the other, however its bytes come. No reactor.

The end is guessed (a newline, or ``}{``) and the JSON parser confirms it, unless the object is large. Where the guess
fails, braces and strings are followed, whole stretches at a time where the object can't end in them, and nothing is
guessed again before the end has been passed. So every byte is looked at a bounded number of times, however it comes.
"""

import re

import orjson

from copilot_socket.wire.beginning import KEPT
from copilot_socket.wire.items import LARGE, MAX_SKIP, Broken, Document, Item, Overrun, TooLarge
from copilot_socket.wire.levels import BRACES, outside_strings, whole_escapes

_SPACE = re.compile(rb"[ \t\r\n]*")
_OUTSIDE = re.compile(rb'["{}\n]')
_INSIDE = re.compile(rb'["\\\n]')
_BOUNDARY = re.compile(rb"\}[ \t\r]*\{")
_RESYNC = re.compile(rb"[{\n]")
_BLANK = b" \t\r"
_STRETCH = 4096
"""Bytes that are worth it."""
_QUOTE, _BACKSLASH, _NEWLINE, _OPEN, _CLOSE = b'"\\\n{}'


class Scanner:
    """Takes chunks by :meth:`feed`, gives items by :meth:`next`."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._start = 0
        """Where the message under way begins, or what has not been looked at."""
        self._scanned = 0
        """How far the scanner has come; equal to the start while it has not begun."""
        self._depth = 0
        self._in_string = False
        self._cut = False
        """The object under way was ended by a newline."""
        self._newline = -1
        """The next newline, where it is known; before the start it is out of date."""
        self._looked = 0
        """Up to here there is no other newline."""
        self._misjudged = 0
        """An end that was guessed wrongly; what begins before it is left to the scanner."""
        self._strode = 0
        """Up to here it has been looked at in stretches."""
        self._in_rubbish = False
        self._skipped: int | None = None
        """Bytes of a too large message thrown away so far."""
        self._overrun = False
        """A message that came whole was so large that the connection is given up."""
        self.work = 0
        """Bytes looked at, for the test that the cost is linear."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._start:
            del self._buffer[: self._start]
            self._scanned -= self._start
            self._newline -= self._start
            self._looked = max(0, self._looked - self._start)
            self._misjudged = max(0, self._misjudged - self._start)
            self._strode = max(0, self._strode - self._start)
            self._start = 0
        self._buffer += data

    def take(self) -> bytes:
        """Give back what has not been looked at."""
        data = bytes(memoryview(self._buffer)[self._start :])
        self._empty()
        return data

    @property
    def held(self) -> int:
        """Bytes that nothing has been made of yet."""
        return len(self._buffer) - self._start

    @property
    def busy(self) -> bool:
        """Whether it holds anything, or is in the middle of something."""
        return bool(self._buffer) or self._in_rubbish or self._skipped is not None or self._overrun

    @property
    def between(self) -> bool:
        """Whether what it holds, if anything, is the beginning of a message that it has not looked into."""
        return not self._in_rubbish and self._skipped is None and not self._overrun and self._scanned == self._start

    def next(self) -> Item | None:
        """The next item, or None until more bytes come."""
        if self._overrun:
            self._overrun = False
            return Overrun()
        while True:
            item = self._begin() if self._skipped is None and self._depth == 0 else self._go_on()
            if not isinstance(item, _Nothing):
                return item

    def _begin(self) -> "Item | _Nothing | None":
        """Find the beginning of the next message, and guess its end."""
        if not self._in_rubbish:
            self._start = self._scanned = _SPACE.match(self._buffer, self._start).end()  # type: ignore[union-attr]
        if self._start == len(self._buffer):
            self._empty()
            return None
        if self._in_rubbish or self._buffer[self._start] != _OPEN:
            return self._rubbish()
        return self._guess() or self._go_on()

    def _guess(self) -> Item | None:
        if self._start < self._misjudged:
            return None
        end = self._likely_end()
        data = bytes(self._buffer[self._start : end]).rstrip(_BLANK)
        self.work += len(data)
        if data[-1] == _CLOSE and len(data) <= min(self._max_size, LARGE):
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                pass
            else:
                self._start = self._scanned = end
                return Document(data, value)
        self._misjudged = end
        return None

    def _likely_end(self) -> int:
        """The end of this line or of the buffer, or a brace that another one follows, whichever comes first."""
        newline = self._next_newline()
        end = len(self._buffer) if newline < 0 else newline
        boundary = _BOUNDARY.search(self._buffer, self._start, end)
        if boundary is not None:
            end = boundary.start() + 1
        self.work += end - self._start
        return end

    def _next_newline(self) -> int:
        """Looked for once a stretch of bytes, not once a message."""
        if self._newline < self._start:
            begin = max(self._start, self._looked)
            self._newline = self._buffer.find(b"\n", begin)
            self._looked = len(self._buffer) if self._newline < 0 else self._newline
            self.work += self._looked - begin
        return self._newline

    def _go_on(self) -> "Item | _Nothing | None":
        """Follow braces and strings, and mind the limit."""
        end = self._stride()
        if end is None:
            end = self._scan()
        if self._skipped is not None:
            return self._skip(end)
        if end is None:
            if len(self._buffer) - self._start > self._max_size:
                return self._too_large()
            return None
        begin, cut = self._start, self._cut
        self._finish(end)
        if end - begin > self._max_size:
            self._overrun = end - begin > MAX_SKIP * self._max_size
            return TooLarge(end - begin, self._kept(begin, end))
        if cut:
            return Broken("a newline ended the message before its object was complete", self._kept(begin, end))
        return Document(bytes(self._buffer[begin:end]))

    def _stride(self) -> int | None:
        """Pass over everything up to the next newline if the object does not end there; its end, if that is there."""
        if self._scanned < self._strode or len(self._buffer) - self._scanned < _STRETCH:
            return None
        if self._depth == 0:  # at the brace that begins it
            self._depth, self._scanned = 1, self._scanned + 1
        self._strode = self._line_end()
        stretch = whole_escapes(bytes(memoryview(self._buffer)[self._scanned : self._strode]))
        self.work += len(stretch)
        found = outside_strings(stretch, self._in_string)
        if found is None:  # for the scanner
            return None
        outside, in_string = found
        ended, begun, _ = BRACES.levels(outside)
        if ended < self._depth:
            self._depth += begun - ended
            self._in_string = in_string
            self._scanned += len(stretch)
            return None
        last = stretch.rstrip(_BLANK)
        if in_string or last[-1] != _CLOSE or BRACES.levels(outside.rstrip(_BLANK)[:-1])[0] >= self._depth:
            return None  # it ends before others begin
        self._scanned += len(last)
        return self._scanned

    def _line_end(self) -> int:
        newline = self._buffer.find(b"\n", self._scanned)
        return len(self._buffer) if newline < 0 else newline

    def _scan(self) -> int | None:
        """The end of the object, or the newline that cuts it; None if neither has come yet."""
        buffer, at, size = self._buffer, self._scanned, len(self._buffer)
        before = at
        found: int | None = None
        while found is None:
            match = (_INSIDE if self._in_string else _OUTSIDE).search(buffer, at)
            if match is None:
                at = size
                break
            at, byte = match.end(), buffer[match.start()]
            if byte == _NEWLINE:
                found, self._cut = match.start(), True
            elif byte == _QUOTE:
                self._in_string = not self._in_string
            elif byte == _BACKSLASH:
                if at == size:  # what it escapes has not come yet
                    at -= 1
                    break
                if buffer[at] != _NEWLINE:
                    at += 1
            elif byte == _OPEN:
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    found = at
        self.work += at - before
        self._scanned = at if found is None else found
        return found

    def _finish(self, end: int) -> None:
        self._start = self._scanned = end
        self._depth, self._in_string, self._cut, self._skipped = 0, False, False, None

    def _too_large(self) -> Item:
        """Throw away what has come of it, and what will."""
        begin, size = self._start, len(self._buffer) - self._start
        self._skipped = self._scanned - self._start
        self._start = self._scanned
        return TooLarge(size, self._kept(begin, begin + size))

    def _kept(self, begin: int, end: int) -> bytes:
        return bytes(self._buffer[begin : min(end, begin + KEPT)])

    def _skip(self, end: int | None) -> "Item | _Nothing | None":
        assert self._skipped is not None
        stop = self._scanned if end is None else end
        self._skipped += stop - self._start
        self._start = stop
        unscanned = 0 if end is not None else len(self._buffer) - stop
        if self._skipped + unscanned > MAX_SKIP * self._max_size:
            self._finish(stop)
            return Overrun()
        if end is None:
            return None
        self._finish(stop)
        return _NOTHING

    def _rubbish(self) -> "Item | _Nothing | None":
        """Pass over what begins no object, to the next brace or newline; told once a run."""
        match = _RESYNC.search(self._buffer, self._start)
        end = len(self._buffer) if match is None else match.start()
        self.work += end - self._start
        told, self._in_rubbish = self._in_rubbish, match is None
        self._start = self._scanned = end
        return _NOTHING if told else Broken("expected an object, which begins with a brace")

    def _empty(self) -> None:
        self._buffer.clear()
        self._start = self._scanned = self._looked = self._misjudged = self._strode = 0
        self._newline = -1


class _Nothing:
    """Bytes were consumed and there is nothing to tell of them."""


_NOTHING = _Nothing()
