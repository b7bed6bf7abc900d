"""Reads what keeps a job where it is, for :mod:`copilot_socket.core.why`."""

from copilot_socket.core.jobs import COMMANDS, commands_for
from copilot_socket.core.pauses import Pause, Pauses, Scope
from copilot_socket.core.why import (
    MOST_AHEAD,
    CapFacts,
    CrawlerFacts,
    Facts,
    HolderFacts,
    JobFacts,
    PauseFacts,
)
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql


async def facts_of(database: Database, job_id: str) -> Facts | None:
    """What keeps the job where it is; None if there is no such job."""
    this = {"id": job_id}
    rows = await database.query(sql("why_job"), this)
    if not rows:
        return None
    *row, held_since, next_probe_at = rows[0]
    job = JobFacts(*row)
    holders = await database.query(sql("why_holder"), this)
    pauses = await database.query(sql("why_pauses"))
    caps = await database.query(sql("why_caps"), {"account": job.account, "host": job.host})
    crawlers = [
        CrawlerFacts(name, tuple(types), mode, room, suspected)
        for name, types, mode, room, suspected in await database.query(sql("why_crawlers"))
    ]
    in_force = Pauses(Pause(pause[0], Scope(pause[1]), pause[2]) for pause in pauses)
    same = [crawler for crawler in crawlers if job.command in commands_for(crawler.entity_types)]
    together = {command for crawler in same for command in commands_for(crawler.entity_types)}
    [(ahead, accounts)] = await database.query(
        sql("why_place"),
        {
            **this,
            "command": sorted((together or set(COMMANDS)) - in_force.commands),
            "paused_account": list(in_force.targets(Scope.ACCOUNT)),
            "paused_host": list(in_force.targets(Scope.HOST)),
            "most": MOST_AHEAD,
        },
    )
    return Facts(
        job,
        HolderFacts(*holders[0]) if holders else None,
        in_force,
        {pause[0]: PauseFacts(*pause[1:]) for pause in pauses},
        held_since,
        next_probe_at,
        [CapFacts(*cap) for cap in caps],
        crawlers,
        int(ahead or 0),
        accounts,
    )
