"""``copilot-socket token``: prints the token of this machine's node."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.options import add_config_options, add_examples, config_from
from copilot_socket.cli.output import add_json_option, emit, say
from copilot_socket.http.own_token import TOKEN, given_token
from copilot_socket.private_files import PrivateFileError


def add_arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    add_config_options(parser)
    add_json_option(parser)
    add_examples(parser, "copilot-socket token")


def run(args: Namespace) -> int:
    """Print ``COPILOT_HTTP_TOKEN``, or else the token that the node has made. Raises CommandError or ConfigFaults."""
    config = config_from(args)
    path = config.state_dir / TOKEN
    try:
        token = config.http_token or given_token(config.state_dir)
    except PrivateFileError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"can't read {path}: {error.strerror}") from None
    if token is None:
        raise CommandError(f"there is no {path}: a node makes it when it starts, unless COPILOT_HTTP_TOKEN is set")
    if args.json:
        emit({"token": token})
    else:
        say(token)
    return 0
