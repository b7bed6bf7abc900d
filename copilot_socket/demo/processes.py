"""Child processes: starting them, reading their events, and stopping them."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

Event = dict[str, Any]
ChildEvent = tuple[str, Event | None]
"""The name of a child and its event; None at its end."""

PATIENCE = 15.0
"""Seconds between SIGTERM and SIGKILL."""


class Child:
    """A Python program as a child process, in a session of its own.

    Its events (JSON lines on standard output) are put into *events*; without that, standard output goes to *log*.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        events: "SimpleQueue[ChildEvent] | None" = None,
    ) -> None:
        self.name = name
        self.log = log
        self.killed = False
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=log.parent,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=errors if events is None else subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        if events is not None and self._process.stdout is not None:
            Thread(target=_listen, args=(name, self._process.stdout, events), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.killed = True
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the child does not end within :data:`PATIENCE`."""
        if self.status is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_lines(self, number: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-number:])


def _listen(name: str, lines: IO[bytes], events: "SimpleQueue[ChildEvent]") -> None:
    with lines:
        for line in lines:
            try:
                events.put((name, json.loads(line)))
            except ValueError:
                continue  # killed in the middle of a line
    events.put((name, None))
