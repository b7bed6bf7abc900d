"""Durable lifecycles a second: this server, its peers, and PostgreSQL alone, alternately."""

import attrs

from benchmarks.bench import Bench
from benchmarks.contestant import Contestant, Done
from benchmarks.figures import Result
from benchmarks.lifecycles import lifecycles
from benchmarks.peers import node_queues, pgbench, queues
from benchmarks.peers.beanstalkd import Beanstalkd
from benchmarks.peers.plain import Plain
from benchmarks.suite import Run


@attrs.frozen
class Ours:
    """This server with a number of crawlers, each of which holds *jobs_each* jobs."""

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
        node = bench.node()
        node.clear()
        return lifecycles(node, self.crawlers, self.jobs_each, self.quick if quick else self.jobs)


CONTESTANTS: tuple[Contestant, ...] = (
    Ours(32, 1, jobs=20_000),
    Ours(8, 1, jobs=10_000),
    Ours(32, 20, jobs=20_000),
    Beanstalkd(),
    Plain(),
    *queues.PEERS,
    *node_queues.PEERS,
    pgbench.ONE_BY_ONE,
    pgbench.BATCHED,
)


def measure(run: Run, result: Result) -> None:
    """All contestants, alternately. A peer that fails is skipped; this server must not fail."""
    for number in range(run.rounds):
        for contestant in CONTESTANTS:
            if contestant.name in result.skipped:
                continue
            if missing := contestant.missing():
                result.skip(contestant.name, missing)
                continue
            try:
                done = contestant.round(run.bench, run.quick)
            except Exception as problem:
                if isinstance(contestant, Ours):
                    raise
                result.skip(contestant.name, f"it failed: {problem}")
                continue
            result.add(contestant.name, "jobs/s", done.rate, **done.per_job())
            run.say(f"round {number + 1}: {contestant.name}: {done.rate:,.0f} jobs/s")
