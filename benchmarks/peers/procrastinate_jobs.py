"""The jobs for procrastinate: imported by its worker and by the process that queues them."""

import os

import procrastinate

from benchmarks.peers import ledger

DSN = os.environ["BENCHMARK_DSN"]
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DSN, min_size=8, max_size=8))


@app.task(name="crawl")
async def crawl(number: int, path: str) -> None:
    """Only record that it ran."""
    ledger.note(number)


def queue(count: int) -> None:
    """Create the tables and queue *count* jobs."""
    with app.replace_connector(procrastinate.SyncPsycopgConnector(conninfo=DSN)) as sync, sync.open():
        sync.schema_manager.apply_schema()
        jobs = sync.configure_task("crawl")
        jobs.batch_defer(*({"number": number, "path": f"group/{number}"} for number in range(count)))
