"""A round of lifecycles with a node of ours, counted in the database afterwards."""

import itertools

from benchmarks import driver, wire
from benchmarks.bench import Node
from benchmarks.contestant import Done
from benchmarks.processes import usage

_numbers = itertools.count(1)


def lifecycles(node: Node, crawlers: int, jobs_each: int, jobs: int, reports: wire.Reports = wire.LIFECYCLE) -> Done:
    """Queue jobs, have them done, and count them. Raises wire.Broken."""
    node.queue(f"round-{next(_numbers)}", jobs)
    return work_off(node, crawlers, jobs_each, jobs, reports)


def work_off(node: Node, crawlers: int, jobs_each: int, jobs: int, reports: wire.Reports = wire.LIFECYCLE) -> Done:
    """Have *jobs* of those that are queued done by new crawlers, and count them. Raises wire.Broken."""
    return driver.run(_work(node, driver.Fleet(node.socket_path, jobs_each, reports), crawlers, jobs))


async def _work(node: Node, fleet: driver.Fleet, crawlers: int, jobs: int) -> Done:
    await fleet.connect(crawlers, f"crew-{next(_numbers)}")
    before = usage(node.pid, node.database.postmaster)
    seconds = await fleet.work(jobs)
    spent = usage(node.pid, node.database.postmaster) - before
    await fleet.close()
    check(node, wire.read(fleet.heard))
    return Done(jobs, seconds, spent)


def check(node: Node, heard: wire.Heard) -> None:
    """Every job was handed out once, and all that was acknowledged is in the database. Raises wire.Broken."""
    if len({one.partition(".")[0] for one in heard.handed_out}) != len(heard.handed_out):
        raise wire.Broken("a job was handed out again although its first try went well")
    [(stored,)] = node.database.execute(
        "SELECT count(DISTINCT j.id) FROM unnest(%s::text[]) AS a (id) "
        "JOIN job_assignments t ON t.web_app_job_id = split_part(a.id, '.', 1) AND t.crawler_job_id = a.id "
        "JOIN jobs j ON j.id = t.web_app_job_id WHERE j.status = 'completed' AND t.outcome = 'completed'",
        (heard.completed,),
    )
    if stored != len(heard.completed):
        raise wire.Broken(f"{len(heard.completed)} completions were acknowledged, {stored} are stored")
