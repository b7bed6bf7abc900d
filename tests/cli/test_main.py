"""The command itself: finding commands, help, exit status."""

import importlib
import shlex
import subprocess
import sys

from cryptography.fernet import Fernet

from copilot_socket.cli import main as main_module
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.main import below
from copilot_socket.cli.output import Parser
from tests.cli.support import CommandTestCase


class MainTests(CommandTestCase):
    """Properties of every command."""

    def test_help_lists_every_command(self) -> None:
        """--help lists each command with its help."""
        outcome = self.run_command("--help")
        self.assertEqual(outcome.status, 0)
        for name, command in main_module.COMMANDS.items():
            self.assertIn(name, outcome.output)
            self.assertIn(command.help.split()[0], outcome.output)

    def test_help_of_every_command(self) -> None:
        """Each command has the two functions of a command, and help of its own."""
        for name, command in main_module.COMMANDS.items():
            self.assertTrue(callable(command.load().run), name)
            outcome = self.run_command(name, "--help")
            self.assertEqual((outcome.status, outcome.errors), (0, ""))
            self.assertIn(f"usage: copilot-socket {name}", outcome.output)

    def test_examples(self) -> None:
        """The help of every command and subcommand says what it does, and its examples are right command lines."""
        pending = [(name, main_module.parser_for([name])) for name in main_module.COMMANDS]
        pending = [(name, below(parser)[name]) for name, parser in pending]
        while pending:
            name, parser = pending.pop()
            pending += [(f"{name} {action}", each) for action, each in below(parser).items()]
            self.assertTrue(parser.description, name)
            heading, *examples = (parser.epilog or "").splitlines()
            self.assertEqual(heading, "examples:", name)
            for example in examples:
                program, *words = shlex.split(example)
                self.assertEqual(program, "copilot-socket")
                self.assertTrue(" ".join(words).startswith(name.split()[0]))
                if "--help" not in words:
                    main_module.parse(words)

    def test_help_of_every_parser_is_written(self) -> None:
        """No command uses argparse's own parser, which ignores errors when it writes the help."""
        pending = [main_module.parser_for([name]) for name in main_module.COMMANDS]
        while pending:
            parser = pending.pop()
            self.assertIsInstance(parser, Parser, parser.prog)
            pending += below(parser).values()

    def test_wrong_command_lines(self) -> None:
        """No command, an unknown one, or an unknown option is status 2, with the usage."""
        for words in ((), ("nonsense",), ("check", "--nonsense"), ("keys",), ("keys", "old")):
            outcome = self.run_command(*words)
            self.assertEqual(outcome.status, 2, words)
            self.assertIn("usage: copilot-socket", outcome.errors)

    def test_what_is_imported(self) -> None:
        """Help, all options of all commands, a request to a node and completion import nothing that takes long."""
        slow = (
            "twisted",
            "psycopg2",
            "sqlalchemy",
            "alembic",
            "msgspec",
            "cryptography",
            "rich",
            "orjson",
            "asyncio",
        )
        report = f"; print([name for name in {slow} if name in sys.modules], file=sys.stderr)"
        jobs_list = "main(['jobs', 'list', '--json', '--status', 'failed', '--url', 'http://127.0.0.1:1'])"
        for does in (
            "main(['--help'])", "main(['seed', '--help'])", "whole_parser().format_help()", jobs_list,
            "main(['top'])", "main(['completion', 'bash'])",
        ):  # fmt: skip
            script = (
                "import sys, contextlib; from copilot_socket.cli.main import main, whole_parser\n"
                f"with contextlib.suppress(SystemExit): {does}\n{report[2:]}"
            )
            answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            self.assertEqual(answer.stderr.splitlines()[-1], "[]", does)

    def test_what_a_command_may_raise(self) -> None:
        """An expected error is printed as text or JSON, with status 1; any other is a defect and is raised."""
        keys = importlib.import_module("copilot_socket.cli.keys")
        self.patch(keys, "run", self.raiser(CommandError("no luck")))
        outcome = self.run_command("keys", "new")
        self.assertEqual((outcome.status, outcome.output), (1, ""))
        self.assertEqual(outcome.errors, "copilot-socket: no luck\n")
        self.assertEqual(self.run_command("keys", "new", "--json").answer, {"error": ["no luck"]})
        self.patch(keys, "run", self.raiser(KeyboardInterrupt()))
        self.assertEqual(self.run_command("keys", "new").status, 130)
        self.patch(keys, "run", self.raiser(ZeroDivisionError()))
        self.assertRaises(ZeroDivisionError, self.run_command, "keys", "new")

    @staticmethod
    def raiser(error: BaseException):  # type: ignore[no-untyped-def]
        """A command's `run` that raises."""

        def run(args: object) -> int:
            raise error

        return run


class KeysTests(CommandTestCase):
    """`keys new`."""

    def test_new(self) -> None:
        """It prints a key that encrypts, another one each time, alone or in JSON, and --json may come first."""
        plain = self.run_command("keys", "new").output.strip()
        after = self.run_command("keys", "new", "--json").answer["key"]
        before = self.run_command("--json", "keys", "new").answer["key"]
        for key in (plain, after, before):
            self.assertEqual(Fernet(key).decrypt(Fernet(key).encrypt(b"token")), b"token")
        self.assertEqual(len({plain, after, before}), 3)
