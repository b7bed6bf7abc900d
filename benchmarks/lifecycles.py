"""A round of lifecycles with a node, verified in the database afterwards."""

import itertools

from benchmarks import driver, wire
from benchmarks.bench import Node
from benchmarks.contestant import Done
from benchmarks.processes import usage

_numbers = itertools.count(1)


def lifecycles(node: Node, crawlers: int, jobs_each: int, jobs: int, reports: wire.Reports = wire.LIFECYCLE) -> Done:
    """Queue jobs, run them, and verify their number. Raises wire.Broken."""
    node.queue(f"round-{next(_numbers)}", jobs)
    return work_off(node, crawlers, jobs_each, jobs, reports)


def work_off(node: Node, crawlers: int, jobs_each: int, jobs: int, reports: wire.Reports = wire.LIFECYCLE) -> Done:
    """Run *jobs* of the queued ones with new crawlers, and verify their number. Raises wire.Broken."""
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
    """Verify that each job was sent once, and that acknowledged completions are stored. Raises wire.Broken."""
    if len({one.partition(".")[0] for one in heard.sent}) != len(heard.sent):
        raise wire.Broken("a job was sent again although its first attempt succeeded")
    [(stored,)] = node.database.execute(
        "SELECT count(DISTINCT j.id) FROM unnest(%s::text[]) AS a (id) "
        "JOIN job_assignments t ON t.web_app_job_id = split_part(a.id, '.', 1) AND t.crawler_job_id = a.id "
        "JOIN jobs j ON j.id = t.web_app_job_id WHERE j.status = 'completed' AND t.outcome = 'completed'",
        (heard.completed,),
    )
    if stored != len(heard.completed):
        raise wire.Broken(f"{len(heard.completed)} completions were acknowledged, {stored} are stored")
