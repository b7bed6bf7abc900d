"""`copilot-socket keys new`: a key that encrypts tokens at rest."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, emit, say


def add_arguments(parser: ArgumentParser) -> None:
    """`keys new`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="print a new key",
        description="Print a new key for COPILOT_SECRET_KEY. To change keys, put the new one in front of the old "
        "ones, separated by a comma.",
    )
    add_json_option(new)
    for each in (parser, new):
        add_examples(each, "copilot-socket keys new")


def run(args: Namespace) -> int:
    """Print a new Fernet key."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - slow to import, and --help needs none of it

    key = Fernet.generate_key().decode("ascii")
    if args.json:
        emit({"key": key})
    else:
        say(key)
    return 0
