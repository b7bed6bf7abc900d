"""A framer that is obviously right: one byte after another, one state machine, no short cuts."""

from collections.abc import Iterator

OVERRUN = ("overrun", b"")
TOO_LARGE = ("too large", b"")
BROKEN = ("broken", b"")
Told = tuple[str, bytes]


class ReferenceFramer:
    """Tells of each byte what it completes; stops at an overrun, as a connection does."""

    def __init__(self, max_size: int, max_skip: int = 16) -> None:
        self.max_size = max_size
        self.max_skip = max_skip
        self.rubbish = False
        self.over = False
        self._fresh()

    def _fresh(self) -> None:
        self.object = b""
        self.depth = 0
        self.string = self.escaped = self.large = False

    def feed(self, data: bytes) -> Iterator[Told]:
        """What *data* completes, each with the byte that completes it."""
        for byte in data:
            if self.over:
                return
            yield from self._inside(bytes([byte])) if self.depth else self._outside(bytes([byte]))

    def _outside(self, byte: bytes) -> Iterator[Told]:
        if byte == b"{":
            self.rubbish = False
            self.object, self.depth = byte, 1
            yield from self._measure(len(self.object))
        elif byte == b"\n":
            self.rubbish = False
        elif byte not in (b" ", b"\t", b"\r") and not self.rubbish:
            self.rubbish = True
            yield BROKEN

    def _inside(self, byte: bytes) -> Iterator[Told]:
        if byte == b"\n":
            if not self.large:
                yield BROKEN
            self._fresh()
            return
        self.object += byte
        yield from self._measure(len(self.object))
        if self.over:
            return
        if self.escaped:
            self.escaped = False
        elif self.string:
            self.escaped = byte == b"\\"
            self.string = byte != b'"'
        elif byte == b'"':
            self.string = True
        elif byte in (b"{", b"}"):
            self.depth += 1 if byte == b"{" else -1
            if self.depth == 0:
                if not self.large:
                    yield "document", self.object
                self._fresh()

    def _measure(self, size: int) -> Iterator[Told]:
        if size == self.max_size + 1:
            self.large = True
            yield TOO_LARGE
        if size == self.max_skip * self.max_size + 1:
            self.over = True
            yield OVERRUN
