"""docs/command-line.md agrees with the parser: commands, actions, options, filters."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.filters import filters
from copilot_socket.cli.main import below, parse, whole_parser
from copilot_socket.config import option_names
from tests.cli.test_filters import lists

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("command-line.md", "http.md", "protocol.md", "client.md", "../README.md")
"""Pages whose commands are command lines as they are, without what a shell would replace."""
OTHERS = {"stats": "/api/v1/stats", "tail": "/api/v1/events"}


def commands(text: str) -> Iterator[str]:
    """The command lines in the blocks of a page, without comments, variables, pipes and redirections."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            found = re.search(
                r"(?<![\w/.&$-])copilot-socket (?!=)(?P<words>[a-z][^|<>)#]*)", re.sub(r"(^|\s)#.*", "", line)
            )
            if found is not None and "pip install" not in line:
                yield found["words"].strip()


def paths(parser: ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ArgumentParser]]:
    """Each command without actions, and each action, with its parser."""
    found = below(parser)
    if not found:
        yield path, parser
    for name, each in found.items():
        yield from paths(each, (*path, name))


class CommandLineTests(SynchronousTestCase):
    """The page is complete, and right."""

    def setUp(self) -> None:
        self.text = (DOCS / "command-line.md").read_text("utf-8")

    def test_examples(self) -> None:
        """Each command line on these pages is one."""
        for page in PAGES:
            found = list(commands((DOCS / page).read_text("utf-8")))
            for line in found:
                try:
                    parse(shlex.split(line))
                except SystemExit as stop:
                    self.assertEqual(stop.code, 0, f"{page}: {line}")
        self.assertGreater(len(list(commands(self.text))), 60)

    def test_all_commands(self) -> None:
        """Each command and action has an example."""
        shown = {tuple(line.split()[:2]) for line in commands(self.text)}
        for path, _ in paths(whole_parser()):
            self.assertTrue(any(each[: len(path)] == path for each in shown), f"{' '.join(path)} has no example")

    def test_all_options(self) -> None:
        """Each option of a command stands on the page or is a filter or variable; no other stands there."""
        known = {f"--{each.name}" for each in option_names()} | {"--help", "--version", "-h", "-v"}
        for path in {listing.path for _, _, listing in lists()} | set(OTHERS.values()):
            known |= {f"--{name.replace('_', '-')}" for name in filters(path)}
        ours = {option for _, parser in paths(whole_parser()) for option in parser._option_string_actions}
        here = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", self.text))
        self.assertEqual(ours - known - here, set())
        self.assertEqual(here - ours - known, set())

    def test_filters(self) -> None:
        """The table has every list that has filters, with all of them."""
        rows = re.findall(
            r"^\| `([a-z -]+)`[^|]*\| (`.*`) \|$", self.text.split("| list | filters |")[1], re.MULTILINE
        )
        shown = {name: re.findall(r"`(\w+)`", names) for name, names in rows[: len(rows)]}
        expected = {f"{name} list": list(filters(listing.path)) for name, _, listing in lists()}
        expected |= {name: list(filters(path)) for name, path in OTHERS.items()}
        self.assertEqual(
            {name: names for name, names in shown.items() if name in expected},
            {name: names for name, names in expected.items() if names},
        )
