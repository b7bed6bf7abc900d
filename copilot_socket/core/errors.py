"""Errors that crawlers receive in answer to messages (docs/protocol.md, "Errors")."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes of ``error`` messages."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    MESSAGE_TOO_LARGE = "message_too_large"
    STALE_ASSIGNMENT = "stale_assignment"
    UNKNOWN_JOB = "unknown_job"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    INTERNAL = "internal"


class ProtocolError(Exception):
    """A message is answered with an ``error``. *path* is a JSON pointer (RFC 6901) to the faulty part.

    *message_type* is given for a message that is refused as a whole, where its type is known.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        path: str | None = None,
        ref: str | None = None,
        job_id: str | None = None,
        message_type: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.path = path
        self.ref = ref
        self.job_id = job_id
        self.message_type = message_type

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotAdmitted(ProtocolError):
    """A crawler is not admitted: its connection ends with the error."""
