"""The state of a job after each event in each state: the reference for the rules and the store.

None: the event is invalid in that state and changes nothing. The job is in the first of three attempts.
"""

from copilot_socket.core.jobs import Event, Status

_NOTHING: dict[Status, Status | None] = dict.fromkeys(Status, None)


def _row(**cells: Status) -> dict[Status, Status | None]:
    return _NOTHING | {Status(name): result for name, result in cells.items()}


_ROWS: dict[Event, dict[Status, Status | None]] = {
    Event.STARTED: _row(assigned=Status.RUNNING, running=Status.RUNNING),
    Event.PROGRESSED: _row(assigned=Status.ASSIGNED, running=Status.RUNNING),
    Event.COMPLETED: _row(assigned=Status.COMPLETED, running=Status.COMPLETED),
    Event.FAILED: _row(assigned=Status.QUEUED, running=Status.QUEUED),
    Event.FAILED_FOR_GOOD: _row(assigned=Status.FAILED, running=Status.FAILED),
    Event.INCOMPLETE: _row(assigned=Status.FAILED, running=Status.FAILED),
    Event.GIVEN_BACK: _row(assigned=Status.QUEUED, running=Status.QUEUED),
    Event.CLAIMED: _row(queued=Status.ASSIGNED),
    Event.RELEASED: _row(assigned=Status.QUEUED, running=Status.QUEUED),
    Event.RETURNED: _row(assigned=Status.QUEUED),
    Event.PUT_OFF: _row(assigned=Status.QUEUED),
    Event.TIMED_OUT: _row(assigned=Status.QUEUED, running=Status.QUEUED),
    Event.NO_CREDENTIAL: _row(assigned=Status.WAITING_CREDENTIAL, running=Status.WAITING_CREDENTIAL),
    Event.RENEWED: _row(waiting_credential=Status.QUEUED),
    Event.CANCELLED: _row(
        queued=Status.CANCELLED,
        assigned=Status.CANCELLED,
        running=Status.CANCELLED,
        paused=Status.CANCELLED,
        waiting_credential=Status.CANCELLED,
    ),
    Event.PAUSED: _row(queued=Status.PAUSED, assigned=Status.PAUSED, running=Status.PAUSED),
    Event.RESUMED: _row(paused=Status.QUEUED),
    Event.RETRIED: _row(failed=Status.QUEUED, cancelled=Status.QUEUED),
    Event.RECOVERED: _row(assigned=Status.QUEUED, running=Status.QUEUED),
}

MATRIX: dict[tuple[Event, Status], Status | None] = {
    (event, status): result for event, row in _ROWS.items() for status, result in row.items()
}
