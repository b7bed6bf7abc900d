"""The workloads by name, and the run that takes them one after another."""

import importlib
from collections.abc import Callable, Mapping

import attrs

from benchmarks.bench import Bench
from benchmarks.figures import Result


@attrs.frozen
class Run:
    """What a workload needs to know."""

    bench: Bench
    rounds: int
    quick: bool
    say: Callable[[str], None]

    def size(self, full: int, quick: int) -> int:
        """How much to do: a quick run only shows that everything works."""
        return quick if self.quick else full


@attrs.frozen
class Workload:
    """One subject; ``measure`` is found in the module of the same name."""

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


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (Workload("lifecycles", "Durable lifecycles: request → started → completed → ack"),)
}
