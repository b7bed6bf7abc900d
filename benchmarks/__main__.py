"""``python -m benchmarks``: measures this server and its peers with the same work, alternately, in one run."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.bench import open_bench
from benchmarks.figures import Result
from benchmarks.suite import WORKLOADS, Run
from benchmarks.wire import Broken


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a count was wrong or a workload failed."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if options.list:
        for workload in WORKLOADS.values():
            console.print(f"{workload.name:13} {workload.title}")
        return 0
    if options.show:
        _show(report.read_json(options.show), options, console)
        return 0
    where = report.machine()
    rounds = options.rounds or (1 if options.quick else 3)

    def keep(results: Mapping[str, Result]) -> None:
        if options.json:
            report.write_json(results, {"rounds": rounds, "quick": options.quick}, where, options.json)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers stop what they started
    results, whole = _measure(options.only or list(WORKLOADS), rounds, options.quick, console, keep)
    _show(results, options, console)
    return 0 if whole else 1


def _measure(
    names: Sequence[str], rounds: int, quick: bool, console: Console, keep: Callable[[Mapping[str, Result]], None]
) -> tuple[dict[str, Result], bool]:
    """The results of the successful workloads, passed to *keep* after each; and whether all succeeded."""
    results: dict[str, Result] = {}
    begun = time.monotonic()
    with open_bench() as bench:
        run = Run(bench, rounds, quick, lambda text: console.print(f"[dim]          {text}[/dim]"))
        for name in names:
            console.print(f"[dim]{time.monotonic() - begun:6.1f} s  {name}[/dim]")
            try:
                results[name] = WORKLOADS[name].run(run)
                keep(results)
            except Broken as problem:
                console.print(f"[bold red]{name}: {problem}[/bold red]")
            except Exception:  # the other workloads go on
                console.print_exception()
    return results, len(results) == len(names)


def _show(results: Mapping[str, Result], options: argparse.Namespace, console: Console) -> None:
    report.tables(results, console, options.markdown)
    if options.plots:
        _draw(results, options.plots, console)


def _draw(results: Mapping[str, Result], directory: Path, console: Console) -> None:
    try:
        from benchmarks import plots  # noqa: PLC0415 - matplotlib is an extra
    except ImportError as missing:
        console.print(f"[yellow]no plots: {missing.name} is not installed (extra bench)[/yellow]")
        return
    for path in plots.draw(results, directory):
        console.print(f"[dim]{path}[/dim]")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run everything once and small, in about a minute")
    parser.add_argument("--only", type=_names, metavar="NAME,…", help="these workloads (see --list)")
    parser.add_argument("--rounds", type=int, help="rounds of each contestant (default: 3, or 1 with --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots to DIR")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="show the figures that --json wrote, without measuring"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such workload: {', '.join(unknown)} (there is {', '.join(WORKLOADS)})")
    return names


if __name__ == "__main__":
    sys.exit(main())
