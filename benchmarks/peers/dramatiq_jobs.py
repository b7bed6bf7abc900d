"""The jobs for dramatiq: imported by its workers and by the process that queues them."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import ledger

dramatiq.set_broker(RedisBroker(url=f"unix://{os.environ['BENCHMARK_REDIS']}"))


@dramatiq.actor
def crawl(number: int, path: str) -> None:
    """Only record that it ran."""
    ledger.note(number)


def queue(count: int) -> None:
    """Queue *count* jobs."""
    for number in range(count):
        crawl.send(number, f"group/{number}")
