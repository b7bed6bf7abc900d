"""`copilot-socket keys`: creates and rotates the keys that encrypt tokens at rest."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.options import add_config_options, add_examples, config_from
from copilot_socket.cli.output import add_json_option, emit, say


def add_arguments(parser: ArgumentParser) -> None:
    """`keys new` and `keys rotate`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="print a new key",
        description="Print a new key for COPILOT_SECRET_KEY. To change keys, put the new one in front of the old "
        "ones, separated by a comma, restart the nodes, and run `copilot-socket keys rotate`.",
    )
    rotate = actions.add_parser(
        "rotate",
        help="encrypt all stored tokens with the newest key",
        description="Encrypt all stored tokens, plain ones too, with the newest key. After that older keys can be "
        "removed. Nodes may run meanwhile if all of them have the newest key.",
    )
    for each in (new, rotate):
        add_json_option(each)
    add_config_options(rotate)
    add_examples(new, "copilot-socket keys new")
    add_examples(rotate, "copilot-socket keys rotate")
    add_examples(parser, "copilot-socket keys new", "copilot-socket keys rotate")


def run(args: Namespace) -> int:
    """Run the action. Raises CommandError, ConfigFaults, SchemaError or EmbeddedError."""
    return _rotate(args) if args.action == "rotate" else _new(args)


def _new(args: Namespace) -> int:
    from copilot_socket.core.vault import new_key  # noqa: PLC0415 - not for --help

    key = new_key()
    if args.json:
        emit({"key": key})
    else:
        say(key)
    return 0


def _rotate(args: Namespace) -> int:
    """Exit status 0 only if no stored value needs an older key any more."""
    from copilot_socket.cli.acts import act  # noqa: PLC0415 - not for `keys new`
    from copilot_socket.cli.offline import ready_database, vault  # noqa: PLC0415 - not for `keys new`
    from copilot_socket.store.sealing import seal  # noqa: PLC0415

    config = config_from(args)
    with ready_database(config) as url:
        if config.database_url is not None and not config.secret_keys:
            raise CommandError("no key: set COPILOT_SECRET_KEY (`copilot-socket keys new` prints one)")
        sealed = seal(url, vault(config), everything=True, act=act("keys.rotate"))
    if args.json:
        emit({"encrypted": sealed.rows, "unreadable": list(sealed.unreadable)})
    else:
        say(f"{sealed.rows} accounts and OAuth clients encrypted with the newest key")
        for name in sealed.unreadable:
            say(f"{name}: no key decrypts it; store its credential again")
    return 1 if sealed.unreadable else 0
