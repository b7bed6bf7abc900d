"""One connection of a crawler: bytes in, messages to the handlers, replies out."""

import secrets
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import ElementFault, Message
from copilot_socket.core.promises import Promise
from copilot_socket.core.replies import Error, Reply
from copilot_socket.telling import ErrorsSent, MessageRefused, Telling
from copilot_socket.wire.codec import encode
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.handled import Handled
from copilot_socket.wire.items import MAX_SKIP, Broken, Document, Overrun, TooLarge
from copilot_socket.wire.outbox import Outbox, Slot
from copilot_socket.wire.stages import Stages
from copilot_socket.wire.validators import Decoder

MAX_BAD_MESSAGES = 20
MAX_OWED = 1000
"""Answers that a connection may be waiting for before it is not read from."""
_FAILED = "Handling {type} on connection {connection} failed"
_BAD = frozenset(
    {
        ErrorCode.INVALID_JSON,
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.MESSAGE_TOO_LARGE,
    }
)


_LATER = (Promise, Deferred)
Owed = tuple[Slot, Message, float]
"""The place of an answer, the message that it answers, and when that was read."""


class Handler(Protocol):
    """What answers messages."""

    def handle(self, link: Any, message: Message) -> Any:
        """The reply, None, or a Promise or Deferred of either; :class:`ProtocolError` for an ``error`` instead."""

    def bad_message(self, link: Any) -> None:
        """Something came that is no valid message."""


