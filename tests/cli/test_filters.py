"""``--filter``, and the options of lists: those of the API, everywhere the same."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from copilot_socket.cli import filters
from copilot_socket.cli.filters import body, option, query
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.main import COMMANDS, below, parse, whole_parser
from copilot_socket.http.parameters import parameters
from tests.cli.support import CommandTestCase

GROUPS = {"oauth-clients", "keys"}
"""Commands whose lists are not those of a node."""


def lists() -> Iterator[tuple[str, ArgumentParser, Listing]]:
    """Every ``list`` action, and its list."""
    for name, parser in below(whole_parser()).items():
        if "list" in below(parser) and name not in GROUPS:
            module = COMMANDS[name].load()
            [listing] = [each for each in vars(module).values() if isinstance(each, Listing)]
            yield name, below(parser)["list"], listing


class ParameterTests(CommandTestCase):
    """What lists may be asked for."""

    def test_file(self) -> None:
        """It is what the code makes (``python -m copilot_socket.http.parameters``, into the file)."""
        file = Path(filters.__file__).with_name("parameters.json")
        self.assertEqual(json.loads(file.read_text("utf-8")), json.loads(json.dumps(parameters())))

    def test_every_list(self) -> None:
        """Each list has all parameters of its path as options, with --filter, --json, --watch and --wide."""
        found = list(lists())
        self.assertGreater(len(found), 10)
        for name, parser, listing in found:
            options = set(parser._option_string_actions)
            expected = {option(each) for each in parameters()[listing.path]} | {
                "--json",
                "--watch",
                "--wide",
                "--url",
            }
            expected |= {"--filter"} if filters.filters(listing.path) else set()
            self.assertLessEqual(expected, options, name)

    def test_every_command(self) -> None:
        """Each command that prints data has --json."""
        pending = [((name,), parser) for name, parser in below(whole_parser()).items()]
        while pending:
            path, parser = pending.pop()
            pending += [((*path, name), each) for name, each in below(parser).items()]
            if not below(parser) and path[0] not in ("run", "top"):
                self.assertIn("--json", parser._option_string_actions, path)

    def test_given(self) -> None:
        """By an option of their own and by --filter they are the same; a hyphen is as good as an underscore."""
        for words in (
            ("--status", "failed,cancelled", "--path-prefix", "acme"),
            ("--filter", "status=failed,cancelled", "path-prefix=acme"),
            ("--filter", "status=failed,cancelled", "--filter", "path_prefix=acme"),
            ("--status", "failed,cancelled", "--filter", "path_prefix=acme"),
        ):
            args = parse(["jobs", "list", *words, "--limit", "7", "--total"])
            expected = {"status": "failed,cancelled", "path_prefix": "acme"}
            self.assertEqual(query(args), {**expected, "limit": 7, "total": "true"}, words)
        args = parse(["jobs", "cancel", "--filter", "status=queued,paused", "spawned=false", "root=x"])
        self.assertEqual(body(args, "/api/v1/jobs"), {"status": ["queued", "paused"], "spawned": False, "root": "x"})

    def test_wrong(self) -> None:
        """Status 2, and what is allowed."""
        for words, message in (
            ("jobs list --filter state=failed", "with one of the names status, account_id, user_id"),
            ("jobs list --filter status", "must be NAME=VALUE"),
            ("jobs retry --filter status=lost", "status=lost: must be one of queued, assigned, .*, or several"),
            ("jobs retry --filter spawned=perhaps", "must be one of true, false"),
            ("jobs list --status lost", "invalid choice: 'lost'"),
            ("jobs list --status failed --filter status=queued", "must be given only once"),
            ("crawlers drain --filter state=x", "with one of the names connected, mode, stale"),
            ("nodes list --filter a=b", "unrecognized arguments"),
            ("jobs list --watch 0", "must be a number of seconds"),
        ):
            outcome = self.run_command(*words.split())
            self.assertEqual(outcome.status, 2, words)
            self.assertRegex(outcome.errors, message)

    def test_list_is_the_default(self) -> None:
        """A command that lists does so without an action, also with options; --help is that of the command."""
        for words in (("crawlers",), ("crawlers", "--json"), ("--json", "jobs", "--status", "failed")):
            self.assertEqual(parse(words).action, "list")
        self.assertIn("drain", self.run_command("crawlers", "--help").output)
        self.assertEqual(self.run_command("crawlers", "crawler-7").status, 2)
        self.assertEqual(self.run_command("tokens", "revoke").status, 2)
