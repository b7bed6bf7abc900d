"""Bulk operations on jobs over HTTP (docs/http.md, "Bulk operations")."""

from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.bulk import Action
from copilot_socket.core.describing import doc
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import flag, listed, one_of, ulid
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.fields import instance_of
from copilot_socket.http.job_queries import JobFilterBody, id_of_a_job
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.queries import Listed
from copilot_socket.store.bulk import BulkOperations, NewOperation
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.listing import Record
from copilot_socket.store.shown.operations import BulkOperation
from copilot_socket.store.totals import Total

MAX_IDS = 8_000
"""As many as fit into an object of a request, also with blanks between them."""


@attrs.frozen(kw_only=True)
class BulkBody:
    """What is to be done, and to which jobs: either `ids` or `filter`."""

    action: Annotated[str, one_of(*Action), doc("What to do to each job.")]
    ids: Annotated[list[str] | None, listed(id_of_a_job, MAX_IDS, "ids of jobs"), doc("These jobs.")] = None
    filter: Annotated[
        JobFilterBody | None,
        instance_of(JobFilterBody),
        doc("Jobs that meet all of this; `{}`: every job that the action applies to."),
    ] = None
    dry_run: Annotated[bool, flag, doc("Only count them.")] = False


@attrs.frozen(kw_only=True)
class BulkPreview:
    """How many jobs a bulk operation would be about."""

    action: Annotated[Action, doc("What would be done to each.")]
    expected: Annotated[int, doc("How many jobs meet the filter, in a state that allows the action.")]
    expected_exact: Annotated[bool, doc("Whether they were counted, or this is an estimate.")]
    states: Annotated[dict[str, int] | UnsetType, doc("Of counted ones, how many are in each state.")] = UNSET


@attrs.frozen(kw_only=True)
class BulkQuery(Listed):
    """Which operations."""

    status: Annotated[str | None, one_of("running", "done", "aborted", "failed"), doc("What has become of them.")] = (
        None
    )


BulkOperationList = list_of("operations", BulkOperation)


@attrs.frozen
class BulkHandlers:
    """Handles ``/api/v1/jobs/bulk`` and requests under ``/api/v1/operations``."""

    bulk: BulkOperations
    catalog: Catalog

    @endpoint({200: BulkPreview, 202: BulkOperation})
    async def start_operation(self, call: Call, body: BulkBody) -> Reply:
        """Retry, cancel, pause, resume, recover or delete many jobs.

        The answer names an operation, which a node carries out in slices; with `dry_run` nothing is changed, and the
        answer says how many jobs it would be about.
        """
        new = NewOperation(Action(body.action), _given(body), call.within)
        expected = await self.bulk.preview(new)
        if body.dry_run:
            return reply(_preview(new, expected))
        started = await self.bulk.start(new, expected, call.act("operation.start"))
        assert started is not None
        return reply(await self._show(call, started), 202, Location=f"/api/v1/operations/{started}")

    @endpoint({200: BulkOperationList})
    async def list_operations(self, call: Call, query: BulkQuery) -> Reply:
        """Bulk operations, newest first."""
        listing = await self.catalog.operations(query.page, query.filters, _starter(call))
        return page("operations", listing)

    @endpoint({200: BulkOperation})
    async def show_operation(self, call: Call) -> Reply:
        """One bulk operation, and how far it is."""
        return reply(await self._show(call, _named(call)))

    @endpoint({200: BulkOperation}, problems=(409,))
    async def abort_operation(self, call: Call) -> Reply:
        """End a bulk operation; what it has changed stays so."""
        shown = await self._show(call, _named(call))
        if not await self.bulk.abort(shown["id"], call.act("operation.abort")):
            raise Problem(409, "Operation is not running", state=(await self._show(call, shown["id"]))["status"])
        return reply(await self._show(call, shown["id"]))

    async def _show(self, call: Call, name: str) -> Record:
        found = await self.catalog.operation(name, _starter(call))
        if found is None:
            raise _no_operation()
        return found


def _given(body: BulkBody) -> dict[str, object]:
    if (body.ids is None) == (body.filter is None):
        raise invalid("", "must have either ids or filter")
    if body.filter is None:
        return {"ids": body.ids}
    return dict(body.filter.given)


def _preview(new: NewOperation, expected: Total) -> Record:
    shown = {"action": str(new.action), "expected": expected.count, "expected_exact": expected.exact}
    return {**shown, "states": expected.states} if expected.exact else shown


def _named(call: Call) -> str:
    return call.named(ulid("an operation"), _no_operation())


def _no_operation() -> Problem:
    return Problem(404, "No such operation")


def _starter(call: Call) -> str | None:
    """Whose operations the caller sees: a limited token its own."""
    return None if call.within is None else call.actor.name
