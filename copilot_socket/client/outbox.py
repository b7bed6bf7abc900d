"""Reports that the server has not answered yet, in order; they are sent again after a reconnect."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from copilot_socket.client.messages import encode

TOKEN_REQUEST = "token_refresh_request"


@attrs.define(eq=False)
class Pending:
    """A message that waits for its answer. ``answered`` fires with the answer's ``data``.

    ``line`` is encoded once: sent again, a report says the same, whatever has become of the handler's objects.
    """

    ref: str
    kind: str
    job: str
    line: bytes
    answered: "Deferred[Mapping[str, Any]]"


class Outbox:
    """The pending messages of a crawler, oldest first."""

    def __init__(self) -> None:
        self._refs = count(1)
        self._pending: dict[str, Pending] = {}

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, kind: str, job: str, data: Mapping[str, Any]) -> Pending:
        """Keep a new message."""
        ref = str(next(self._refs))
        pending = Pending(ref, kind, job, encode(kind, data, job=job, ref=ref), Deferred())
        self._pending[pending.ref] = pending
        return pending

    def acknowledge(self, ref: str) -> None:
        """The server has committed this report. (A token request is settled by its response only.)"""
        pending = self._pending.get(ref)
        if pending is not None and pending.kind != TOKEN_REQUEST:
            self._settle(pending, {})

    def give_token(self, job: str, data: Mapping[str, Any]) -> None:
        """The response to a token request has arrived."""
        for pending in self:
            if pending.job == job and pending.kind == TOKEN_REQUEST:
                self._settle(pending, data)
                return

    def refuse(self, ref: str, problem: Exception) -> Pending | None:
        """Fail the message *ref* with *problem*."""
        pending = self._pending.pop(ref, None)
        if pending is not None and not pending.answered.called:
            pending.answered.errback(problem)
        return pending

    def drop(self, job: str) -> None:
        """Drop the messages of *job*. Their Deferreds don't fire: the caller cancels what waits for them."""
        for pending in self:
            if pending.job == job:
                del self._pending[pending.ref]

    def _settle(self, pending: Pending, data: Mapping[str, Any]) -> None:
        del self._pending[pending.ref]
        if not pending.answered.called:
            pending.answered.callback(data)
