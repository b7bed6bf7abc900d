"""``copilot-socket open``: prints a one-time link to the dashboard, and opens it in a browser."""

import os
import sys
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from copilot_socket.cli.node import Node, add_url_option, address_here, node_from
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, emit, say
from copilot_socket.config import from_environment

LINKS = "/api/v1/session/links"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def add_arguments(parser: ArgumentParser) -> None:
    """The node, and whether only to print."""
    add_url_option(parser)
    parser.add_argument("--print", action="store_true", dest="only_print", help="open no browser")
    add_json_option(parser)
    add_examples(
        parser,
        "copilot-socket open",
        "copilot-socket open --print",
        "copilot-socket open --url https://copilot.example.org",
    )


def run(args: Namespace) -> int:
    """Print the link, and open it where there is a display. Raises CommandError or ConfigFaults."""
    node = node_from(args)
    made = node.request("POST", LINKS)
    # In the fragment, which browsers send to nobody: no log has it.
    link = f"{_address(args.url, node)}/#code={made['code']}"
    if args.json:
        emit({"url": link, "expires_at": made["expires_at"]})
        return 0
    say(link)
    if not args.only_print and sys.stdout.isatty() and _has_display(os.environ, sys.platform):
        webbrowser.open(link)
    return 0


def _address(given: str | None, node: Node) -> str:
    """Where a browser on this machine finds *node*: *given*, or its HTTP port."""
    if given is not None:
        return given.rstrip("/")
    if node.socket is None:
        return node.url
    return address_here(from_environment().http_host, node.request("GET", "/health/live")["http_port"])


def _has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser could show anything: not where *environ* is that of a login over SSH, or of a server."""
    if platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in environ
    return any(environ.get(name) for name in _DISPLAYS)
