"""Groups of errors over HTTP (docs/http.md, "Errors")."""

import re

import attrs
import orjson

from copilot_socket.core.error_groups import GroupStatus
from copilot_socket.core.jobs import COMMANDS
from copilot_socket.http import bodies, queries
from copilot_socket.http.fields import Check, one_of, text, timestamp
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.store.errors import ErrorGroups
from copilot_socket.store.listing import Page

_FINGERPRINT = re.compile("[0-9a-f]{16}")
RANGE: dict[str, Check] = {"account_id": text(255), "since": timestamp, "until": timestamp}
FILTERS: dict[str, Check] = {
    "status": queries.some_of(*(str(status) for status in GroupStatus)),
    "command": one_of(*COMMANDS),
    "error_type": text(1020),
    **RANGE,
}


@attrs.frozen
class ErrorHandlers:
    """Handles requests under ``/api/v1/errors``."""

    errors: ErrorGroups

    async def list_groups(self, call: Call) -> Reply:
        """Errors by fingerprint, those that occurred last first."""
        page, filters = queries.listing(call, FILTERS)
        _check_cursor(page)
        listing = await self.errors.groups(page, filters)
        return reply({"errors": listing.rows, "next": listing.next})

    async def show_group(self, call: Call) -> Reply:
        """The errors with one fingerprint: counts over time, accounts, and the latest of them."""
        group = await self.errors.group(_fingerprint(call), queries.read(call, RANGE))
        if group is None:
            raise _no_group()
        return reply(group)

    async def ignore(self, call: Call) -> Reply:
        """List these errors only where they are asked for."""
        fingerprint = await self._named(call)
        return _changed(fingerprint, await self.errors.ignore(fingerprint, call.act("error.ignore")))

    async def unignore(self, call: Call) -> Reply:
        """Take that back."""
        fingerprint = await self._named(call)
        return _changed(fingerprint, await self.errors.unignore(fingerprint, call.act("error.unignore")))

    async def _named(self, call: Call) -> str:
        queries.read(call, {})
        await bodies.no_body(call)
        return _fingerprint(call)


def _changed(fingerprint: str, status: GroupStatus | None) -> Reply:
    if status is None:
        raise _no_group()
    return reply({"fingerprint": fingerprint, "status": status})


def _check_cursor(page: Page) -> None:
    """Raises :class:`Problem` for a cursor of another list."""
    if page.after is None:
        return
    try:
        last_at, fingerprint = orjson.loads(page.after)
        timestamp(last_at)
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError
    except (ValueError, TypeError):
        raise invalid("?cursor", "must be the value of next from an earlier response") from None


def _fingerprint(call: Call) -> str:
    """Raises :class:`Problem` for what can't be a fingerprint."""
    if not _FINGERPRINT.fullmatch(call.params["fingerprint"]):
        raise _no_group()
    return call.params["fingerprint"]


def _no_group() -> Problem:
    return Problem(404, "No such errors")
