"""``copilot-socket jobs``: submits, finds and shows jobs, and acts on one or many, through a node's HTTP port."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from copilot_socket.cli import bulk, job_filters
from copilot_socket.cli.node import Node, Refused, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.output import add_json_option, cell, page
from copilot_socket.core.bulk import Action

JOBS = "/api/v1/jobs"
_SHOWN = ("id", "status", "command", "full_path", "branch", "account_id", "tries", "failures", "updated_at")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and options of ``jobs``."""
    common = argparse.ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    submit = add_action(actions, "submit", "submit a job given by arguments, or many from a file", common)
    _add_submit(submit)
    _add_list(add_action(actions, "list", "list jobs, newest first", common))
    for action, text in (
        ("show", "show a job with its attempts and errors"),
        ("why", "say why a job is in its state, or does not run"),
    ):
        single = add_action(actions, action, text, common)
        single.add_argument("id", metavar="JOB")
        add_examples(single, f"copilot-socket jobs {action} 01JD0000000000000000000000")
    for action, text, example in (
        ("cancel", "cancel jobs that have not finished", "path_prefix=acme"),
        ("retry", "queue failed and cancelled jobs again", "status=failed"),
        ("pause", "pause jobs that are queued or being processed", "account_id=me command=commits,branches"),
        ("resume", "queue paused jobs again", "account_id=me"),
        ("recover", "take jobs from crawlers that are stuck with them", "updated_before=2026-11-01T00:00:00Z"),
        ("delete", "delete jobs that have finished", "finished_before=2026-11-01T00:00:00Z"),
    ):
        changing = add_action(actions, action, text, common)
        bulk.add_options(changing)
        add_examples(
            changing,
            f"copilot-socket jobs {action} 01JD0000000000000000000000",
            f"copilot-socket jobs {action} --filter {example}",
            f"copilot-socket jobs {action} --filter {example} --yes --json",
        )
    add_examples(
        parser,
        "copilot-socket jobs submit me GROUP_PROJECT_DISCOVERY",
        "copilot-socket jobs list --status failed",
        "copilot-socket jobs submit --help",
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    job_filters.add_options(parser)
    add_examples(
        parser,
        "copilot-socket jobs list",
        "copilot-socket jobs list --status running --account-id me --limit 20",
        "copilot-socket jobs list --status failed,cancelled --path-prefix acme --order full_path --total",
        "copilot-socket jobs list --status running --updated-before 2026-11-01T00:00:00Z --order=-updated_at",
        "copilot-socket jobs list --json --url http://127.0.0.1:3001",
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
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _submit(node: Node, args: argparse.Namespace) -> Any:
    given = {name: value for name in _FIELDS if (value := getattr(args, f"job_{name}")) is not None}
    if args.file is not None and given:
        raise Refused("either --file or a job on the command line, not both")
    if args.file is None and ("account_id" not in given or "command" not in given):
        raise Refused("a job needs ACCOUNT and COMMAND, or --file")
    key = {} if args.idempotency_key is None else {"Idempotency-Key": args.idempotency_key}
    return node.request("POST", JOBS, given if args.file is None else _read(args.file), key)


def _read(name: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except AttributeError:
        raise Refused("standard input is closed") from None
    except (OSError, ValueError) as error:
        raise Refused(f"{name}: {error}") from None


def _list(node: Node, args: argparse.Namespace) -> Any:
    return node.request("GET", with_query(JOBS, job_filters.query(args)))


def _show(node: Node, args: argparse.Namespace) -> Any:
    return node.request("GET", f"{JOBS}/{segment(args.id)}")


def _why(node: Node, args: argparse.Namespace) -> Any:
    return node.request("GET", f"{JOBS}/{segment(args.id)}/why")


def _change(node: Node, action: str, job: str) -> Any:
    path = f"{JOBS}/{segment(job)}"
    return node.request("DELETE", path) if action == "delete" else node.request("POST", f"{path}/{action}")


_ACTIONS = {"submit": _submit, "list": _list, "show": _show, "why": _why}
_CHANGES = frozenset(map(str, Action))


def _submitted(answer: Any) -> list[str]:
    pairs = zip(answer["ids"], answer["created"], strict=True)
    return [f"{job_id}  {'created' if created else 'already live'}" for job_id, created in pairs]


def _listed(answer: Any) -> list[str]:
    empty = (
        "No jobs. First account and jobs: copilot-socket seed; "
        "further jobs: copilot-socket jobs submit ACCOUNT COMMAND [PATH]"
    )
    return page(answer, "jobs", _SHOWN, empty)


def _shown(answer: Any) -> list[str]:
    lines = [f"{name}: {cell(value)}" for name, value in answer.items() if not isinstance(value, list)]
    for item in answer["history"]:
        ended = f"try {item['try']}: {item['outcome']} ({cell(item['cause'])}) at {item['ended_at']}"
        lines.append(f"{ended} {cell(item['reason'])}".rstrip(" -"))
    lines += [f"error at {item['timestamp']}: {cell(item['error_message'])}" for item in answer["errors"]]
    return lines


def _changed(answer: Any) -> list[str]:
    if "deleted" in answer:
        return [f"{answer['id']}  deleted"]
    asked = ", asked to give it back" if answer.get("pausing") else ""
    return [f"{answer['id']}  {answer['status']}{asked}"]


def _explained(answer: Any) -> list[str]:
    return [cell(answer["sentence"])]


_PRINTED = {"submit": _submitted, "list": _listed, "show": _shown, "why": _explained}
