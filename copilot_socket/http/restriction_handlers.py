"""Pauses and limits over HTTP (docs/http.md, "Pauses, limits, budgets")."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from copilot_socket.core.jobs import COMMANDS
from copilot_socket.core.pauses import Scope
from copilot_socket.event_bus import EventBus, PauseChanged
from copilot_socket.http import bodies, queries
from copilot_socket.http.conditions import changed, precondition
from copilot_socket.http.fields import Check, Field, gitlab_origin, integer, one_of, text, timestamp
from copilot_socket.http.messages import Call, Faults, Problem, Reply, invalid, reply
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.listing import Record
from copilot_socket.store.restrictions import NewPause, NothingMatches, PauseExists, RestrictionStore

_ID = re.compile("[0-9A-Z]{26}")

_EXPLANATION: Mapping[str, Field] = {
    "reason": Field(text(1000)),
    "author": Field(text(255)),
    "ends_at": Field(timestamp),
}
PAUSE: Mapping[str, Field] = {
    "scope": Field(one_of(*(str(scope) for scope in Scope)), required=True),
    "target": Field(text(1200)),
    **_EXPLANATION,
}
HOST: Mapping[str, Field] = {"max_running": Field(integer(1, 100_000), required=True, nullable=True)}


def _path(value: Any) -> str:
    path: str = text(1024)(value).strip("/")
    if not path:
        raise ValueError("must be the path of a group or project")
    return path


_TARGETS: Mapping[Scope, Check] = {
    Scope.ACCOUNT: text(255),
    Scope.HOST: gitlab_origin,
    Scope.COMMAND: one_of(*COMMANDS),
    Scope.PATH_PREFIX: _path,
}
NO_ACCOUNT = "no account is at this host"
_NOTHING = {
    Scope.ACCOUNT: "no such account",
    Scope.HOST: NO_ACCOUNT,
    Scope.PATH_PREFIX: "no area and no job is there, or below",
}


@attrs.frozen
class RestrictionHandlers:
    """Handles requests under ``/api/v1`` for pauses, hosts and the queue as a whole."""

    store: RestrictionStore
    catalog: Catalog
    bus: EventBus
    time_of_day: Callable[[], float] = time.time

    async def list_pauses(self, call: Call) -> Reply:
        """The pauses in force, oldest first."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.pauses(page)
        return reply({"pauses": listing.rows, "next": listing.next})

    async def show_pause(self, call: Call) -> Reply:
        """One pause."""
        queries.read(call, {})
        pause = await self.catalog.pause(_pause_id(call))
        if pause is None:
            raise _no_pause()
        return reply(pause)

    async def add_pause(self, call: Call) -> Reply:
        """Hold back all that a scope covers: 201 once no node sends any of it, 202 where some node may still."""
        queries.read(call, {})
        values = await bodies.read_object(call, PAUSE)
        scope = Scope(values["scope"])
        target = _target(scope, values.get("target"))
        return await self._add(call, scope, target, values)

    async def pause_queue(self, call: Call) -> Reply:
        """Hold back everything."""
        queries.read(call, {})
        values = await bodies.read_object(call, _EXPLANATION, optional=True)
        return await self._add(call, Scope.EVERYTHING, None, values)

    async def end_pause(self, call: Call) -> Reply:
        """End a pause: what it covers goes out again, unless another one covers it."""
        queries.read(call, {})
        await bodies.no_body(call)
        ended = await self.store.end(_pause_id(call), call.act("pause.end"), precondition(call))
        return self._ended(ended, _no_pause())

    async def resume_queue(self, call: Call) -> Reply:
        """End the pause of everything."""
        queries.read(call, {})
        await bodies.no_body(call)
        return self._ended(await self.store.end(None, call.act("pause.end")), Problem(409, "Queue is not paused"))

    async def list_hosts(self, call: Call) -> Reply:
        """GitLab hosts: limits, holds, and when a job last succeeded."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.hosts(page)
        return reply({"hosts": listing.rows, "next": listing.next})

    async def show_host(self, call: Call) -> Reply:
        """One host."""
        queries.read(call, {})
        return reply(await self._host(origin_in(call)))

    async def change_host(self, call: Call) -> Reply:
        """Limit how many jobs of a host run at a time; null removes the limit."""
        queries.read(call, {})
        values = await bodies.read_object(call, HOST)
        origin, act = origin_in(call), call.act("host.change")
        revision = await self.store.limit_host(origin, values["max_running"], act, precondition(call))
        if revision is None:
            raise _no_host()
        waiting = await self.store.acted_on(revision)
        return changed(await self._host(origin), 202 if waiting else 200, waiting_for_nodes=waiting)

    async def _host(self, origin: str) -> Record:
        host = await self.catalog.host(origin)
        if host is None:
            raise _no_host()
        return host

    async def _add(self, call: Call, scope: Scope, target: str | None, values: Mapping[str, Any]) -> Reply:
        ends_at = values.get("ends_at")
        bodies.refuse_past(ends_at, "/ends_at", self.time_of_day())
        new = NewPause(scope, target, values.get("reason"), values.get("author", call.actor.name), ends_at)
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
    try:
        return str(gitlab_origin(call.params["origin"]))
    except ValueError:
        text = "No such host: an origin is needed, such as https%3A%2F%2Fgitlab.example.org"
        raise Problem(404, text) from None


def _no_host() -> Problem:
    return Problem(404, "No account is at this host")


def _pause_id(call: Call) -> str:
    """Raises :class:`Problem` for what can't be an id."""
    if not _ID.fullmatch(call.params["id"]):
        raise _no_pause()
    return call.params["id"]


def _no_pause() -> Problem:
    return Problem(404, "No such pause; it may have ended")