class CrawlerProtocol(LineReceiver):
    """A LineReceiver for its pausing; its framing rules are others."""

    log = Logger()

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        reactor: IReactorTime,
        stages: Stages,
        handled: Handled,
        telling: Telling,
        max_size: int,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.crawler: Any = None
        self.capabilities: frozenset[str] = frozenset()
        self.opened_at = reactor.seconds()
        self.awaited_since = 0.0
        self.spoken = False
        self.requests = 0
        self.bad_in_a_row = 0
        self.refused = False
        """Connected past the limit: it is told so and not listened to."""
        self.closed_because: str | None = None
        self._decoder = decoder
        self._handler = handler
        self._stages = stages
        self._handled = handled
        self._telling = telling
        self._framer = Framer(max_size)
        self._max_size = max_size
        self._unsent: list[Reply] = []
        self._outbox = Outbox(self._write)
        self._held_back = False
        self._begun = 0.0
        """When the messages at hand were read."""

    # -- bytes in

    def dataReceived(self, data: bytes) -> None:
        """Take *data*; every message that is complete is dealt with when the others have been read from."""
        self._stages.deal(self._receive, data)

    def _receive(self, data: bytes) -> None:
        if self.refused or not self.connected or self.closed_because is not None:
            return
        try:
            self._framer.feed(data)
            self._deal()
        except Exception:
            self._broken()

    def _deal(self) -> None:
        self._begun = self._handled.begin()
        ready = self._framer.ready
        while not self.paused and self.closed_because is None:
            if ready:
                data, value, screened = ready.popleft()
                self._document(data, value, screened)
            elif (item := self._framer.next()) is None:
                break
            elif isinstance(item, Document):
                self._document(item.data, item.value, item.screened)
            else:
                self._no_document(item)

    def _no_document(self, item: Broken | TooLarge | Overrun) -> None:
        match item:
            case Broken():
                self._bad(ProtocolError(ErrorCode.INVALID_JSON, item.reason))
            case TooLarge():
                text = f"a message may have {self._max_size} bytes; this one has more, and its rest is skipped"
                self._bad(ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text))
            case Overrun():
                self._give_up(f"a message went on past {MAX_SKIP} times the limit")

    def _document(self, data: bytes, value: dict[str, Any] | None, screened: bool) -> None:
        try:
            message = self._decoder.decode(data, value, screened)
        except ProtocolError as error:
            self._bad(error)
            return
        try:
            result = self._handler.handle(self, message)
        except ProtocolError as error:
            self._refuse(error, message.type)
            return
        except Exception:
            self.log.failure(_FAILED, type=message.type, connection=self.id)
            self._refuse(_internal(message), message.type)
            return
        self.bad_in_a_row = 0
        if result is not None or message.faults:
            if isinstance(result, _LATER):
                self._owe(result, message)
                return
            self._outbox.answer(self._replies(message, result))
        self._handled.at_once.append(message.type)

    def _owe(self, result: "Promise | Deferred[Reply | None]", message: Message) -> None:
        """The answer to *message* comes later, and those behind it wait."""
        owed = self._outbox.slot(), message, self._begun
        if isinstance(result, Promise):
            result.listen(self, owed)
        else:
            result.addCallbacks(self.answered, self.failed, callbackArgs=(owed,), errbackArgs=(owed,))
        if self._outbox.waiting >= MAX_OWED and not self._held_back:
            self._held_back = True
            self.pauseProducing()

    # -- replies out

    def answered(self, reply: Reply | None, owed: Owed) -> None:
        """See :class:`copilot_socket.core.promises.Listener`."""
        slot, message, begun = owed
        self._outbox.fill(slot, self._replies(message, reply))
        self._handled.count(message.type, "ok", begun)
        if self._held_back or self.closed_because is not None:
            self._catch_up()

    def _replies(self, message: Message, reply: Reply | None) -> tuple[Reply, ...]:
        """*reply*, if there is one, behind what is to be said of the bad elements of *message*."""
        replies = () if reply is None else (reply,)
        if not message.faults:
            return replies
        self._telling.tell(ErrorsSent(ErrorCode.INVALID_MESSAGE, len(message.faults)))
        return (*map(partial(_fault, message), message.faults), *replies)

    def failed(self, problem: Exception | Failure, owed: Owed) -> None:
        """See :class:`copilot_socket.core.promises.Listener`."""
        slot, message, begun = owed
        error = problem.value if isinstance(problem, Failure) else problem
        if not isinstance(error, ProtocolError):
            failure = problem if isinstance(problem, Failure) else Failure(problem)
            self.log.failure(_FAILED, failure, type=message.type, connection=self.id)
            error = _internal(message)
        self._outbox.fill(slot, (_error(error),))
        self._note(error, message.type)
        self._handled.count(message.type, error.code, begun)
        self._catch_up()

    def _refuse(self, error: ProtocolError, type_: str) -> None:
        if error.code in _BAD:
            self._bad(error, type_)
        else:
            self.bad_in_a_row = 0
            self._answer_with(error, type_)

    def _bad(self, error: ProtocolError, type_: str = "unknown") -> None:
        self._handler.bad_message(self)
        self._answer_with(error, type_)
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= MAX_BAD_MESSAGES:
            self._give_up(f"{MAX_BAD_MESSAGES} bad messages in a row")

    def _answer_with(self, error: ProtocolError, type_: str) -> None:
        self._outbox.answer((_error(error),))
        self._handled.count(type_, error.code, self._begun)
        self._note(error, type_)

    def _note(self, error: ProtocolError, type_: str) -> None:
        crawler = "" if self.crawler is None else self.crawler.crawler_id
        # What is said of a bad message may quote it.
        detail = error.path if error.code in _BAD else error.message
        self._telling.tell(MessageRefused(self.id, crawler, type_, error.code, detail))

    def _catch_up(self) -> None:
        if self.closed_because is not None:
            if not self._outbox.waiting:
                self.close(self.closed_because)
        elif self._held_back and self._outbox.waiting < MAX_OWED // 2:
            self._held_back = False
            self.factory.resume(self)

    def push(self, reply: Reply) -> None:
        """Send *reply* now, ahead of answers that wait for a commit. While any do, others of this turn join it."""
        self._outbox.push(reply)
        if not self._stages.dealing and not self._outbox.waiting:
            self.flush()

    def _write(self, reply: Reply) -> None:
        """What a turn of the reactor brings goes together."""
        if not self._unsent:
            self._stages.send(self.flush)
        self._unsent.append(reply)

    def flush(self) -> None:
        """Send what is to be sent."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            if self.transport is None or not self.connected:
                return
            try:
                self.transport.write(encode(unsent))
            except Exception:
                self._broken()

    # -- life

    @property
    def held_back(self) -> bool:
        """Not read from until it has had more of its answers."""
        return self._held_back

    def connectionMade(self) -> None:
        """Hand the connection to the factory, which knows whether there is room."""
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end has gone, or this one closed."""
        self.connected = 0
        self.factory.closed(self, self.closed_because or reason.getErrorMessage())

    def close(self, reason: str) -> None:
        """End the connection once all that was sent is out."""
        if self.closed_because is None:
            self.closed_because = reason
        self.flush()
        if self.transport is not None:
            self.transport.loseConnection()

    def _broken(self) -> None:
        """Something is wrong here; the crawler comes back, and says again what was not acked."""
        self.log.failure("The server failed on connection {connection}, which is closed", connection=self.id)
        self.close("the server failed")

    def _give_up(self, reason: str) -> None:
        """Read no more, and end the connection once all that is owed is out: it says why."""
        self.closed_because = reason
        self._catch_up()


def _fault(message: Message, fault: ElementFault) -> Error:
    return Error(ErrorCode.INVALID_MESSAGE, fault.message, path=fault.path, ref=message.ref, job_id=message.job_id)


def _error(error: ProtocolError) -> Error:
    return Error(error.code, error.message, path=error.path, ref=error.ref, job_id=error.job_id)


def _internal(message: Message) -> ProtocolError:
    return ProtocolError(
        ErrorCode.INTERNAL,
        "the server failed on this message; its log says more",
        ref=message.ref,
        job_id=message.job_id,
    )
