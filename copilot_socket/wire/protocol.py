"""One connection of a crawler: bytes in, messages to the handlers, replies out."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.errors import ErrorCode, NotAdmitted, ProtocolError
from copilot_socket.core.messages import ELEMENTS, Message, Reference
from copilot_socket.core.pending import NotYet, PendingReply
from copilot_socket.core.rate import Rate
from copilot_socket.core.replies import Error, Reply
from copilot_socket.event_bus import ErrorsSent, EventBus, MessageRefused
from copilot_socket.wire.beginning import beginning
from copilot_socket.wire.errors import error_reply, fault_reply, internal, refusal
from copilot_socket.wire.flow import Flow
from copilot_socket.wire.handled import HandledCounter
from copilot_socket.wire.items import MAX_SKIP, Broken, Document, Overrun, TooLarge
from copilot_socket.wire.limits import DEFERRED, FEW_OWED, MAX_OWED, MAX_OWED_IN_ALL, RATE_PAUSE, Pause
from copilot_socket.wire.outbox import Owed, Slot
from copilot_socket.wire.turn import TurnBatcher
from copilot_socket.wire.validators import Decoder

MAX_BAD_MESSAGES = 20
MESSAGES_PER_TURN = 500
"""Messages of one connection handled in a turn; then other connections are served first."""
BAD_MESSAGE_COST = 10
"""Number of messages that a bad one counts as."""
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
"""A pending reply's slot, the message's reference, and when the message was read (reactor seconds)."""


class Handler(Protocol):
    """Handles the messages of all connections."""

    def handle(self, link: Any, message: Message) -> Any:
        """The reply, None, or a PendingReply or Deferred of either.

        Raises :class:`ProtocolError` to reply with an ``error``, :class:`NotYet` if the message must wait.
        """

    def refused(self, link: Any, error: ProtocolError) -> None:
        """A discovery was refused as a whole, and *error* was sent. May raise :class:`NotYet`."""

    def lives(self, link: Any) -> None:
        """*link* sent an invalid message, or one that is still being decoded: a sign of life all the same."""


class CrawlerProtocol(Flow):
    """Decodes the messages of one connection, passes them to the handler, and sends the replies in order."""

    log = Logger()

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        reactor: IReactorTime,
        batcher: TurnBatcher,
        handled: HandledCounter,
        bus: EventBus,
        owed: Owed,
        max_size: int,
        max_rate: int,
    ) -> None:
        super().__init__(batcher, owed, max_size)
        self.crawler: Any = None
        self.capabilities: frozenset[str] = frozenset()
        self.opened_at = reactor.seconds()
        self.awaited_since = 0.0
        self.spoken = False
        self.requests = 0
        self.bad_in_a_row = 0
        self._reactor = reactor
        self._rate = Rate(max_rate) if max_rate else None
        self._next_read: IDelayedCall | None = None
        """Set at the first pause because of the rate."""
        self._decoder = decoder
        self._handler = handler
        self._handled = handled
        self._bus = bus
        self._owed = owed
        self._slow: Generator[None, None, Message] | None = None
        """The steps of a message that is decoded over several turns; meanwhile the connection is not read."""
        self._waiting: Callable[[], None] | None = None
        """Handles the message that raised :class:`NotYet`; called first when reading resumes."""
        self._begun = 0.0
        """When the messages of this turn were read, in reactor seconds."""

    # -- bytes in

    def _handle_ready(self) -> None:
        """Handle what was read, until there is a reason to pause. Long work continues in later turns."""
        self._begun = self._handled.begin()
        ready, quick, handle = self._framer.ready, self._decoder.quick, self._handler.handle
        left = MESSAGES_PER_TURN
        if self._waiting is not None:
            waiting, self._waiting, self._decoding = self._waiting, None, 0
            waiting()
        value: dict[str, Any] | None
        rate = self._rate
        while not self.pauses and self.closed_because is None:
            if left <= 0:
                if ready or self._framer.held:
                    self._continue_later(None)
                return
            left -= 1
            if ready:
                data, value, screened = ready.popleft()
            elif (item := self._framer.next()) is None:
                return
            elif isinstance(item, Document):
                data, value, screened = item.data, item.value, item.screened
            else:
                self._refuse_item(item)
                left -= BAD_MESSAGE_COST
                continue
            if rate is not None:
                if wait := rate.wait(self._begun):
                    ready.appendleft((data, value, screened))  # type: ignore[arg-type]
                    self._slow_down(wait)
                    return
                rate.count(self._begun)
            message = quick(data, value, screened)
            if message is not None:
                self._handle(message, handle)
                continue
            left -= BAD_MESSAGE_COST
            steps = self._decoder.steps(data)
            if not self._decode(steps):
                self._decoding = len(data)
                self._continue_later(steps)

    def _slow_down(self, wait: float) -> None:
        """Read on in *wait* seconds or some more; the first time, the client is told why."""
        if self._next_read is None:
            text = "Messages arrive faster than SOCKET_MESSAGE_RATE allows; none is lost, they are read more slowly"
            self.push(Error(ErrorCode.RATE_LIMITED, text))
            self.factory.slowed_down(self)
        self.pause(Pause.RATE)
        self._next_read = self._reactor.callLater(max(wait, RATE_PAUSE), self.resume, Pause.RATE)

    def _decode(self, steps: "Generator[None, None, Message]") -> bool:
        """Run the next of *steps*, and handle the message if it was the last; returns whether it was."""
        try:
            next(steps)
        except StopIteration as end:
            self._handle(end.value, self._handler.handle)
        except ProtocolError as error:
            self._bad(error)
        else:
            return False
        return True

    def _continue_later(self, steps: "Generator[None, None, Message] | None") -> None:
        """Continue with *steps*, if given, and with the messages behind them, in later turns."""
        self._slow = steps
        self.pause(Pause.SLOW)
        self._batcher.slowly(self._continue)

    def _continue(self) -> bool:
        """Run one step of a message that is decoded over several turns; returns whether there are more."""
        if self.connected and self.closed_because is None and self._slow is not None:
            self._handled.begin()
            self._handler.lives(self)
            try:
                if not self._decode(self._slow):
                    return True
            except Exception:
                self._fail_connection()
        self._slow, self._decoding = None, 0
        self.resume(Pause.SLOW)
        return False

    def _refuse_item(self, item: Broken | TooLarge | Overrun) -> None:
        if self._rate is not None:
            self._rate.count(self._begun)
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
                self._give_up(f"message exceeded {MAX_SKIP} times the size limit")

    def _handle(self, message: Message, handle: Callable[[Any, Message], Any]) -> None:
        """Call *handle* with *message*, and answer with its result or error."""
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
                self._await_reply(result, message)
                return
            self._answer(self._replies(message, result))
        self._handled.immediate.append(message.type)

    def _wait(self, when: Callable[[Callable[[], None]], None], work: Callable[[], None]) -> None:
        """Pause until *when* calls back; then call *work* and handle the messages behind it."""
        self._waiting = work
        self.pause(Pause.UNSETTLED)
        when(partial(self.resume, Pause.UNSETTLED))

    def _drop_input(self) -> None:
        self._waiting = None
        if self._next_read is not None and self._next_read.active():
            self._next_read.cancel()
        super()._drop_input()

    def _await_reply(self, result: "PendingReply | Deferred[Reply | None]", message: Message) -> None:
        """Reserve a slot for the pending *result*; replies to later messages wait behind it."""
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
            self._after_reply()

    def _replies(self, message: Message | Reference, reply: Reply | None) -> tuple[Reply, ...]:
        """Errors for the bad elements of *message*, then *reply*, if there is one."""
        replies = () if reply is None else (reply,)
        if not message.faults:
            return replies
        self._bus.publish(ErrorsSent(ErrorCode.INVALID_MESSAGE, len(message.faults)))
        return (*[fault_reply(message, fault) for fault in message.faults], *replies)

    def failed(self, problem: Exception | Failure, pending: Pending) -> None:
        """See :class:`copilot_socket.core.pending.Listener`."""
        slot, reference, begun = pending
        error = problem.value if isinstance(problem, Failure) else problem
        if not isinstance(error, ProtocolError):
            failure = problem if isinstance(problem, Failure) else Failure(problem)
            self.log.failure(_FAILED, failure, type=reference.type, connection=self.id)
            error = internal(reference)
        self._send(self._outbox.fill(slot, (error_reply(error),)))
        self._publish_refusal(error, reference.type)
        self._handled.count(reference.type, error.code, begun)
        self._end_if_refused(error, reference.type)
        self._after_reply()

    def _refuse(self, error: ProtocolError, type_: str) -> None:
        if error.code in _BAD:
            self._bad(error, type_)
        else:
            self.bad_in_a_row = 0
            self._answer_with(error, type_)
            self._end_if_refused(error, type_)

    def _end_if_refused(self, error: ProtocolError, type_: str) -> None:
        """Close the connection of a crawler that is not admitted, or whose ``hello`` failed."""
        if isinstance(error, NotAdmitted) or (error.code is ErrorCode.INTERNAL and type_ == "hello"):
            self.close(f"{type_} refused: {error.message}")

    def _bad(self, error: ProtocolError, type_: str = "unknown") -> None:
        self._handler.lives(self)
        self._answer_with(error, type_)
        self.bad_in_a_row += 1
        if error.message_type in ELEMENTS:
            self._refused(error, self._handler.refused)
        if self.bad_in_a_row >= MAX_BAD_MESSAGES:
            self._give_up(f"{MAX_BAD_MESSAGES} bad messages in a row")

    def _refused(self, error: ProtocolError, handle: Callable[[Any, ProtocolError], None]) -> None:
        """Notify *handle* of a discovery that was refused as a whole."""
        try:
            handle(self, error)
        except NotYet as wait:
            self._wait(wait.when, partial(self._refused, error, wait.handle))
        except Exception:
            self.log.failure(_FAILED, type=error.message_type, connection=self.id)

    def _answer_with(self, error: ProtocolError, type_: str) -> None:
        self._answer((error_reply(error),))
        self._handled.count(type_, error.code, self._begun)
        self._publish_refusal(error, type_)

    def _publish_refusal(self, error: ProtocolError, type_: str) -> None:
        crawler = "" if self.crawler is None else self.crawler.crawler_id
        # The text for a bad message may quote it, secrets included.
        detail = error.path if error.code in _BAD else error.message
        self._bus.publish(MessageRefused(self.id, crawler, type_, error.code, detail))
        if error.code is ErrorCode.UNAUTHORIZED and not isinstance(error, NotAdmitted):
            self.factory.job_of_another(self, type_)

    def _answer(self, replies: Sequence[Reply]) -> None:
        self._send(self._outbox.answer(replies))
        self._pause_if_owed()

    def _pause_if_owed(self) -> None:
        waiting = self._outbox.waiting
        if waiting >= FEW_OWED and (waiting >= MAX_OWED or self._owed.total >= MAX_OWED_IN_ALL):
            self.pause(Pause.OWED)

    def _after_reply(self) -> None:
        if self.closed_because is not None:
            if not self._outbox.waiting:
                self.close(self.closed_because)
        elif Pause.OWED in self.pauses:
            most = MAX_OWED if self._owed.total < MAX_OWED_IN_ALL else FEW_OWED
            if self._outbox.waiting < most // 2:
                self.resume(Pause.OWED)

    def _give_up(self, reason: str) -> None:
        """Stop reading, and close the connection once all pending replies are sent; the last ones give the cause."""
        self.closed_because = reason
        self.pause(Pause.CLOSING)
        self._drop_input()
        self._after_reply()
