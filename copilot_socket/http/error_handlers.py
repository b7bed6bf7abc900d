"""Groups of errors over HTTP (docs/http.md, "Errors")."""

from typing import Annotated

import attrs

from copilot_socket.core.bulk import Action
from copilot_socket.core.describing import doc
from copilot_socket.core.error_groups import GroupStatus
from copilot_socket.core.jobs import COMMANDS, Status
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import one_of, short_name, some_of, text, timestamp
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.job_queries import a_fingerprint
from copilot_socket.http.messages import Call, Problem, Reply, reply
from copilot_socket.http.queries import PAGING, Listed, given, short
from copilot_socket.store.bulk import BulkOperations, NewOperation
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.errors import HISTORY, ErrorGroups, mark_retried
from copilot_socket.store.shown.errors import ErrorGroup, ErrorGroupDetail
from copilot_socket.store.shown.operations import BulkOperation


@attrs.frozen(kw_only=True, slots=False)  # or it could not be one of two bases
class ErrorRange:
    """Which errors are counted."""

    account_id: Annotated[str | None, text(255), doc("Those of this account.")] = None
    since: Annotated[str | None, timestamp, doc("Those of the hour of this time, and later.")] = None
    until: Annotated[str | None, timestamp, doc("Those of hours that began before.")] = None


@attrs.frozen(kw_only=True)
class ErrorQuery(Listed, ErrorRange):
    """Which groups of errors, and which of their errors are counted."""

    status: Annotated[
        frozenset[str] | None, some_of(*GroupStatus), doc("Their status; without it all that are not ignored.")
    ] = None
    command: Annotated[str | None, one_of(*COMMANDS), doc("The command of the jobs.")] = None
    error_type: Annotated[str | None, short_name, doc("The crawler's name for their kind.")] = None
    include: Annotated[frozenset[str], some_of(HISTORY), doc("What is else left out: when they occurred.")] = (
        frozenset()
    )


@attrs.frozen(kw_only=True)
class ChangedErrorGroup:
    """A group of errors after a change."""

    fingerprint: Annotated[str, doc("Which one.")]
    status: Annotated[GroupStatus, doc("Its status now.")]


ErrorGroupList = list_of("errors", ErrorGroup)


@attrs.frozen
class ErrorHandlers:
    """Handles requests under ``/api/v1/errors``."""

    errors: ErrorGroups
    bulk: BulkOperations
    catalog: Catalog

    @endpoint({200: ErrorGroupList})
    async def list_errors(self, _call: Call, query: ErrorQuery) -> Reply:
        """Errors by fingerprint, those that occurred last first."""
        if HISTORY in query.include:
            short(query, HISTORY)
        listing = await self.errors.groups(query.page, given(query, *PAGING, "include"), query.include)
        return page("errors", listing)

    @endpoint({200: ErrorGroupDetail})
    async def show_errors(self, call: Call, query: ErrorRange) -> Reply:
        """The errors with one fingerprint: counts over time, accounts, and the latest of them."""
        group = await self.errors.group(_fingerprint(call), given(query))
        if group is None:
            raise _no_group()
        return reply(group)

    @endpoint({202: BulkOperation})
    async def retry_errors(self, call: Call) -> Reply:
        """Retry all jobs that these errors have failed, by a bulk operation. Errors from now on are a regression."""
        fingerprint = _fingerprint(call)
        new = NewOperation(Action.RETRY, {"error": fingerprint, "status": [str(Status.FAILED)]})
        act = call.act("error.retry")
        expected = await self.bulk.preview(new)
        started = await self.bulk.start(
            new, expected, call.act("operation.start"), lambda tx: mark_retried(tx, fingerprint, act)
        )
        if started is None:
            raise _no_group()
        return reply(await self.catalog.operation(started), 202, Location=f"/api/v1/operations/{started}")

    @endpoint({200: ChangedErrorGroup})
    async def ignore_errors(self, call: Call) -> Reply:
        """List these errors only where they are asked for."""
        fingerprint = _fingerprint(call)
        return _changed(fingerprint, await self.errors.ignore(fingerprint, call.act("error.ignore")))

    @endpoint({200: ChangedErrorGroup})
    async def heed_errors(self, call: Call) -> Reply:
        """List errors that were ignored again."""
        fingerprint = _fingerprint(call)
        return _changed(fingerprint, await self.errors.unignore(fingerprint, call.act("error.unignore")))


def _changed(fingerprint: str, status: GroupStatus | None) -> Reply:
    if status is None:
        raise _no_group()
    return reply({"fingerprint": fingerprint, "status": status})


def _fingerprint(call: Call) -> str:
    return call.named(a_fingerprint, _no_group(), "fingerprint")


def _no_group() -> Problem:
    return Problem(404, "No such errors")
