"""What a crawler is told of a message that something is wrong with."""

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Fault, Message, Reference
from copilot_socket.core.replies import Error


def of_fault(message: Message | Reference, fault: Fault) -> Error:
    """A part of *message* is left out for *fault*."""
    return Error(ErrorCode.INVALID_MESSAGE, fault.message, path=fault.path, ref=message.ref, job_id=message.job_id)


def of_problem(error: ProtocolError) -> Error:
    """A message is refused."""
    return Error(error.code, error.message, path=error.path, ref=error.ref, job_id=error.job_id)


def internal(message: Message | Reference) -> ProtocolError:
    """The server failed on *message*; why is for its log only."""
    text = "the server failed on this message; its log says more"
    return ProtocolError(ErrorCode.INTERNAL, text, ref=message.ref, job_id=message.job_id)
