"""What a session has to tell its shell, in order."""

from typing import Any

import attrs

from copilot_socket.client.problems import JobGone, Reason


@attrs.frozen
class Connect:
    """Open a connection, then call ``connection_made`` or ``connection_failed``."""


@attrs.frozen
class Disconnect:
    """Close the connection, or give up opening it, then call ``connection_lost``.

    Everything that was written is to be sent before, unless *abort*.
    """

    abort: bool = False


@attrs.frozen
class Assigned:
    """A job has arrived; *fields* are those of the wire. It is started by ``begin``."""

    job_id: str
    fields: dict[str, Any] = attrs.field(repr=False)


@attrs.frozen
class StopRequested:
    """Work on the job is to end soon, and the job to be given back for *reason*."""

    job_id: str
    reason: Reason


@attrs.frozen
class Lost:
    """The job is no longer this crawler's. *tickets* will never be answered."""

    job_id: str
    problem: JobGone
    tickets: tuple[int, ...]


@attrs.frozen
class Answered:
    """The reports of *ticket*, on the job, are stored. *token*: the new one, if that was asked for."""

    ticket: int
    job_id: str
    token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Refused:
    """A report of *ticket* is not stored, or there is no new token."""

    ticket: int
    problem: Exception


@attrs.frozen
class Warned:
    """Something for the log."""

    text: str


@attrs.frozen
class Finished:
    """The crawler has stopped: nothing happens any more."""


Event = Connect | Disconnect | Assigned | StopRequested | Lost | Answered | Refused | Warned | Finished
