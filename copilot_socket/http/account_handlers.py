"""Deleting accounts, and discovering their areas again, over HTTP (docs/http.md, "Accounts")."""

from collections.abc import Callable, Iterable
from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.pauses import Scope
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.http.account_names import no_account, refuse_foreign, storable
from copilot_socket.http.checks import number
from copilot_socket.http.conditions import precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, reply
from copilot_socket.store.account_deletion import LiveJobs
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.area_lists import DISCOVERY
from copilot_socket.store.rediscovery import rediscover
from copilot_socket.store.submission import Submission

MOST_HOURS = 8784


@attrs.frozen(kw_only=True)
class DeletedAccount:
    """An account that is deleted, or is to be: repeat the request until it is."""

    id: Annotated[str, doc("Its id.")]
    deleted: Annotated[bool, doc("Whether it is gone; else some of what belongs to it is left.")]
    jobs_deleted: Annotated[int, doc("How many of its jobs this request has deleted.")]
    jobs_left: Annotated[int, doc("How many of its jobs are left.")]


@attrs.frozen(kw_only=True)
class RediscoveryBody:
    """When to discover the areas of an account again."""

    unless_within_hours: Annotated[
        float | None, number(0, MOST_HOURS), doc("Not if that was completed within so many hours.")
    ] = None


@attrs.frozen(kw_only=True)
class AreaDiscovery:
    """The job that discovers the areas of an account."""

    id: Annotated[str, doc("Its id.")]
    created: Annotated[bool, doc("Whether it is new; else it is live, or was completed of late.")]
    finished_at: Annotated[Time | UnsetType, doc("When it was completed; missing for a new or a live one.")] = UNSET


@attrs.frozen
class AccountHandlers:
    """Handles such requests under ``/api/v1/accounts``. *work_came* is called with the lanes of new jobs."""

    accounts: Accounts
    submission: Submission
    bus: EventBus
    work_came: Callable[[Iterable[tuple[str, str]]], None]

    @endpoint({200: DeletedAccount, 202: DeletedAccount}, problems=(409, 412))
    async def delete_account(self, call: Call) -> Reply:
        """Delete an account without live jobs, and all that belongs to it: its jobs, authorizations, pauses, budgets.

        Where that takes long, some is deleted, and the answer is 202: a repetition goes on.
        """
        refuse_foreign(call, call.params["id"])
        account_id = storable(call.params["id"])
        try:
            act, required = call.act("account.delete"), precondition(call)
            done = await self.accounts.deletion.run(account_id, act, call.next_slice, required)
        except LiveJobs as error:
            raise Problem(409, str(error)) from None
        if done is None:
            raise no_account()
        for pause in done.pauses:
            self.bus.publish(PauseChanged(pause, "ended", str(Scope.ACCOUNT), account_id))
        gone = done.left is None
        shown = {"id": account_id, "deleted": gone, "jobs_deleted": done.jobs, "jobs_left": done.left or 0}
        return reply(shown, 200 if gone else 202)

    @endpoint({200: AreaDiscovery, 201: AreaDiscovery})
    async def rediscover_account(self, call: Call, body: RediscoveryBody) -> Reply:
        """Discover the areas of an account again.

        201, or 200 where that is under way already, or was completed within the given time.
        """
        refuse_foreign(call, call.params["id"])
        account_id = storable(call.params["id"])
        hours, act = body.unless_within_hours or 0, call.act("job.submit")
        found = await rediscover(self.submission, account_id, hours, act)
        if found is None:
            raise no_account()
        if found.created:  # does not wait for the database's notification
            self.work_came([(account_id, DISCOVERY)])
        shown = {"id": found.id, "created": found.created}
        if found.finished_at is not None:
            shown["finished_at"] = found.finished_at
        return reply(shown, 201 if found.created else 200)
