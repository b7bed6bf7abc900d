"""A new job for a crawler that waits for one: stored and handed out by one statement, in one commit."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs
import psycopg2
from twisted.logger import Logger

from copilot_socket.store.connection import HOT
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import NONE_WANTED, Claimed, Wants, asked
from copilot_socket.store.ulids import ulids

_IMPATIENT = "SET lock_timeout = '50ms'; "
"""Whoever is in the way of the new job must not keep a crawler from other jobs for long."""

_HAND_OUT = (
    f"WITH {sql('turn_room')}, {sql('hand_out_new')}, {sql('hand_out_claimed')}, {sql('turn_assigned')} "
    f"{sql('hand_out_result')}"
)


@attrs.define
class Offer:
    """A crawler that would take a job, as a wish for one; and the jobs that it was given."""

    wants: Wants = NONE_WANTED
    jobs: list[Claimed] = attrs.field(factory=list)


class Idle(Protocol):
    """Who knows crawlers that wait for jobs."""

    def offer(self, command: str) -> AbstractContextManager[Offer]:
        """One that takes such a job, if there is one; it is given nothing else until the context ends."""


class HandOut:
    """Stores single jobs over a connection of its own, as long as somebody waits for them."""

    log = Logger()

    def __init__(self, database: Database, idle: Idle, node: str) -> None:
        self._connection = database.dedicated(HOT + _IMPATIENT)
        self._idle = idle
        self._node = node

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def submit(self, command: str, parameters: Mapping[str, Any], stored: Callable[[str], None]) -> bool:
        """Store the one job in *parameters*, which is due now, and give it to a crawler that waits for it.

        Whether it was given. *stored* is told the job's id before the crawler is sent it; where that can't be done at
        once, *stored* is told nothing and nothing is stored. Raises :class:`DatabaseAway`.
        """
        if self._connection.busy:
            return False
        with self._idle.offer(command) as offer:
            if not offer.wants:
                return False
            [new_id] = ulids(time.time_ns() // 1_000_000, 1)
            parameters = {**parameters, **asked(offer.wants, self._node), "id": new_id}
            try:
                rows = await self._connection.hot_query("hand_out", _HAND_OUT, parameters)
            except psycopg2.Error as error:  # the ordinary way says what is wrong, or waits for what is in the way
                self.log.debug("A new job can't be handed out at once: {error}", error=error)
                return False
            for job_id, *claimed in rows:
                stored(job_id)
                offer.jobs += [Claimed(*claimed)] if claimed[0] is not None else []
            return bool(offer.jobs)
