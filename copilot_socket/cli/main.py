"""`copilot-socket`: finds the command, imports only that one, and turns what it raises into an exit status.

A command is a module with `add_arguments(parser)` and `run(args) -> int`; a new one is a row in COMMANDS.
"""

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import (
    NobodyReads,
    Parser,
    ShowVersion,
    Unwritable,
    abandon,
    add_json_option,
    complain,
    emit,
    standard_output,
    write_anything,
)

_INTERRUPTED = 130  # as a shell has it: 128 + SIGINT


@attrs.frozen
class Command:
    """Where a command is, and what it is good for. Its answer goes to standard output, if there is one."""

    module: str
    help: str
    answers: bool = True


COMMANDS: dict[str, Command] = {
    "run": Command("copilot_socket.cli.run", "run a node in the foreground", answers=False),
    "check": Command("copilot_socket.cli.check", "look at configuration, database and socket directory"),
    "migrate": Command("copilot_socket.cli.migrate", "bring the database's tables up to date"),
    "seed": Command("copilot_socket.cli.seed", "store a first account and its first jobs"),
    "jobs": Command("copilot_socket.cli.jobs", "put jobs in, look at them, cancel and retry them"),
    "crawlers": Command("copilot_socket.cli.crawlers", "list the crawlers, what each holds and when it was heard"),
    "tail": Command("copilot_socket.cli.tail", "watch jobs, crawlers and connections live"),
    "cleanup": Command("copilot_socket.cli.cleanup", "remove old jobs, errors and connections now"),
    "demo": Command("copilot_socket.cli.demo", "a whole crawl on this machine, with a made-up GitLab"),
    "oauth-clients": Command(
        "copilot_socket.cli.oauth_clients", "say what this server is to further GitLabs when it refreshes tokens"
    ),
    "keys": Command("copilot_socket.cli.keys", "make keys for COPILOT_SECRET_KEY, and put a new one to use"),
}


def parser_for(argv: Sequence[str]) -> ArgumentParser:
    """The parser for this command line: every command is listed, only the one that is named is imported."""
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
    """Run a command; 0 only when it worked. Exits through SystemExit for a wrong command line."""
    words = sys.argv[1:] if argv is None else list(argv)
    write_anything()
    try:
        try:
            return _command(words)
        finally:
            standard_output.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except NobodyReads:
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
    """What a command may raise for something that its user can mend; asked for late, as it imports much."""
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
