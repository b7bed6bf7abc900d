"""Claims and completions in PostgreSQL alone, with pgbench: the limits."""

import functools
import operator
import re
import subprocess
import tempfile

import attrs

from benchmarks.bench import Bench
from benchmarks.contestant import WORKERS, Done
from benchmarks.processes import usage
from benchmarks.wire import Broken
from copilot_socket.store.embedded.binaries import packaged_programs

_SETUP = """
DROP TABLE IF EXISTS yardstick;
CREATE TABLE yardstick (id bigint PRIMARY KEY, status text NOT NULL, holder text)
  WITH (autovacuum_enabled = off);
INSERT INTO yardstick SELECT n, 'queued', NULL FROM generate_series(1, {jobs}) AS n;
CREATE INDEX ON yardstick (id) WHERE status = 'queued';
VACUUM ANALYZE yardstick
"""

_ONE_BY_ONE = """
UPDATE yardstick SET status = 'assigned', holder = 'x' WHERE id = (
  SELECT id FROM yardstick WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id \\gset
UPDATE yardstick SET status = 'completed' WHERE id = :id;
"""

_BATCHED = """
WITH best AS MATERIALIZED (
  SELECT id FROM yardstick WHERE status = 'queued' ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE yardstick y SET status = 'assigned', holder = 'x' FROM best WHERE y.id = best.id RETURNING y.id
) SELECT array_agg(id)::text AS ids FROM claimed \\gset
UPDATE yardstick SET status = 'completed' WHERE id = ANY (:ids::bigint[]);
"""


@attrs.frozen
class Limit:
    """8 clients that do nothing but claim and complete, *batch* jobs at a time, each statement durable.

    In legs, each on a new table, so that the limit does not depend on the duration: index entries of finished jobs
    stay until a vacuum and slow down every claim; and statistics from a nearly empty queue lead to bad plans.
    """

    name: str
    _script: str
    _batch: int
    _transactions: int
    """For each client and leg."""
    _legs: int

    def missing(self) -> str | None:
        return None

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if fewer jobs were completed than expected."""
        legs = [self._leg(bench) for _ in range(1 if quick else self._legs)]
        spent = functools.reduce(operator.add, (leg.spent for leg in legs))
        return Done(sum(leg.jobs for leg in legs), sum(leg.seconds for leg in legs), spent)

    def _leg(self, bench: Bench) -> Done:
        database = bench.database("yardstick")
        jobs = self._transactions * WORKERS * self._batch
        for statement in _SETUP.format(jobs=jobs).split(";"):
            database.execute(statement)
        before = usage(None, bench.postmaster, children=True)
        rate = _run(self._script, self._transactions, database.dsn)
        after = usage(None, bench.postmaster, children=True)
        [(completed,)] = database.execute("SELECT count(*) FROM yardstick WHERE status = 'completed'")
        if completed != jobs:
            raise Broken(f"pgbench completed {completed} of {jobs} jobs")
        return Done(jobs, jobs / (rate * self._batch), after - before)


def _run(script: str, transactions: int, dsn: str) -> float:
    """Transactions a second, without the time to connect."""
    program = packaged_programs()["pgbench"]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        options = ["-n", "-M", "prepared", "-c", str(WORKERS), "-j", "2", "-t", str(transactions), "-f", file.name]
        done = subprocess.run([program, *options, dsn], capture_output=True, text=True, check=True, timeout=300)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise Broken(f"pgbench printed no figure:\n{done.stdout}")
    return float(found[1])


ONE_BY_ONE = Limit("pgbench one by one", _ONE_BY_ONE, batch=1, transactions=500, legs=6)
BATCHED = Limit("pgbench batched", _BATCHED, batch=100, transactions=40, legs=6)
