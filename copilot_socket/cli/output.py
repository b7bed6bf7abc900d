"""What the command says: to people in lines, to programs in JSON. The only place that writes."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from typing import Any


def say(text: str) -> None:
    """A line of the answer."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """A line about what went wrong."""
    sys.stderr.write(f"copilot-socket: {text}\n")


def emit(answer: Any) -> None:
    """The whole answer, for programs."""
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


def add_json_option(parser: ArgumentParser) -> None:
    """`--json`; `args.json` is True when it was given, here or before the command."""
    parser.add_argument("--json", action="store_true", default=SUPPRESS, help="answer in JSON, for programs")


def emit_line(answer: Any) -> None:
    """One of many answers, on a line of its own and at once."""
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def printable(value: Any) -> str:
    """*value* on one line, in characters that do nothing to a terminal."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else " " for character in text)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """*rows*, the first one the headings, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
