"""``copilot-socket jobs``: submits, finds and shows jobs, and acts on one or many, through a node's HTTP port."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from copilot_socket.cli import bulk, job_details
from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.errors import CommandError, UsageError
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import Screen, Styled, escaped
from copilot_socket.cli.tables import Column, Kind, text

JOBS = bulk.JOBS
LISTING = Listing(
    JOBS,
    "jobs",
    (
        Column("id", Kind.NAME),
        Column("status", Kind.STATE),
        Column("command"),
        Column("full_path", Kind.PATH),
        Column("updated_at", Kind.TIME),
        Column("account_id"),
        Column("branch"),
        Column("cause"),
        Column("tries", Kind.NUMBER),
        Column("failures", Kind.NUMBER),
    ),
    "No jobs. First account and jobs: copilot-socket seed; "
    "further jobs: copilot-socket jobs submit ACCOUNT COMMAND [PATH]",
)
_WAITING = frozenset({"queued", "paused", "waiting_credential"})
_INCLUDED = {
    "children": Column("children", Kind.NUMBER),
    "progress": Column("progress"),
    "resume_state": Column("resume_state"),
}
_CHANGES = {
    "cancel": ("cancel jobs that have not finished", "path_prefix=acme"),
    "retry": ("queue failed and cancelled jobs again", "status=failed"),
    "pause": ("pause jobs that are queued or being processed", "account_id=me command=commits,branches"),
    "resume": ("queue paused jobs again", "account_id=me"),
    "recover": ("take jobs from crawlers that are stuck with them", "updated_before=2026-11-01T00:00:00Z"),
    "delete": ("delete jobs that have finished", "finished_before=2026-11-01T00:00:00Z"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and options of ``jobs``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    submit = add_action(actions, "submit", "submit a job given by arguments, or many from a file")
    add_answer_options(submit)
    _add_submit(submit)
    LISTING.add_to(
        actions,
        "list jobs, newest first",
        "copilot-socket jobs list --status running --account-id me --limit 20 --watch",
        "copilot-socket jobs list --filter status=failed,cancelled path_prefix=acme --order full_path --total",
        "copilot-socket jobs list --status running --updated-before 2026-11-01T00:00:00Z --order=-updated_at",
        "copilot-socket jobs list --json --url http://127.0.0.1:3001",
    )
    job = "01JD0000000000000000000000"
    show = f"copilot-socket jobs show {job}"
    _SHOWING.add_to(
        actions, "show", "show jobs with their cursor, attempts and errors", "JOB", show, f"{show} --watch"
    )
    _WHY.add_to(
        actions, "why", "say why jobs are in their state, or do not run", "JOB", f"copilot-socket jobs why {job}"
    )
    for action, (about, example) in _CHANGES.items():
        changing = add_action(actions, action, about)
        bulk.add_options(changing)
        add_examples(
            changing,
            f"copilot-socket jobs {action} {job}",
            f"copilot-socket jobs {action} --filter {example}",
            f"copilot-socket jobs {action} --filter {example} --yes --json",
        )
    add_examples(
        parser,
        "copilot-socket jobs submit me GROUP_PROJECT_DISCOVERY",
        "copilot-socket jobs list --status failed",
        "copilot-socket jobs submit --help",
    )


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job_account_id", nargs="?", metavar="ACCOUNT")
    parser.add_argument("job_command", nargs="?", metavar="COMMAND", help="GROUP_PROJECT_DISCOVERY, issues, …")
    parser.add_argument("job_full_path", nargs="?", metavar="PATH", help="of the group or project")
    parser.add_argument("--file", metavar="FILE", help="JSON of one job or a list of jobs; - is standard input")
    parser.add_argument("--branch", dest="job_branch")
    parser.add_argument("--user-id", dest="job_user_id")
    parser.add_argument("--gitlab-url", dest="job_gitlab_url", metavar="URL")
    parser.add_argument(
        "--priority", dest="job_priority", type=int, metavar="N", help="higher runs sooner (default 0)"
    )
    parser.add_argument(
        "--scheduled-at", dest="job_scheduled_at", metavar="TIME", help="earliest start, ISO-8601 with zone"
    )
    parser.add_argument(
        "--max-attempts",
        dest="job_max_attempts",
        type=int,
        metavar="N",
        help="failures after which the job has failed for good",
    )
    parser.add_argument(
        "--resume-state", dest="job_resume_state", type=json.loads, metavar="JSON", help="cursor to start from"
    )
    parser.add_argument("--idempotency-key", metavar="KEY", help="makes it safe to repeat this request")
    add_examples(
        parser,
        "copilot-socket jobs submit me GROUP_PROJECT_DISCOVERY",
        "copilot-socket jobs submit me commits acme/shop --branch main --priority 5",
        "copilot-socket jobs submit --file jobs.json",
    )


_FIELDS = (
    "account_id", "command", "full_path", "branch", "user_id", "gitlab_url", "priority", "scheduled_at",
    "max_attempts", "resume_state",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action in _CHANGES:
        if args.filter is not None or len(args.id) != 1 or args.action == "recover":
            return bulk.run(args)
        return print_answer(args, lambda node: _change(node, args.action, args.id[0]), _changed)
    if args.action == "submit":
        return print_answer(args, lambda node: _submit(node, args), _submitted)
    if args.action == "list":
        included = [_INCLUDED[name] for name in (args.include or "").split(",") if name]
        return LISTING._replace(columns=(*LISTING.columns, *included)).run(args)
    return (_SHOWING if args.action == "show" else _WHY).run(args)


def _submit(node: Node, args: argparse.Namespace) -> Any:
    given = {name: value for name in _FIELDS if (value := getattr(args, f"job_{name}")) is not None}
    if args.file is not None and given:
        raise UsageError("either --file or a job on the command line, not both")
    if args.file is None and ("account_id" not in given or "command" not in given):
        raise UsageError("a job needs ACCOUNT and COMMAND, or --file")
    key = {} if args.idempotency_key is None else {"Idempotency-Key": args.idempotency_key}
    return node.request("POST", JOBS, given if args.file is None else _read(args.file), key)


def _read(name: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except AttributeError:
        raise CommandError("standard input is closed") from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{name}: {error}") from None


def _change(node: Node, action: str, job: str) -> Any:
    path = f"{JOBS}/{segment(job)}"
    return node.request("DELETE", path) if action == "delete" else node.request("POST", f"{path}/{action}")


def _submitted(answer: Any, _on: Screen) -> list[str]:
    pairs = zip(answer["ids"], answer["created"], strict=True)
    return [escaped(f"{job_id}  {'created' if created else 'already live'}") for job_id, created in pairs]


def _changed(answer: Any, on: Screen) -> list[str]:
    name = text(answer["id"])
    if "deleted" in answer:
        return [escaped(f"{name}  deleted")]
    asked = ", asked to give it back" if answer.get("pausing") else ""
    return [Styled(f"{name}  {on.state(text(answer['status']))}{asked}")]


def _explained(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{answer['id']}  {answer['sentence']}")]


def _with_why(node: Node, job: Any) -> Any:
    """*job* with why it waits, if it does."""
    waits = job["status"] in _WAITING
    return {**job, "why": node.request("GET", f"{JOBS}/{segment(job['id'])}/why")["sentence"]} if waits else job


_WHY = Showing(JOBS, "jobs", _explained, "/why")
_SHOWING = Showing(JOBS, "jobs", job_details.lines, beside=_with_why)
