"""Messages to crawlers. ``wire()`` returns ``(type, jobId, data)`` with the names of the JSON Schemas."""

from typing import Any, ClassVar, Protocol

import attrs

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.records import record

Json = dict[str, Any]


class Reply(Protocol):
    """Any message to a crawler."""

    def wire(self) -> tuple[str, str | None, Json]:
        """Type, job id, and data as they go over the wire."""


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


@record
class Welcome:
    """Answers ``hello``. ``heartbeat_interval`` in ms, ``max_message_size`` in bytes.

    ``features``: what this server understands beyond the first edition of the protocol.
    """

    connection_id: str
    protocol_version: str
    heartbeat_interval: int
    max_message_size: int
    max_concurrent_jobs: int
    features: tuple[str, ...] = ()

    def wire(self) -> tuple[str, str | None, Json]:
        data = {
            "connectionId": self.connection_id,
            "protocolVersion": self.protocol_version,
            "heartbeatInterval": self.heartbeat_interval,
            "maxMessageSize": self.max_message_size,
            "maxConcurrentJobs": self.max_concurrent_jobs,
            "features": list(self.features),
        }
        return "welcome", None, data


@record
class Job:
    """One job of a ``job_response``; ``id`` is the assignment's."""

    id: str
    entity_type: str
    entity_id: str
    gitlab_url: str
    access_token: str = attrs.field(repr=False)
    command: str
    try_: int
    resume_state: Json | None = None
    full_path: str | None = None
    area_type: str | None = None
    branch: str | None = None

    def data(self) -> Json:
        """The job as it goes over the wire."""
        data: Json = {
            "id": self.id,
            "entityType": self.entity_type,
            "entityId": self.entity_id,
            "gitlabUrl": self.gitlab_url,
            "accessToken": self.access_token,
            "command": self.command,
            "try": self.try_,
        }
        if self.resume_state is not None:
            data["resumeState"] = self.resume_state
        if self.full_path is not None:
            data["fullPath"] = self.full_path
        if self.area_type is not None:
            data["areaType"] = self.area_type
        if self.branch is not None:
            data["branch"] = self.branch
        return data


@record
class JobResponse:
    """Answers ``job_request``; may be empty."""

    jobs: tuple[Job, ...] = ()

    def wire(self) -> tuple[str, str | None, Json]:
        return "job_response", None, {"jobs": [job.data() for job in self.jobs]}


@record
class TokenRefreshResponse:
    """Answers ``token_refresh_request``; the token is empty if there is none. ``expires_at`` in ISO 8601."""

    job_id: str
    access_token: str = attrs.field(repr=False)
    expires_at: str
    refresh_successful: bool

    def wire(self) -> tuple[str, str | None, Json]:
        data = {
            "accessToken": self.access_token,
            "expiresAt": self.expires_at,
            "refreshSuccessful": self.refresh_successful,
        }
        return "token_refresh_response", self.job_id, data


@record
class Ack:
    """The effect of the message is committed."""

    type: str
    ref: str
    job_id: str | None = None

    def wire(self) -> tuple[str, str | None, Json]:
        return "ack", self.job_id, {"type": self.type, "ref": self.ref}


@record
class Error:
    """See :class:`~copilot_socket.core.errors.ProtocolError`."""

    code: ErrorCode
    message: str
    path: str | None = None
    ref: str | None = None
    job_id: str | None = None

    def wire(self) -> tuple[str, str | None, Json]:
        data = {"code": str(self.code), "message": self.message, "path": self.path, "ref": self.ref}
        return "error", self.job_id, _given(data)


@record
class _Command:
    """A command on a job that the crawler holds; sent only to crawlers with the capability ``commands``."""

    type: ClassVar[str]

    job_id: str
    reason: str | None = None

    def wire(self) -> tuple[str, str | None, Json]:
        return self.type, self.job_id, _given({"reason": self.reason})


@record
class JobCancel(_Command):
    """The job is cancelled: stop."""

    type = "job_cancel"


@record
class JobPause(_Command):
    """Pause the job."""

    type = "job_pause"


@record
class JobResume(_Command):
    """Resume the job."""

    type = "job_resume"


@record
class Shutdown:
    """``scope`` ``node``: reconnect; ``crawler``: exit."""

    scope: str
    graceful: bool
    timeout_seconds: float
    reason: str | None = None

    def wire(self) -> tuple[str, str | None, Json]:
        data = {
            "scope": self.scope,
            "graceful": self.graceful,
            "timeout_seconds": self.timeout_seconds,
            "reason": self.reason,
        }
        return "shutdown", None, _given(data)
