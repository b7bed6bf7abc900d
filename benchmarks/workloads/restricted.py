"""Lifecycles under pauses, limits and budgets: two databases of one PostgreSQL, a node each, measured alternately."""

import contextlib

from benchmarks.bench import Database, Node
from benchmarks.figures import Result
from benchmarks.lifecycles import work_off
from benchmarks.suite import Run
from benchmarks.targets import FREE, RESTRICTED

_LANES = """
INSERT INTO accounts (id, provider, gitlab_url, access_token)
SELECT 'paused-' || n, 'gitlab-onprem', 'http://127.0.0.1:9', 'x' FROM generate_series(1, %(lanes)s) AS n;
INSERT INTO jobs (account_id, command, full_path)
SELECT 'paused-' || n, 'issues', 'paused/' || n FROM generate_series(1, %(lanes)s) AS n
"""
_RESTRICTIONS = """
INSERT INTO pauses (scope, target, author)
SELECT 'account', 'paused-' || n, 'bench' FROM generate_series(1, %(lanes)s) AS n;
UPDATE accounts SET max_running = 50000;
INSERT INTO hosts (origin, max_running) VALUES ('http://127.0.0.1:9', 50000)
  ON CONFLICT (origin) DO UPDATE SET max_running = excluded.max_running;
INSERT INTO budgets (gitlab_origin, account_id, jobs_allowed, reset_at)
SELECT 'http://127.0.0.1:9', id, 40000, now() + interval '1 hour' FROM accounts;
NOTIFY copilot_restrictions
"""
"""None of which keeps back the jobs of the account that is measured."""


def measure(run: Run, result: Result) -> None:
    """Lifecycles a second with 1,000 paused lanes, and limits and budgets for all; and with none of it."""
    lanes, jobs = run.size(full=1_000, quick=100), run.size(full=10_000, quick=300)
    with contextlib.ExitStack() as nodes:
        named: dict[str, Node] = {}
        for name, database in ((FREE, "free"), (RESTRICTED, "restricted")):
            named[name] = nodes.enter_context(run.bench.another_node(database, run.bench.database(database)))
        _restrict(named[RESTRICTED].database, lanes)
        for number in range(run.rounds):
            for name, node in named.items():
                for crawlers, each in ((32, 1), (32, 20)):
                    node.queue(f"{crawlers}x{each}-{number}", jobs)
                    done = work_off(node, crawlers, each, jobs)
                    figure = f"{name}, {crawlers} crawlers x {each}"
                    result.add(figure, "jobs/s", done.rate, **done.per_job())
                    run.say(f"round {number + 1}: {figure}: {done.rate:,.0f} jobs/s")
    for database in ("free", "restricted"):
        run.bench.database().execute(f'DROP DATABASE "{database}"')


def _restrict(database: Database, lanes: int) -> None:
    for statements in (_LANES, _RESTRICTIONS):
        database.execute(statements, {"lanes": lanes})
    database.execute("ANALYZE")
