"""``error`` replies for messages that are refused, wholly or in part."""

from typing import Any

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Fault, Json, Message, Reference
from copilot_socket.core.replies import Error


def fault_reply(message: Message | Reference, fault: Fault) -> Error:
    """The ``error`` for a part of *message* that is left out."""
    return Error(ErrorCode.INVALID_MESSAGE, fault.message, path=fault.path, ref=message.ref, job_id=message.job_id)


def error_reply(error: ProtocolError) -> Error:
    """The ``error`` for a refused message."""
    return Error(error.code, error.message, path=error.path, ref=error.ref, job_id=error.job_id)


def internal(message: Message | Reference) -> ProtocolError:
    """The error for an exception while handling *message*; only the log has its cause."""
    text = "Internal server error; the server's log has the details"
    return ProtocolError(ErrorCode.INTERNAL, text, ref=message.ref, job_id=message.job_id)


def refusal(value: Json, path: str | None, text: str, code: ErrorCode = ErrorCode.INVALID_MESSAGE) -> ProtocolError:
    """The error that refuses the whole message *value*, with its type and references as far as they are readable."""
    ref = _readable(value.get("id"), 128)
    if ref is None:
        ref = _readable(value.get("timestamp"), 128)
    job_id, type_ = _readable(value.get("jobId"), 255), _readable(value.get("type"), 64)
    return ProtocolError(code, text, path=path, ref=ref, job_id=job_id, message_type=type_)


def _readable(value: Any, most: int) -> str | None:
    """*value* if it is a string that can be sent back."""
    return value if isinstance(value, str) and len(value) <= most and "\0" not in value else None
