"""`copilot-socket`: imports the module of the command, runs it, and maps its exceptions to an exit status.

A command is a module with `add_arguments(parser)` and `run(args) -> int`; register new ones in COMMANDS.
"""

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import (
    Parser,
    ReaderGone,
    ShowVersion,
    Unwritable,
    abandon,
    add_json_option,
    complain,
    emit,
    escape_unencodable,
    standard_output,
)

_INTERRUPTED = 130  # the shell's convention: 128 + SIGINT


@attrs.frozen
class Command:
    """The module of a command and its help. *answers*: it needs standard output for its result."""

    module: str
    help: str
    answers: bool = True


COMMANDS: dict[str, Command] = {
    "run": Command("copilot_socket.cli.run", "run a node in the foreground", answers=False),
    "check": Command("copilot_socket.cli.check", "check configuration, database, socket, HTTP port and log files"),
    "migrate": Command("copilot_socket.cli.migrate", "bring the database's tables up to date"),
    "seed": Command("copilot_socket.cli.seed", "store a first account and its first jobs"),
    "jobs": Command("copilot_socket.cli.jobs", "submit, find and show jobs, and act on one or many"),
    "operations": Command("copilot_socket.cli.operations", "list, show and end bulk operations on jobs"),
    "crawlers": Command("copilot_socket.cli.crawlers", "list the crawlers, their jobs and last heartbeats"),
    "nodes": Command("copilot_socket.cli.nodes", "list the nodes and what each serves"),
    "stats": Command("copilot_socket.cli.stats", "count jobs by state, what waits and why, and crawlers"),
    "pauses": Command("copilot_socket.cli.pauses", "hold jobs back, and let them go again"),
    "accounts": Command("copilot_socket.cli.accounts", "list accounts; set their weight and limit of running jobs"),
    "hosts": Command("copilot_socket.cli.hosts", "list GitLab hosts; set their limit of running jobs"),
    "budgets": Command("copilot_socket.cli.budgets", "list, set and forget what GitLab still allows of requests"),
    "tokens": Command("copilot_socket.cli.tokens", "make, list and revoke tokens of the HTTP API"),
    "token": Command("copilot_socket.cli.token", "print the token of this machine's node"),
    "errors": Command("copilot_socket.cli.error_groups", "list errors in groups, show and ignore a group"),
    "audit": Command("copilot_socket.cli.audit", "list who did what, and who was refused"),
    "tail": Command("copilot_socket.cli.tail", "watch jobs, crawlers and connections live"),
    "cleanup": Command("copilot_socket.cli.cleanup", "remove old jobs, errors and connections now"),
    "demo": Command("copilot_socket.cli.demo", "run a whole crawl on this machine, with a made-up GitLab"),
    "oauth-clients": Command(
        "copilot_socket.cli.oauth_clients", "manage the OAuth clients that refresh tokens of further GitLabs"
    ),
    "keys": Command("copilot_socket.cli.keys", "create keys for COPILOT_SECRET_KEY, and re-encrypt with a new one"),
}


def parser_for(argv: Sequence[str]) -> ArgumentParser:
    """The parser for this command line. It lists every command, and imports only the one in *argv*."""
    parser = Parser(
        prog="copilot-socket",
        description="The job server for GitLab crawlers.",
        epilog="Each command has a --help with examples. `twistd -n copilot-socket` runs a node too.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    parser.set_defaults(json=False)
    add_json_option(parser)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in argv if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.help[0].upper() + command.help[1:] + "."
        )
        if name == named:
            importlib.import_module(command.module).add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Raises SystemExit for a wrong command line."""
    words = sys.argv[1:] if argv is None else list(argv)
    escape_unencodable()
    try:
        try:
            return _command(words)
        finally:
            standard_output.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ReaderGone:
        abandon(sys.stdout)
        return 1
    except Unwritable as error:
        abandon(sys.stdout)
        complain(str(error))
        return 1


def _command(words: Sequence[str]) -> int:
    args = parser_for(words).parse_args(words)
    command = COMMANDS[args.command]
    if command.answers:
        standard_output.require()
    try:
        return int(importlib.import_module(command.module).run(args))
    except Unwritable:
        raise
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        return _failed(error, as_json=args.json)


def _expected() -> tuple[type[Exception], ...]:
    """The exceptions that are reported without a traceback. Imported late: --help needs none of them."""
    from copilot_socket.config import ConfigFaults  # noqa: PLC0415
    from copilot_socket.store.embedded import EmbeddedError  # noqa: PLC0415
    from copilot_socket.store.migrate import SchemaError  # noqa: PLC0415

    return (CommandError, ConfigFaults, EmbeddedError, SchemaError)


def _failed(error: Exception, *, as_json: bool) -> int:
    lines = str(error).split("\n")
    if as_json:
        emit({"error": lines})
    else:
        for line in lines:
            complain(line)
    return 1
