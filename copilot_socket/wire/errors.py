"""What a crawler is told of a message that something is wrong with."""

from typing import Any

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Fault, Json, Message, Reference
from copilot_socket.core.replies import Error


def of_fault(message: Message | Reference, fault: Fault) -> Error:
    """A part of *message* is left out for *fault*."""
    return Error(ErrorCode.INVALID_MESSAGE, fault.message, path=fault.path, ref=message.ref, job_id=message.job_id)


def of_problem(error: ProtocolError) -> Error:
    """A message is refused."""
    return Error(error.code, error.message, path=error.path, ref=error.ref, job_id=error.job_id)


def internal(message: Message | Reference) -> ProtocolError:
    """The server failed on *message*; why is for its log only."""
    text = "Internal server error; the server's log has the details"
    return ProtocolError(ErrorCode.INTERNAL, text, ref=message.ref, job_id=message.job_id)


def refusal(value: Json, path: str | None, text: str, code: ErrorCode = ErrorCode.INVALID_MESSAGE) -> ProtocolError:
    """Why the message *value* is refused as a whole, with what can be read of its type and references."""
    ref = _readable(value.get("id"), 128)
    if ref is None:
        ref = _readable(value.get("timestamp"), 128)
    job_id, type_ = _readable(value.get("jobId"), 255), _readable(value.get("type"), 64)
    return ProtocolError(code, text, path=path, ref=ref, job_id=job_id, message_type=type_)


def _readable(value: Any, most: int) -> str | None:
    """*value* if it is a string that can be sent back."""
    return value if isinstance(value, str) and len(value) <= most and "\0" not in value else None
