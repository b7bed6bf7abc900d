"""The JSON of a request body, parsed value by value, so that no body blocks the reactor."""

import codecs
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

from copilot_socket.http.messages import Problem

MAX_VALUE = 256 * 1024
"""Characters of one value: the whole document, or an element if it is a list.

A valid job has at most some 72 KiB of compact JSON; escapes or indentation make that up to three times as much.
"""
SLICE_VALUES = 250
SLICE_CHARACTERS = 64 * 1024
"""Values and characters of one slice; then other requests run. A value is parsed in one piece: some 15 ms at most."""

_PIECE = 128 * 1024
_BLANKS = re.compile(r"[ \t\n\r]*")
_LONGEST_TOKEN = 12
"""Characters of an escaped surrogate pair, the longest token but for strings."""


class Document:
    """The values of the JSON in *body*: the elements of a list, else the single value.

    Iterating raises :class:`Problem` 400 or 413. *next_slice* is awaited between two slices.
    """

    def __init__(self, body: bytes, next_slice: Callable[[], Awaitable[object]]) -> None:
        self.is_list = False
        """Valid once iteration has begun."""
        self._body = body
        self._next_slice = next_slice
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decoded = 0
        self._text = ""
        self._at = 0
        self._before = 0
        self._values = 0
        self._characters = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        self.is_list = await self._take("[")
        if not self.is_list:
            yield await self._value("")
        elif not await self._take("]"):
            number = 0
            yield await self._value("/0")
            while await self._take(","):
                number += 1
                yield await self._value(f"/{number}")
            if not await self._take("]"):
                self._refuse("expected ',' or ']'", self._at)
        await self._skip_blanks()
        if self._at < len(self._text):
            self._refuse("extra data", self._at)

    async def _value(self, path: str) -> Any:
        await self._skip_blanks()
        begin = self._at
        try:
            value, self._at = _DECODER.raw_decode(self._text, begin)
        except json.JSONDecodeError as error:
            if self._decoded < len(self._body) and _ran_out(error):
                raise _too_large(path) from None
            self._refuse(error.msg, error.pos)
        except RecursionError:
            self._refuse("nested too deeply", begin)
        except ValueError as error:
            self._refuse(str(error), begin)
        if self._at - begin > MAX_VALUE:
            raise _too_large(path)
        self._values += 1
        self._characters += self._at - begin
        return value

    async def _take(self, character: str) -> bool:
        await self._skip_blanks()
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    async def _skip_blanks(self) -> None:
        """Go to the next token, and decode all of the value that begins there, unless it is too large."""
        while True:
            if self._values >= SLICE_VALUES or self._characters >= SLICE_CHARACTERS:
                self._values = self._characters = 0
                await self._next_slice()
            begin = self._at
            self._at = _BLANKS.match(self._text, begin).end()  # type: ignore[union-attr]
            self._characters += self._at - begin
            if self._decoded == len(self._body) or len(self._text) - self._at > MAX_VALUE:
                return
            self._decode()

    def _decode(self) -> None:
        """Decode one more piece of the body; at least enough for one value of the largest size."""
        missing = max(_PIECE, MAX_VALUE - (len(self._text) - self._at))
        piece = self._body[self._decoded : self._decoded + missing]
        self._decoded += len(piece)
        try:
            decoded = self._decoder.decode(piece, final=self._decoded == len(self._body))
        except UnicodeDecodeError:
            raise Problem(400, "Request body is not UTF-8") from None
        self._before += self._at
        self._text, self._at = self._text[self._at :] + decoded, 0
        self._characters += len(decoded) // 4  # decoding takes a quarter of the time of parsing

    def _refuse(self, why: str, position: int) -> NoReturn:
        raise Problem(400, f"Request body is not valid JSON: {why} at character {self._before + position}")


def _ran_out(error: json.JSONDecodeError) -> bool:
    """Whether the parser failed at the end of the decoded text."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc) - _LONGEST_TOKEN


def _too_large(path: str) -> Problem:
    whose = f"The element at {path}" if path else "Request body"
    return Problem(413, f"{whose} must be at most {MAX_VALUE} characters of JSON")


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return value


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)
