"""Running `copilot-socket` in this process, with an environment and a working directory of its own."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.main import COMMANDS, main, parse
from tests.http.harness import TOKEN, SiteTestCase


@attrs.frozen
class Outcome:
    """The result of a command."""

    status: int
    output: str
    errors: str

    @property
    def answer(self) -> Any:
        """The output of a command with --json."""
        return json.loads(self.output)


class CommandTestCase(SynchronousTestCase):
    """`run` a command; `self.environ` is its whole environment."""

    def setUp(self) -> None:
        """Set only HOME, and change to an empty directory."""
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(directory)
        self.environ = {"HOME": "/nonexistent"}
        self.patch(os, "environ", self.environ)

    def run_command(self, *words: str) -> Outcome:
        """Run `copilot-socket` with these words; SystemExit becomes the exit status."""
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = main(words)
            except SystemExit as stop:
                status = int(stop.code or 0)
        return Outcome(status, output.getvalue(), errors.getvalue())


class SiteCommandTestCase(SiteTestCase):
    """`call` commands that ask a real site, as ``ann``."""

    def setUp(self) -> None:
        super().setUp()
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(os, "environ", {"HOME": "/", "COPILOT_HTTP_TOKEN": TOKEN, "LOGNAME": "ann"})

    async def call(self, command: ModuleType, *words: str, url: str | None = None, status: int = 0) -> str:
        """The output of the command, which must end with *status*."""
        [name] = [name for name, each in COMMANDS.items() if command.__name__.endswith(f".{each.module}")]
        args = parse([name, *words, "--url", url or f"http://127.0.0.1:{self.number}/"])
        self.out.seek(0)
        self.out.truncate()
        self.assertEqual(await deferToThread(command.run, args), status)
        return self.out.getvalue()
