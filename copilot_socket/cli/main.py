"""`copilot-socket`: imports the module of the command, runs it, and maps its exceptions to an exit status.

A command is a module with `add_arguments(parser)` and `run(args) -> int`; register new ones in COMMANDS. Such
a module imports neither Twisted nor a database driver nor the HTTP port's classes; one that must has its arguments in
:mod:`.arguments`.
"""

import importlib
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from copilot_socket.cli import arguments
from copilot_socket.cli.errors import CommandError, UsageError
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

_WRONG = 2  # argparse's status for a wrong command line
_INTERRUPTED = 130  # the shell's convention: 128 + SIGINT


class Command(NamedTuple):
    """The module of a command and its help. *answers*: it needs standard output for its result.

    *arguments*: adds the arguments instead of the module, which takes long to import.
    """

    module: str
    help: str
    answers: bool = True
    arguments: Callable[[ArgumentParser], None] | None = None

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add its arguments to *parser*."""
        (self.arguments or self.load().add_arguments)(parser)

    def load(self) -> ModuleType:
        """Its module."""
        return importlib.import_module(f"copilot_socket.cli.{self.module}")


COMMANDS: dict[str, Command] = {
    "run": Command("run", "run a node in the foreground", answers=False, arguments=arguments.run),
    "check": Command(
        "check", "check configuration, database, socket, HTTP port and log files", arguments=arguments.check
    ),
    "migrate": Command("migrate", "bring the database's tables up to date", arguments=arguments.migrate),
    "seed": Command("seed", "store a first account and its first jobs", arguments=arguments.seed),
    "demo": Command("demo", "run a whole crawl on this machine, with a made-up GitLab", arguments=arguments.demo),
    "probe": Command("probe", "send a job through a running node, as a crawler of its own, and say how long it took"),
    "jobs": Command("jobs", "submit, find and show jobs, and act on one or many"),
    "operations": Command("operations", "list, show and end bulk operations on jobs"),
    "errors": Command("error_groups", "list errors in groups; show, retry and ignore groups"),
    "stats": Command("stats", "count jobs by state, what waits and why, and crawlers"),
    "top": Command("top", "watch jobs, queue and crawlers live, on the whole terminal"),
    "tail": Command("tail", "print jobs, crawlers and connections live, line by line"),
    "crawlers": Command("crawlers", "list the crawlers; drain, quarantine, release them or ask them to exit"),
    "nodes": Command("nodes", "list the nodes and what each serves"),
    "accounts": Command("accounts", "list and show accounts, set their limits, discover again, delete"),
    "hosts": Command("hosts", "list GitLab hosts; set their limit of running jobs"),
    "pauses": Command("pauses", "hold jobs back, and let them go again"),
    "budgets": Command("budgets", "list, set and forget what GitLab still allows of requests"),
    "areas": Command("areas", "list and count the groups and projects that were discovered"),
    "users": Command("users", "show all that is crawled for users of the web application"),
    "tokens": Command("tokens", "make, list and revoke tokens of the HTTP API"),
    "webhooks": Command("webhooks", "tell others of failures, and see what has become of the messages"),
    "open": Command("open", "print a one-time link to the dashboard, and open it in a browser"),
    "token": Command("token", "print the token of this machine's node"),
    "audit": Command("audit", "list who did what, and who was refused"),
    "cleanup": Command("cleanup", "remove old jobs, errors and connections now", arguments=arguments.cleanup),
    "keys": Command(
        "keys", "create keys for COPILOT_SECRET_KEY, and re-encrypt with a new one", arguments=arguments.keys
    ),
    "oauth-clients": Command(
        "oauth_clients",
        "manage the OAuth clients that refresh tokens of further GitLabs",
        arguments=arguments.oauth_clients,
    ),
    "completion": Command("completion", "print the completion of commands and options for a shell"),
}
_EXPECTED = (
    ("copilot_socket.config", "ConfigFaults"),
    ("copilot_socket.store.embedded", "EmbeddedError"),
    ("copilot_socket.store.migrate", "SchemaError"),
)
"""Exceptions besides CommandError that are reported without a traceback."""
_LIST = "list"


def parser_for(argv: Sequence[str]) -> ArgumentParser:
    """The parser for this command line: of the command that it names, else of all commands without their options."""
    named = next((word for word in argv if not word.startswith("-")), None)
    return _parser(only=named if named in COMMANDS and not {"-h", "--help"} & set(argv[:1]) else None)


def whole_parser() -> ArgumentParser:
    """The parser of all commands with all their options."""
    return _parser(only=None, whole=True)


def _parser(only: str | None, *, whole: bool = False) -> ArgumentParser:
    parser = Parser(
        prog="copilot-socket",
        description="The job server for GitLab crawlers.",
        epilog="Each command has a --help with examples. `twistd -n copilot-socket` runs a node too.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    parser.set_defaults(json=False)
    add_json_option(parser)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # A parser takes 0.3 ms: together as long as many a command.
    for name, command in COMMANDS.items() if only is None else [(only, COMMANDS[only])]:
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.help[0].upper() + command.help[1:] + "."
        )
        if whole or name == only:
            command.add_arguments(subparser)
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """The arguments of this command line. Raises SystemExit if it is wrong.

    The action ``list`` may be left out: ``copilot-socket crawlers --json``.
    """
    parser = parser_for(argv)
    words = list(argv)
    place = next((place for place, word in enumerate(words) if not word.startswith("-")), len(words))
    command = below(parser).get("".join(words[place : place + 1]))
    if command is not None and _LIST in below(command):
        following = words[place + 1 : place + 2]
        if not following or (following[0].startswith("-") and following[0] not in ("-h", "--help")):
            words.insert(place + 1, _LIST)
    return parser.parse_args(words)


def below(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    """The parsers of the commands or actions of *parser*, by name."""
    found = (each.choices for each in parser._actions if isinstance(each, _SubParsersAction))
    return next(found, {})


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
    args = parse(words)
    command = COMMANDS[args.command]
    if command.answers:
        standard_output.require()
    try:
        return int(command.load().run(args))
    except Unwritable:
        raise
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        return _failed(error, as_json=args.json)


def _expected() -> tuple[type[Exception], ...]:
    """The exceptions that are reported without a traceback, of modules that were imported: no other raises them."""
    loaded = [getattr(sys.modules[module], name) for module, name in _EXPECTED if module in sys.modules]
    return (CommandError, *loaded)


def _failed(error: Exception, *, as_json: bool) -> int:
    lines = str(error).split("\n")
    if as_json:
        emit({"error": lines})
    else:
        for line in lines:
            complain(line)
    return _WRONG if isinstance(error, UsageError) else 1
