"""Durable lifecycles a second: this server, its peers, and what PostgreSQL itself does, round by round."""

from collections.abc import Iterator

import attrs

from benchmarks import driver, wire
from benchmarks.bench import Bench, Node
from benchmarks.contestant import Contestant, Done
from benchmarks.figures import Result
from benchmarks.peers import pgbench
from benchmarks.peers.beanstalkd import Beanstalkd
from benchmarks.peers.plain import Plain
from benchmarks.peers.queues import PEERS
from benchmarks.processes import usage
from benchmarks.suite import Run

_round_numbers: Iterator[int] = iter(range(1_000_000))


@attrs.frozen
class Ours:
    """A node of ours with so many crawlers, which hold so many jobs each."""

    crawlers: int
    jobs_each: int
    jobs: int
    quick: int = 1_000

    @property
    def name(self) -> str:
        return f"copilot-socket, {self.crawlers} crawlers x {self.jobs_each}"

    def missing(self) -> str | None:
        return None

    def round(self, bench: Bench, quick: bool) -> Done:
        return lifecycles(bench.node(), self.crawlers, self.jobs_each, self.quick if quick else self.jobs)


CONTESTANTS: tuple[Contestant, ...] = (
    Ours(32, 1, jobs=20_000),
    Ours(8, 1, jobs=10_000),
    Ours(32, 20, jobs=20_000),
    Beanstalkd(),
    Plain(),
    *PEERS,
    pgbench.ONE_BY_ONE,
    pgbench.BATCHED,
)


def measure(run: Run, result: Result) -> None:
    """All contestants, in turns."""
    present = []
    for contestant in CONTESTANTS:
        missing = contestant.missing()
        if missing is None:
            present.append(contestant)
        else:
            result.skip(contestant.name, missing)
    for number in range(run.rounds):
        for contestant in present:
            done = contestant.round(run.bench, run.quick)
            result.add(contestant.name, "jobs/s", done.rate, **done.per_job())
            run.say(f"round {number + 1}: {contestant.name}: {done.rate:,.0f} jobs/s")


def lifecycles(node: Node, crawlers: int, jobs_each: int, jobs: int, reports: wire.Reports = wire.LIFECYCLE) -> Done:
    """Queue jobs, have them done, and count them in the database. Raises wire.Broken."""
    name = f"round-{next(_round_numbers)}"
    queue(node, name, jobs)
    return driver.run(_work(node, name, driver.Fleet(node.socket_path, jobs_each, reports), crawlers, jobs))


def queue(node: Node, name: str, jobs: int) -> None:
    """Queue *jobs* whose paths begin with *name*, and let PostgreSQL know how full its tables are."""
    node.database.execute(
        "INSERT INTO jobs (account_id, command, full_path) "
        "SELECT 'bench', 'issues', %s || '/' || n FROM generate_series(1, %s) AS n",
        (name, jobs),
    )
    node.database.execute("VACUUM ANALYZE jobs")


async def _work(node: Node, name: str, fleet: driver.Fleet, crawlers: int, jobs: int) -> Done:
    await fleet.connect(crawlers, name)
    before = usage(node.pid, node.database.postmaster)
    seconds = await fleet.work(jobs)
    spent = usage(node.pid, node.database.postmaster) - before
    fleet.close()
    check(node, name, wire.read(fleet.heard), jobs)
    return Done(jobs, seconds, spent)


def check(node: Node, name: str, heard: wire.Heard, jobs: int) -> None:
    """Every job was handed out once, and all that was acknowledged is in the database. Raises wire.Broken."""
    if len({one.partition(".")[0] for one in heard.handed_out}) != len(heard.handed_out):
        raise wire.Broken("a job was handed out again although its first try went well")
    rows = node.database.execute(
        "SELECT t.crawler_job_id FROM jobs j JOIN job_tries t ON t.job_id = j.id "
        "WHERE j.status = 'completed' AND t.outcome = 'completed' AND j.full_path LIKE %s || '/%%'",
        (name,),
    )
    stored = [row[0] for row in rows]
    if not len(stored) == len(heard.completed) == jobs or set(stored) != set(heard.completed):
        raise wire.Broken(f"of {jobs} jobs {len(heard.completed)} were acknowledged and {len(stored)} are stored")
