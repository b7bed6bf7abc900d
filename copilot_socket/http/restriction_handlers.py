"""Pauses and limits over HTTP (docs/http.md, "Pauses, limits, budgets")."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.jobs import COMMANDS
from copilot_socket.core.pauses import Scope
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.http.answers import WaitingForNodes, list_of, page
from copilot_socket.http.bodies import refuse_past
from copilot_socket.http.checks import integer, one_of, origin_url, text, timestamp, ulid
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.job_queries import a_path
from copilot_socket.http.messages import Call, Faults, Problem, Reply, invalid, reply
from copilot_socket.http.queries import Listed
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.listing import Record
from copilot_socket.store.restrictions import NewPause, NothingMatches, PauseExists, RestrictionStore
from copilot_socket.store.shown.restrictions import Host, HostState, Pause

_TARGETS: Mapping[Scope, Callable[[Any], str]] = {
    Scope.ACCOUNT: text(255),
    Scope.HOST: origin_url,
    Scope.COMMAND: one_of(*COMMANDS),
    Scope.PATH_PREFIX: a_path,
}
NO_ACCOUNT = "no account is at this host"
_NOTHING = {
    Scope.ACCOUNT: "no such account",
    Scope.HOST: NO_ACCOUNT,
    Scope.PATH_PREFIX: "no area and no job is there, or below",
}


@attrs.frozen(kw_only=True)
class QueuePauseBody:
    """A pause of everything to add."""

    reason: Annotated[str | None, text(1000), doc("Why.")] = None
    author: Annotated[str | None, text(255), doc("Who wants it; without it the name of the token.")] = None
    ends_at: Annotated[
        str | None, timestamp, doc("When it ends, in the future; without it when somebody ends it.")
    ] = None


@attrs.frozen(kw_only=True)
class PauseBody(QueuePauseBody):
    """A pause to add."""

    scope: Annotated[str, one_of(*Scope), doc("What it covers.")]
    target: Annotated[
        str | None,
        text(1200),
        doc(
            "The account's id, the host's origin, the command, or the path of a group or project;"
            " left out where the scope is `everything`, else required."
        ),
    ] = None


@attrs.frozen(kw_only=True)
class HostBody:
    """A change of a host."""

    max_running: Annotated[
        int | None, integer(1, 100_000), doc("How many of its jobs may run at a time; null: any number.")
    ]


@attrs.frozen(kw_only=True)
class ChangedHost(HostState):
    """A host after a change."""

    waiting_for_nodes: WaitingForNodes


@attrs.frozen(kw_only=True)
class AddedPause(Pause):
    """A pause that was added."""

    waiting_for_nodes: WaitingForNodes


PauseList = list_of("pauses", Pause)
HostList = list_of("hosts", Host)


@attrs.frozen
class RestrictionHandlers:
    """Handles requests under ``/api/v1`` for pauses, hosts and the queue as a whole."""

    store: RestrictionStore
    catalog: Catalog
    bus: EventBus
    time_of_day: Callable[[], float] = time.time

    @endpoint({200: PauseList})
    async def list_pauses(self, _call: Call, query: Listed) -> Reply:
        """The pauses in force, oldest first."""
        listing = await self.catalog.pauses(query.page)
        return page("pauses", listing)

    @endpoint({200: Pause})
    async def show_pause(self, call: Call) -> Reply:
        """One pause."""
        pause = await self.catalog.pause(_pause_id(call))
        if pause is None:
            raise _no_pause()
        return reply(pause)

    @endpoint({201: AddedPause, 202: AddedPause}, problems=(409,))
    async def add_pause(self, call: Call, body: PauseBody) -> Reply:
        """Hold back all that a scope covers.

        201 once no node sends any of it, 202 where some node may still.
        """
        scope = Scope(body.scope)
        return await self._add(call, scope, _target(scope, body.target), body)

    @endpoint({201: AddedPause, 202: AddedPause}, problems=(409,))
    async def pause_queue(self, call: Call, body: QueuePauseBody) -> Reply:
        """Hold back everything.

        201 once no node sends anything, 202 where some node may still.
        """
        return await self._add(call, Scope.EVERYTHING, None, body)

    @endpoint({200: Pause}, problems=(412,))
    async def end_pause(self, call: Call) -> Reply:
        """End a pause: what it covers goes out again, unless another one covers it."""
        ended = await self.store.end(_pause_id(call), call.act("pause.end"), precondition(call))
        return self._ended(ended, _no_pause())

    @endpoint({200: Pause}, problems=(409,))
    async def resume_queue(self, call: Call) -> Reply:
        """End the pause of everything."""
        return self._ended(await self.store.end(None, call.act("pause.end")), Problem(409, "Queue is not paused"))

    @endpoint({200: HostList})
    async def list_hosts(self, _call: Call, query: Listed) -> Reply:
        """GitLab hosts: limits, holds, and when a job last succeeded."""
        listing = await self.catalog.hosts(query.page)
        return page("hosts", listing)

    @endpoint({200: HostState})
    async def show_host(self, call: Call) -> Reply:
        """One host."""
        return reply(await self._host(origin_in(call)))

    @endpoint({200: ChangedHost, 202: ChangedHost}, problems=(412,))
    async def change_host(self, call: Call, body: HostBody) -> Reply:
        """Limit how many jobs of a host run at a time; null removes the limit.

        200 once all nodes act on it, 202 where some node may not yet.
        """
        origin, act = origin_in(call), call.act("host.change")
        revision = await self.store.limit_host(origin, body.max_running, act, precondition(call))
        if revision is None:
            raise _no_host()
        waiting = await self.store.acted_on(revision)
        return changed(await self._host(origin), 202 if waiting else 200, waiting_for_nodes=waiting)

    async def _host(self, origin: str) -> Record:
        host = await self.catalog.host(origin)
        if host is None:
            raise _no_host()
        return host

    async def _add(self, call: Call, scope: Scope, target: str | None, body: QueuePauseBody) -> Reply:
        refuse_past(body.ends_at, "/ends_at", self.time_of_day())
        new = NewPause(scope, target, body.reason, body.author or call.actor.name, body.ends_at)
        try:
            added = await self.store.pause(new, call.act("pause.add"))
        except NothingMatches:
            raise invalid("/target", f"would cover nothing: {_NOTHING[scope]}") from None
        except PauseExists as error:
            raise Problem(409, f"Paused already, by pause {error.pause}", pause=error.pause) from None
        for each in added.expired:
            self.bus.publish(PauseChanged(each.id, "expired", str(each.scope), each.target))
        pause = added.record["id"]
        self.bus.publish(PauseChanged(pause, "added", str(scope), target, new.author, new.reason))
        waiting = await self.store.acted_on(added.revision)
        return reply({**added.record, "waiting_for_nodes": waiting}, 202 if waiting else 201)

    def _ended(self, pause: Record | None, otherwise: Problem) -> Reply:
        if pause is None:
            raise otherwise
        self.bus.publish(PauseChanged(pause["id"], "ended", pause["scope"], pause["target"]))
        return reply(pause)


def _target(scope: Scope, given: str | None) -> str | None:
    if scope is Scope.EVERYTHING:
        if given is not None:
            raise invalid("/target", "must be left out where the scope is everything")
        return None
    if given is None:
        raise invalid("/target", f"is required: which {str(scope).replace('_', ' ')} to pause")
    faults = Faults()
    try:
        found: str | None = _TARGETS[scope](given)
    except ValueError as error:
        faults.add("/target", str(error))
    if faults.count:
        raise faults.problem()
    return found


def origin_in(call: Call) -> str:
    """The origin in the path. Raises :class:`Problem` 404 for what can't be one."""
    text = "No such host: an origin is needed, such as https%3A%2F%2Fgitlab.example.org"
    return call.named(origin_url, Problem(404, text), "origin")


def _no_host() -> Problem:
    return Problem(404, "No account is at this host")


def _pause_id(call: Call) -> str:
    return call.named(ulid("a pause"), _no_pause())


def _no_pause() -> Problem:
    return Problem(404, "No such pause; it may have ended")
