"""The workloads by name, and the parameters of a run."""

import importlib
from collections.abc import Callable, Mapping

import attrs

from benchmarks.bench import Bench
from benchmarks.figures import Result


@attrs.frozen
class Run:
    """The parameters of a run."""

    bench: Bench
    rounds: int
    quick: bool
    say: Callable[[str], None]

    def size(self, full: int, quick: int) -> int:
        """The amount of work: a quick run only shows that everything works."""
        return quick if self.quick else full


@attrs.frozen
class Workload:
    """One workload: ``function`` in ``benchmarks.workloads.<module>``, by default the module of its name."""

    name: str
    title: str
    curve: str | None = None
    function: str = "measure"
    module: str | None = None

    def run(self, run: Run) -> Result:
        """Measure it."""
        result = Result(self.name, self.title, curve=self.curve)
        module = importlib.import_module(f"benchmarks.workloads.{self.module or self.name}")
        getattr(module, self.function)(run, result)
        return result


_WORKLOADS = (
    Workload("lifecycles", "Durable lifecycles: request → started → completed → ack"),
    Workload("plain_crawler", "60 short jobs of the plain crawler, one after the other"),
    Workload("heartbeats", "Valid heartbeats in bursts, through the socket"),
    Workload("dispatch", "Dispatch to an idle crawler, which has asked before"),
    Workload("bulk", "Bulk submission, 10,000 jobs a request"),
    Workload("operation", "300,000 jobs retried, and cancelled, in bulk beside 32 crawlers that work"),
    Workload("http_worst", "The worst HTTP requests, 12 at once: a neighbour's longest wait"),
    Workload("idle", "1,000 connected crawlers, a heartbeat each 5 s"),
    Workload("recovery", "SIGKILL of a crawler: its job with another one"),
    Workload("start", "A node starts on an existing embedded database"),
    Workload("worst", "What a neighbour waits beside one message of 1 MiB at its worst"),
    Workload("crawlers", "Lifecycles by number of crawlers, one job each", "crawlers", "crawlers", "curves"),
    Workload("size", "Lifecycles by size of a progress report, 8 crawlers", "bytes", "size", "curves"),
    Workload("queue", "Lifecycles by length of the queue, 32 crawlers", "jobs queued", "queue", "curves"),
    Workload(
        "restricted", "Lifecycles with 1,000 paused lanes, and limits and budgets for all accounts and their host"
    ),
    Workload("dashboard", "The dashboard: its pages at 5,000,000 jobs, and what 50 open ones cost a node"),
    Workload("depth", "Full tables: 1,000,000 queued and 5,000,000 finished jobs; 100,000 that nobody here may take"),
)
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _WORKLOADS}
