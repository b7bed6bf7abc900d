"""The jobs for Celery: imported by its worker and by the process that queues them."""

import os

from celery import Celery

from benchmarks.peers import ledger

app = Celery("benchmarks", broker=f"redis+socket://{os.environ['BENCHMARK_REDIS']}")
app.conf.update(
    task_acks_late=True,  # acknowledge a job when it has run, not when it is sent
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def crawl(number: int, path: str) -> None:
    """Only record that it ran."""
    ledger.note(number)


def queue(count: int) -> None:
    """Queue *count* jobs."""
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            crawl.apply_async((number, f"group/{number}"), producer=producer)
