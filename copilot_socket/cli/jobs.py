"""``copilot-socket jobs``: put jobs in, look at them, cancel and retry them, through the HTTP port of a node."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import add_json_option, emit, say
from copilot_socket.config import from_environment

TIMEOUT = 60.0
JOBS = "/api/v1/jobs"
_SHOWN = ("id", "status", "command", "full_path", "branch", "account_id", "attempts", "updated_at")


class Refused(CommandError):
    """The node can't be reached or said no; *document* is what it answered."""

    def __init__(self, text: str, document: Any = None) -> None:
        super().__init__(text)
        self.document = document


@attrs.frozen
class Node:
    """The HTTP port of a node at *url*, with the bearer *token* if it has one. Blocks."""

    url: str
    token: str | None = attrs.field(default=None, repr=False)

    def ask(self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON that comes back. Raises :class:`Refused`."""
        try:
            request = self._request(method, path, document, headers or {})
            # No proxy: it would make a loopback request a stranger's.
            with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Refused(f"no answer from {self.url}: {reason}. Is a node running there? (--url)") from None

    def _request(self, method: str, path: str, document: Any, headers: Mapping[str, str]) -> Request:
        if not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("not an http or https URL")
        request = Request(self.url.rstrip("/") + path, method=method, headers=dict(headers))
        if document is not None:
            request.data = json.dumps(document).encode()
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        return request


def _refusal(error: HTTPError) -> Refused:
    try:
        document = json.load(error)
        lines = [f"{document['title']}: {document['detail']}"]
        lines += [f"  {fault['path'] or '/'}: {fault['message']}" for fault in document.get("errors", [])]
    except (ValueError, KeyError, TypeError):
        return Refused(f"HTTP {error.code} {error.reason}")
    return Refused("\n".join(lines), document)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and options of ``jobs``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="address of the node's HTTP port (default: from the configuration)")
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_submit(actions.add_parser("submit", parents=[common], help="put jobs in"))
    listing = actions.add_parser("list", parents=[common], help="list jobs, newest first")
    for name in ("status", "account-id", "command", "full-path", "cursor"):
        # The command line's own command is args.command already.
        listing.add_argument(f"--{name}", dest=f"job_{name.replace('-', '_')}", metavar=name.upper())
    listing.add_argument("--limit", dest="job_limit", type=int, metavar="N", help="at most so many (default 100)")
    for action, text in (
        ("show", "show a job with its tries and errors"),
        ("cancel", "end a job that is not over"),
        ("retry", "queue a failed or cancelled job again"),
    ):
        actions.add_parser(action, parents=[common], help=text).add_argument("id", metavar="JOB")


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job_account_id", nargs="?", metavar="ACCOUNT")
    parser.add_argument("job_command", nargs="?", metavar="COMMAND", help="GROUP_PROJECT_DISCOVERY, issues, …")
    parser.add_argument("job_full_path", nargs="?", metavar="PATH", help="of the group or project")
    parser.add_argument("--file", metavar="FILE", help="JSON of one job or a list of jobs; - is standard input")
    parser.add_argument("--branch", dest="job_branch")
    parser.add_argument("--user-id", dest="job_user_id")
    parser.add_argument("--gitlab-url", dest="job_gitlab_url", metavar="URL")
    parser.add_argument("--priority", dest="job_priority", type=int, metavar="N", help="higher is sooner (default 0)")
    parser.add_argument(
        "--scheduled-at", dest="job_scheduled_at", metavar="TIME", help="not before, ISO-8601 with zone"
    )
    parser.add_argument("--max-attempts", dest="job_max_attempts", type=int, metavar="N", help="tries in all")
    parser.add_argument(
        "--resume-state", dest="job_resume_state", type=json.loads, metavar="JSON", help="where to go on from"
    )
    parser.add_argument("--idempotency-key", metavar="KEY", help="makes it safe to repeat this very request")


_FIELDS = (
    "account_id", "command", "full_path", "branch", "user_id", "gitlab_url", "priority", "scheduled_at",
    "max_attempts", "resume_state",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do what *args* say; the exit status. Raises CommandError or ConfigFaults."""
    as_json = getattr(args, "json", False)
    try:
        answer = _ACTIONS[args.action](_node(args), args)
    except Refused as error:
        if not as_json or error.document is None:
            raise
        emit(error.document)
        return 1
    if as_json:
        emit(answer)
    else:
        for line in _PRINTED[args.action](answer):
            say(line)
    return 0


def _node(args: argparse.Namespace) -> Node:
    if args.url is not None:
        # Whoever names another node need not have a configuration that one could run on.
        return Node(args.url, os.environ.get("COPILOT_HTTP_TOKEN") or None)
    config = from_environment()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_host, config.http_host)
    return Node(f"http://{f'[{host}]' if ':' in host else host}:{config.http_port}", config.http_token)


def _submit(node: Node, args: argparse.Namespace) -> Any:
    given = {name: value for name in _FIELDS if (value := getattr(args, f"job_{name}")) is not None}
    if args.file is not None and given:
        raise Refused("either --file or a job on the command line, not both")
    if args.file is None and ("account_id" not in given or "command" not in given):
        raise Refused("a job needs ACCOUNT and COMMAND, or --file")
    key = {} if args.idempotency_key is None else {"Idempotency-Key": args.idempotency_key}
    return node.ask("POST", JOBS, given if args.file is None else _read(args.file), key)


def _read(name: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{name}: {error}") from None


def _list(node: Node, args: argparse.Namespace) -> Any:
    names = ("status", "account_id", "command", "full_path", "cursor", "limit")
    query = {name: value for name in names if (value := getattr(args, f"job_{name}")) is not None}
    return node.ask("GET", JOBS + (f"?{urlencode(query)}" if query else ""))


def _show(node: Node, args: argparse.Namespace) -> Any:
    return node.ask("GET", f"{JOBS}/{quote(args.id, safe='')}")


def _change(node: Node, args: argparse.Namespace) -> Any:
    return node.ask("POST", f"{JOBS}/{quote(args.id, safe='')}/{args.action}")


_ACTIONS = {"submit": _submit, "list": _list, "show": _show, "cancel": _change, "retry": _change}


def _submitted(answer: Any) -> list[str]:
    pairs = zip(answer["ids"], answer["created"], strict=True)
    return [f"{job_id}  {'created' if created else 'live already'}" for job_id, created in pairs]


def _listed(answer: Any) -> list[str]:
    rows = [[_text(job[name]) for name in _SHOWN] for job in answer["jobs"]]
    return _table([list(_SHOWN), *rows]) + ([f"more: --cursor {answer['next']}"] if answer["next"] else [])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shown(answer: Any) -> list[str]:
    lines = [f"{name}: {_text(value)}" for name, value in answer.items() if not isinstance(value, list)]
    for item in answer["tries"]:
        lines.append(
            f"try {item['try']}: {item['outcome']} at {item['ended_at']} {_text(item['reason'])}".rstrip(" -")
        )
    lines += [f"error at {item['timestamp']}: {_text(item['error_message'])}" for item in answer["errors"]]
    return lines


def _changed(answer: Any) -> list[str]:
    return [f"{answer['id']}  {answer['status']}"]


_PRINTED = {"submit": _submitted, "list": _listed, "show": _shown, "cancel": _changed, "retry": _changed}


def _text(value: Any) -> str:
    """*value* on one line, in characters that do nothing to a terminal."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else " " for character in text)
