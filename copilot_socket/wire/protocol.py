"""One connection of a crawler: bytes in, messages to the handlers, replies out."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import ELEMENTS, Message, Reference
from copilot_socket.core.pending import NotYet, PendingReply
from copilot_socket.core.replies import Reply
from copilot_socket.event_bus import ErrorsSent, EventBus, MessageRefused
from copilot_socket.wire.beginning import beginning
from copilot_socket.wire.errors import internal, of_fault, of_problem, refusal
from copilot_socket.wire.flow import Flow
from copilot_socket.wire.handled import Handled
from copilot_socket.wire.items import MAX_SKIP, Broken, Document, Overrun, TooLarge
from copilot_socket.wire.limits import DEFERRED, FEW_OWED, MAX_OWED, MAX_OWED_IN_ALL, Pause
from copilot_socket.wire.outbox import Owed, Slot
from copilot_socket.wire.turn import TurnBatcher
from copilot_socket.wire.validators import Decoder

MAX_BAD_MESSAGES = 20
AT_ONCE = 500
"""Messages of a connection that are handled before others have their turn."""
BAD_COSTS = 10
"""Messages that a bad one counts for."""
_FAILED = "Handling {type} on connection {connection} failed"
_BAD = frozenset(
    {
        ErrorCode.INVALID_JSON,
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.MESSAGE_TOO_LARGE,
    }
)


_LATER = (PendingReply, Deferred)
Pending = tuple[Slot, Reference, float]
"""The place of a reply, what it refers to, and when that was read."""


class Handler(Protocol):
    """What answers messages."""

    def handle(self, link: Any, message: Message) -> Any:
        """The reply, None, or a PendingReply or Deferred of either.

        Raises :class:`ProtocolError` for an ``error`` instead, :class:`NotYet` for a message that has to wait.
        """

    def refused(self, link: Any, error: ProtocolError) -> None:
        """A discovery was refused as a whole, with *error*, which has been sent. May raise :class:`NotYet`."""

    def lives(self, link: Any) -> None:
        """Something came over *link* that is no valid message, or is still being looked at."""


class CrawlerProtocol(Flow):
    """Handles the messages of its connection and sends their replies, in order."""

    log = Logger()

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        reactor: IReactorTime,
        batcher: TurnBatcher,
        handled: Handled,
        bus: EventBus,
        owed: Owed,
        max_size: int,
    ) -> None:
        super().__init__(batcher, owed, max_size)
        self.crawler: Any = None
        self.capabilities: frozenset[str] = frozenset()
        self.opened_at = reactor.seconds()
        self.awaited_since = 0.0
        self.spoken = False
        self.requests = 0
        self.bad_in_a_row = 0
        self._decoder = decoder
        self._handler = handler
        self._handled = handled
        self._bus = bus
        self._owed = owed
        self._slow: Generator[None, None, Message] | None = None
        """A message that is decoded in more than one turn; meanwhile the connection is not read from."""
        self._waiting: Callable[[], None] | None = None
        """What is to be done first when the connection is read from again: handling a message that had to wait."""
        self._begun = 0.0
        """When the messages at hand were read."""

    # -- bytes in

    def _deal(self) -> None:
        """Handle what was read, until there is a reason to pause. What takes long goes on in later turns."""
        self._begun = self._handled.begin()
        ready, quick, handle = self._framer.ready, self._decoder.quick, self._handler.handle
        left = AT_ONCE
        if self._waiting is not None:
            waiting, self._waiting, self._decoding = self._waiting, None, 0
            waiting()
        value: dict[str, Any] | None
        while not self.pauses and self.closed_because is None:
            if left <= 0:
                if ready or self._framer.held:
                    self._go_on_later(None)
                return
            left -= 1
            if ready:
                data, value, screened = ready.popleft()
            elif (item := self._framer.next()) is None:
                return
            elif isinstance(item, Document):
                data, value, screened = item.data, item.value, item.screened
            else:
                self._no_document(item)
                left -= BAD_COSTS
                continue
            message = quick(data, value, screened)
            if message is not None:
                self._handle(message, handle)
                continue
            left -= BAD_COSTS
            steps = self._decoder.steps(data)
            if not self._decode(steps):
                self._decoding = len(data)
                self._go_on_later(steps)

    def _decode(self, steps: "Generator[None, None, Message]") -> bool:
        """Take the next of *steps*, and handle the message if it was the last. Whether it was."""
        try:
            next(steps)
        except StopIteration as end:
            self._handle(end.value, self._handler.handle)
        except ProtocolError as error:
            self._bad(error)
        else:
            return False
        return True

    def _go_on_later(self, steps: "Generator[None, None, Message] | None") -> None:
        """Take further *steps*, if there are any, and handle what comes behind them, once others had their turn."""
        self._slow = steps
        self.pause(Pause.SLOW)
        self._batcher.slowly(self._go_on)

    def _go_on(self) -> bool:
        """One step of a message that is decoded in several turns; whether there are more."""
        if self.connected and self.closed_because is None and self._slow is not None:
            self._handled.begin()
            self._handler.lives(self)
            try:
                if not self._decode(self._slow):
                    return True
            except Exception:
                self._broken()
        self._slow, self._decoding = None, 0
        self.resume(Pause.SLOW)
        return False

    def _no_document(self, item: Broken | TooLarge | Overrun) -> None:
        match item:
            case Broken():
                self._bad(refusal(beginning(item.beginning), None, item.reason, ErrorCode.INVALID_JSON))
            case TooLarge():
                text = (
                    f"too long: at most {self._max_size} bytes are allowed (SOCKET_MAX_MESSAGE_SIZE), "
                    f"{item.size} or more were sent"
                )
                self._bad(refusal(beginning(item.beginning), None, text, ErrorCode.MESSAGE_TOO_LARGE))
            case Overrun():
                self._give_up(f"a message went on past {MAX_SKIP} times the limit")

    def _handle(self, message: Message, handle: Callable[[Any, Message], Any]) -> None:
        """Answer *message* with what *handle* makes of it."""
        try:
            result = handle(self, message)
        except NotYet as wait:
            self._decoding = message.size
            self._wait(wait.when, partial(self._handle, message, wait.handle))
            return
        except ProtocolError as error:
            self._refuse(error, message.type)
            return
        except Exception:
            self.log.failure(_FAILED, type=message.type, connection=self.id)
            self._refuse(internal(message), message.type)
            return
        self.bad_in_a_row = 0
        if result is not None or message.faults:
            if isinstance(result, _LATER):
                self._owe(result, message)
                return
            self._answer(self._replies(message, result))
        self._handled.at_once.append(message.type)

    def _wait(self, when: Callable[[Callable[[], None]], None], work: Callable[[], None]) -> None:
        """Do *work* once *when* calls back, and handle what comes behind it after that."""
        self._waiting = work
        self.pause(Pause.UNSETTLED)
        when(partial(self.resume, Pause.UNSETTLED))

    def _drop_input(self) -> None:
        self._waiting = None
        super()._drop_input()

    def _owe(self, result: "PendingReply | Deferred[Reply | None]", message: Message) -> None:
        """The reply to *message* comes later, and those behind it wait."""
        weight = 1 + len(message.faults)
        if isinstance(result, PendingReply):
            result.listen(self, (self._outbox.slot(weight), message.reference, self._begun))
        else:
            pending = self._outbox.slot(weight + DEFERRED), message.reference, self._begun
            result.addCallbacks(self.answered, self.failed, callbackArgs=(pending,), errbackArgs=(pending,))
        self._pause_if_owed()

    # -- replies out

    def answered(self, reply: Reply | None, pending: Pending) -> None:
        """See :class:`copilot_socket.core.pending.Listener`."""
        slot, reference, begun = pending
        self._send(self._outbox.fill(slot, self._replies(reference, reply)))
        self._handled.count(reference.type, "ok", begun)
        if self.pauses or self.closed_because is not None:
            self._catch_up()

    def _replies(self, message: Message | Reference, reply: Reply | None) -> tuple[Reply, ...]:
        """*reply*, if there is one, behind what is to be said of the bad elements of *message*."""
        replies = () if reply is None else (reply,)
        if not message.faults:
            return replies
        self._bus.publish(ErrorsSent(ErrorCode.INVALID_MESSAGE, len(message.faults)))
        return (*[of_fault(message, fault) for fault in message.faults], *replies)

    def failed(self, problem: Exception | Failure, pending: Pending) -> None:
        """See :class:`copilot_socket.core.pending.Listener`."""
        slot, reference, begun = pending
        error = problem.value if isinstance(problem, Failure) else problem
        if not isinstance(error, ProtocolError):
            failure = problem if isinstance(problem, Failure) else Failure(problem)
            self.log.failure(_FAILED, failure, type=reference.type, connection=self.id)
            error = internal(reference)
        self._send(self._outbox.fill(slot, (of_problem(error),)))
        self._note(error, reference.type)
        self._handled.count(reference.type, error.code, begun)
        self._catch_up()

    def _refuse(self, error: ProtocolError, type_: str) -> None:
        if error.code in _BAD:
            self._bad(error, type_)
        else:
            self.bad_in_a_row = 0
            self._answer_with(error, type_)

    def _bad(self, error: ProtocolError, type_: str = "unknown") -> None:
        self._handler.lives(self)
        self._answer_with(error, type_)
        self.bad_in_a_row += 1
        if error.message_type in ELEMENTS:
            self._refused(error, self._handler.refused)
        if self.bad_in_a_row >= MAX_BAD_MESSAGES:
            self._give_up(f"{MAX_BAD_MESSAGES} bad messages in a row")

    def _refused(self, error: ProtocolError, handle: Callable[[Any, ProtocolError], None]) -> None:
        """A discovery is refused as a whole, and its sender has been told."""
        try:
            handle(self, error)
        except NotYet as wait:
            self._wait(wait.when, partial(self._refused, error, wait.handle))
        except Exception:
            self.log.failure(_FAILED, type=error.message_type, connection=self.id)

    def _answer_with(self, error: ProtocolError, type_: str) -> None:
        self._answer((of_problem(error),))
        self._handled.count(type_, error.code, self._begun)
        self._note(error, type_)

    def _note(self, error: ProtocolError, type_: str) -> None:
        crawler = "" if self.crawler is None else self.crawler.crawler_id
        # What is said of a bad message may quote it.
        detail = error.path if error.code in _BAD else error.message
        self._bus.publish(MessageRefused(self.id, crawler, type_, error.code, detail))

    def _answer(self, replies: Sequence[Reply]) -> None:
        self._send(self._outbox.answer(replies))
        self._pause_if_owed()

    def _pause_if_owed(self) -> None:
        waiting = self._outbox.waiting
        if waiting >= FEW_OWED and (waiting >= MAX_OWED or self._owed.total >= MAX_OWED_IN_ALL):
            self.pause(Pause.OWED)

    def _catch_up(self) -> None:
        if self.closed_because is not None:
            if not self._outbox.waiting:
                self.close(self.closed_because)
        elif Pause.OWED in self.pauses:
            most = MAX_OWED if self._owed.total < MAX_OWED_IN_ALL else FEW_OWED
            if self._outbox.waiting < most // 2:
                self.resume(Pause.OWED)

    def _give_up(self, reason: str) -> None:
        """Read no more, and end the connection once all that is owed is out: it says why."""
        self.closed_because = reason
        self.pause(Pause.CLOSING)
        self._drop_input()
        self._catch_up()
