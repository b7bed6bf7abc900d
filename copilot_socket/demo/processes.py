"""Child processes: started, listened to, and stopped by their id in every case."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

Event = dict[str, Any]
Heard = tuple[str, Event | None]
"""The name of a child, and what it told; None at its end."""

PATIENCE = 15.0
"""Seconds between asking a child to stop and killing it."""


class Child:
    """A Python program as a process of its own, outside our terminal's process group.

    What it tells on its standard output, in JSON lines, is put into *heard*; without that it goes into *log* too.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        heard: "SimpleQueue[Heard] | None" = None,
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
                stdout=errors if heard is None else subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        if heard is not None and self._process.stdout is not None:
            Thread(target=_listen, args=(name, self._process.stdout, heard), daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to say goodbye."""
        self.killed = True
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for the one that does not listen."""
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


def _listen(name: str, lines: IO[bytes], heard: "SimpleQueue[Heard]") -> None:
    with lines:
        for line in lines:
            try:
                heard.put((name, json.loads(line)))
            except ValueError:
                continue  # killed in the middle of a line
    heard.put((name, None))
