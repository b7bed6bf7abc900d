"""Acts on many jobs: a preview, a question, an operation whose progress is shown, and its result."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.errors import CommandError, UsageError
from copilot_socket.cli.filters import add_filter_option, body
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.output import complain, confirmed, say

JOBS = "/api/v1/jobs"
BULK = f"{JOBS}/bulk"
OPERATIONS = "/api/v1/operations"
_LOOK = 0.5
"""Seconds between looks at the operation."""
_EVERY = 5.0
"""Seconds between lines of its progress."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the jobs, and ``--yes``."""
    add_answer_options(parser)
    parser.add_argument("id", nargs="*", metavar="JOB")
    add_filter_option(parser, JOBS)
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(args: argparse.Namespace) -> int:
    """Carry out the action for the jobs that *args* name; the exit status. Raises CommandError and ConfigFaults."""
    done: dict[str, Any] = {}

    def request(node: Node) -> Any:
        done.update(_carry_out(node, args))
        return done

    return print_answer(args, request, lambda done, _: lines(done)) or (0 if _whole(done, args.id) else 1)


def lines(operation: Any) -> list[str]:
    """The result of an operation, or how far it is; or the preview of one that is about no job."""
    if "id" not in operation:
        return [f"{operation['action']}: no such job is in a state that allows it"]
    shown = (
        f"{operation['id']}  {operation['action']}: {operation['status']}, {count(operation['changed_total'])} done"
    )
    found = [shown + _by(operation["changed"])]
    if operation["skipped_total"]:
        found.append(f"skipped: {operation['skipped_total']}{_by(operation['skipped'])}")
    left = (operation["ids"] or 0) - operation["changed_total"] - operation["skipped_total"]
    if operation["ids"] is not None and operation["status"] == "done" and left:
        found.append(f"not in a state that allows it, or unknown: {left}")
    return found + ([f"error: {operation['error']}"] if operation["error"] else [])


def _carry_out(node: Node, args: argparse.Namespace) -> Any:
    if bool(args.id) == (args.filter is not None):
        raise UsageError(f"jobs {args.action} needs either the ids of jobs, or --filter NAME=VALUE …")
    which = {"ids": args.id} if args.id else {"filter": body(args, JOBS)}
    preview = node.request("POST", BULK, {"action": args.action, **which, "dry_run": True})
    if preview["expected"] == 0:
        return preview
    about = "" if preview["expected_exact"] else "about "
    question = f"{args.action} {about}{count(preview['expected'])}{_by(preview.get('states', {}))}?"
    if not args.yes and not confirmed(question):
        raise CommandError("nothing was done")
    operation = node.request("POST", BULK, {"action": args.action, **which})
    try:
        return wait(node, operation, quiet=args.json)
    except KeyboardInterrupt:
        complain(f"the operation goes on; to end it: copilot-socket operations abort {operation['id']}")
        raise


def wait(node: Node, operation: Any, *, quiet: bool) -> Any:
    """*operation* when it has ended; its progress is printed, unless *quiet*."""
    told = time.monotonic()
    while operation["status"] == "running":
        time.sleep(_LOOK)
        operation = node.request("GET", f"{OPERATIONS}/{segment(operation['id'])}")
        if not quiet and operation["status"] == "running" and time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            about = "" if operation["expected_exact"] else "about "
            say(f"{operation['changed_total'] + operation['skipped_total']:,} of {about}{operation['expected']:,}")
    return operation


def _whole(operation: Any, named: Sequence[str]) -> bool:
    """Whether all was done: nothing was skipped, and each of the *named* jobs was in a state that allows it."""
    if "id" not in operation:
        return not named
    missing = bool(named) and operation["changed_total"] < len(set(named))
    return operation["status"] == "done" and operation["skipped_total"] == 0 and not missing


def count(jobs: int) -> str:
    """A number of jobs."""
    return "1 job" if jobs == 1 else f"{jobs:,} jobs"


def _by(counts: Any) -> str:
    return f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""
