"""A connection of the server for tests: bytes to messages and replies to bytes, by the real server's code. Pure."""

from collections.abc import Callable
from itertools import count
from typing import Any

from copilot_socket.core.errors import ErrorCode, NotAdmitted, ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Error, Reply
from copilot_socket.testing.crawlers import Crawler
from copilot_socket.testing.rules import Rules
from copilot_socket.wire.beginning import beginning
from copilot_socket.wire.codec import encode
from copilot_socket.wire.errors import error_reply, fault_reply, refusal
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.items import Broken, Document, TooLarge
from copilot_socket.wire.validators import Decoder

MAX_BAD_MESSAGES = 20
_BAD = {ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_TYPE, ErrorCode.MESSAGE_TOO_LARGE}


class Link:
    """One connection. *heard* is called with every valid message, *said* with every reply."""

    _numbers = count(1)

    def __init__(self, rules: Rules, heard: Callable[[Message], None], said: Callable[["Link", Reply], bool]) -> None:
        self.id = f"connection-{next(self._numbers)}"
        self.crawler: Crawler | None = None
        self.capabilities: frozenset[str] = frozenset()
        self.requested = False
        self.leaving = False
        self.output = b""
        self.closing = False
        """Whether the connection is to be closed once the output is sent."""
        self._rules = rules
        self._heard = heard
        self._said = said
        self._framer = Framer(rules.max_message_size)
        self._decoder = Decoder(rules.max_message_size)
        self._bad = 0

    def receive(self, data: bytes) -> None:
        """The crawler has sent *data*."""
        self._framer.feed(data)
        while not self.closing and (item := self._framer.next()) is not None:
            try:
                self._handle(self._message(item))
                self._bad = 0
            except ProtocolError as error:
                self.push(error_reply(error))
                self._bad = self._bad + 1 if error.code in _BAD else 0
                self.closing = isinstance(error, NotAdmitted) or self._bad >= MAX_BAD_MESSAGES

    def push(self, reply: Reply) -> None:
        """Send *reply*, unless the test has it lost."""
        if self._said(self, reply):
            self.output += encode([reply])

    def _message(self, item: Any) -> Message:
        match item:
            case Document():
                message = self._decoder.quick(item.data, item.value, item.screened)
                return self._decode(item.data) if message is None else message
            case Broken():
                raise refusal(beginning(item.beginning), None, item.reason, ErrorCode.INVALID_JSON)
            case TooLarge():
                text = f"too long: at most {self._rules.max_message_size} bytes are allowed"
                raise refusal(beginning(item.beginning), None, text, ErrorCode.MESSAGE_TOO_LARGE)
        self.closing = True
        raise refusal({}, None, "the message is far too long", ErrorCode.MESSAGE_TOO_LARGE)

    def _decode(self, data: bytes) -> Message:
        steps = self._decoder.steps(data)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                message: Message = end.value
                return message

    def _handle(self, message: Message) -> None:
        self._heard(message)
        reply = self._rules.handle(self, message)
        for fault in message.faults:
            self.push(fault_reply(message, fault))
        if reply is not None:
            self.push(reply)


def is_error(reply: Reply) -> bool:
    """Whether *reply* is an ``error``."""
    return isinstance(reply, Error)
