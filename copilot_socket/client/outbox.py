"""Reports that the server has not answered yet, in order; they are sent again after a reconnect."""

from collections.abc import Iterator, Sequence
from itertools import count

import attrs

TOKEN_REQUEST = "token_refresh_request"
ENDINGS = frozenset({"job_completed", "job_failed", "job_released"})
"""The types of reports that end an attempt."""


@attrs.define(eq=False)
class Pending:
    """A message that waits for its answer, and the *tickets* of those who wait for it.

    ``line`` is encoded once: sent again, a report says the same, whatever has become of the caller's objects.
    """

    ref: str
    kind: str
    job: str
    line: bytes
    tickets: list[int]


class Outbox:
    """The pending messages of a crawler, oldest first.

    A ticket may stand for several messages; it is settled when all of them are answered, or one is refused.
    """

    def __init__(self) -> None:
        self._refs = count(1)
        self._tickets = count(1)
        self._pending: dict[str, Pending] = {}
        self._open: dict[int, int] = {}
        """Ticket → how many of its messages are not answered yet."""

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def __len__(self) -> int:
        return len(self._pending)

    def ref(self) -> str:
        """The id of a new message."""
        return str(next(self._refs))

    def add(self, kind: str, job: str, lines: Sequence[tuple[str, bytes]]) -> tuple[int, list[Pending]]:
        """Keep new messages, given by id and text; the ticket for all of them."""
        ticket = next(self._tickets)
        added = [Pending(ref, kind, job, line, [ticket]) for ref, line in lines]
        self._pending.update((each.ref, each) for each in added)
        self._open[ticket] = len(added)
        return ticket, added

    def join(self, pending: Pending) -> int:
        """Another ticket for a message that waits."""
        ticket = next(self._tickets)
        pending.tickets.append(ticket)
        self._open[ticket] = 1
        return ticket

    def token_request(self, job: str) -> Pending | None:
        """The request for a new token for *job* that waits."""
        return next((each for each in self if each.job == job and each.kind == TOKEN_REQUEST), None)

    def get(self, ref: str) -> Pending | None:
        """The message *ref*, if it waits."""
        return self._pending.get(ref)

    def answer(self, pending: Pending) -> list[int]:
        """The message is answered; the tickets that this settles."""
        del self._pending[pending.ref]
        settled = []
        for ticket in pending.tickets:
            if ticket in self._open:
                self._open[ticket] -= 1
                if self._open[ticket] == 0:
                    del self._open[ticket]
                    settled.append(ticket)
        return settled

    def refuse(self, pending: Pending) -> list[int]:
        """The message is refused; the tickets that this settles."""
        del self._pending[pending.ref]
        return [ticket for ticket in pending.tickets if self._open.pop(ticket, None) is not None]

    def put_off(self, pending: Pending) -> bool:
        """Have the message answered by the answer to the end of its job, if that waits; whether it does."""
        for end in self:
            if end.job == pending.job and end.kind in ENDINGS and end is not pending:
                del self._pending[pending.ref]
                end.tickets.extend(pending.tickets)
                return True
        return False

    def drop(self, job: str) -> tuple[int, ...]:
        """Drop the messages of *job*; the tickets that will never be answered."""
        dropped = [each for each in self if each.job == job]
        return tuple(ticket for each in dropped for ticket in self.refuse(each))
