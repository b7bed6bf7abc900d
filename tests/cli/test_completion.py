"""``copilot-socket completion``, in the real shells. A shell that is missing is skipped."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest

from copilot_socket.cli.completion import SHELLS
from tests.cli.support import CommandTestCase

LINES = (
    ("copilot-socket opera", "operations"),
    ("copilot-socket jobs canc", "cancel"),
    ("copilot-socket jobs list --path-pre", "--path-prefix"),
    ("copilot-socket jobs list --status fail", "failed"),
    ("copilot-socket crawlers drain --filter conn", "connected="),
    ("copilot-socket completion fi", "fish"),
)
"""A line, and the word that completes its last one."""
_BASH = """
source "$1"
COMP_WORDS=($2) COMP_LINE=$2 COMP_POINT=${#2}
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p copilot-socket | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
_PATIENCE = 60.0


class CompletionTests(CommandTestCase):
    """Each shell completes commands, actions, options and values."""

    timeout = 300

    def script(self, shell: str) -> Path:
        """The script for *shell*, in a file."""
        if shutil.which(shell, path=os.defpath) is None:
            raise SkipTest(f"there is no {shell}")
        outcome = self.run_command("completion", shell)
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        path = Path(f"script.{shell}").resolve()
        path.write_text(outcome.output)
        return path

    def ask(self, *words: str) -> str:
        """The output of a shell without any configuration."""
        environ = {"PATH": os.defpath, "HOME": str(Path.cwd()), "TERM": "dumb"}
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environ).stdout

    def test_bash(self) -> None:
        """By the function that it has registered."""
        script = self.script("bash")
        for line, word in LINES:
            self.assertEqual(self.ask("bash", "--norc", "-c", _BASH, "bash", str(script), line).split(), [word], line)

    def test_fish(self) -> None:
        """By ``complete -C``."""
        script = self.script("fish")
        for line, word in LINES:
            found = self.ask("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
            self.assertEqual([each.split("\t")[0] for each in found.splitlines()], [word], line)

    def test_zsh(self) -> None:
        """By the key, in a terminal."""
        script = self.script("zsh")
        for line, word in LINES:
            started = line.rpartition(" ")[0]
            self.assertIn(f"{started} {word}", self.typed(script, line), line)

    def typed(self, script: Path, line: str) -> str:
        """What zsh makes of *line* and the key for completion."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(
                shutil.which("zsh", path=os.defpath) or "",
                ["zsh", "-f", "-i"],
                {"PATH": os.defpath, "HOME": str(Path.cwd()), "TERM": "xterm", "COLUMNS": "200"},
            )
        try:
            # As in ~/.zshrc; the widget of Ctrl-X writes the line as it is then.
            setup = (
                f'autoload -U compinit; compinit -u -D; eval "$(cat {script})"; '
                "show() { print -r -- \"$BUFFER\" >shown }; zle -N show; bindkey '^X' show; echo rea''dy\n"
            )
            os.write(terminal, setup.encode())
            self.until(terminal, "ready")
            Path("shown").unlink(missing_ok=True)
            os.write(terminal, f"{line}\t\x18".encode())
            deadline = time.monotonic() + _PATIENCE
            while not Path("shown").exists() or not (shown := Path("shown").read_text()):
                self.assertLess(time.monotonic(), deadline, line)
                self.drain(terminal, 0.05)
            return shown
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(terminal)

    def until(self, terminal: int, word: str) -> None:
        """Read until *word* was printed."""
        deadline, seen = time.monotonic() + _PATIENCE, ""
        while word not in seen:
            self.assertLess(time.monotonic(), deadline, seen)
            seen += self.drain(terminal, 0.5)

    def drain(self, terminal: int, seconds: float) -> str:
        """What was printed within *seconds*, or earlier."""
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 65536).decode("utf-8", "replace") if ready else ""

    def test_shells(self) -> None:
        """Those that are offered are those that are tested here."""
        self.assertEqual(set(SHELLS), {"bash", "fish", "zsh"})
        self.assertEqual(self.run_command("completion", "tcsh").status, 2)
        self.assertEqual(self.run_command("completion", "fish", "--json").answer["shell"], "fish")
