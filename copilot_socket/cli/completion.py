"""``copilot-socket completion``: prints the completion of commands, options and their values for a shell."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, emit, standard_output

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=SHELLS, help="which shell reads it")
    add_json_option(parser)
    add_examples(parser, *(f"copilot-socket completion {shell}" for shell in SHELLS))


def run(args: Namespace) -> int:
    """Print the script, which names all commands, options and values, so that completing runs nothing."""
    import shtab  # noqa: PLC0415 - not for --help

    from copilot_socket.cli.main import whole_parser  # noqa: PLC0415 - it imports this module by its name

    script = shtab.complete(whole_parser(), args.shell)
    if args.json:
        emit({"shell": args.shell, "script": script})
    else:
        standard_output.write(script if script.endswith("\n") else f"{script}\n")
    return 0
