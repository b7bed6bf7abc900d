"""The demo's environment: a directory, a made-up GitLab, a node and crawlers, all removed at the end."""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from copilot_socket.core.access import new_token
from copilot_socket.demo.asking import NoAnswer, ask
from copilot_socket.demo.processes import Child, ChildEvent
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres

OURS = ("SOCKET_", "COPILOT_", "GITLAB_", "DATABASE_CONNECTION_")
LONGEST_DIRECTORY = 90
"""Bytes; the path of a UNIX socket must be shorter than 108."""
START_PATIENCE = 60.0
RUN_NODE = "from twisted.scripts.twistd import run; run()"
"""Equivalent to the script ``twistd``, which may not be on the PATH."""


class DemoFailed(Exception):
    """The demo can't be completed; the message contains the reason and the end of the relevant log."""


class Stage:
    """A context manager. *keep*: a directory that is kept; None: a temporary one."""

    def __init__(self, keep: Path | None, environ: Mapping[str, str]) -> None:
        self._keep = keep
        self._environ = environ
        self._stack = ExitStack()
        self.events: SimpleQueue[ChildEvent] = SimpleQueue()
        self.children: dict[str, Child] = {}
        self.url = ""
        self._token = new_token()
        self.directory = Path()

    def __enter__(self) -> Self:
        """Create the directory."""
        self.directory = self._make_directory()
        self.out.mkdir()
        self._base = self._base_environment()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all processes in reverse order, and remove the directory."""
        self._stack.close()

    @property
    def out(self) -> Path:
        """The crawlers' output directory."""
        return self.directory / "out"

    @property
    def socket(self) -> Path:
        """The node's socket for crawlers."""
        return self.directory / "crawler.sock"

    def start_gitlab(self, *options: str) -> dict[str, Any]:
        """Start the made-up GitLab; returns its ``url``, ``access_token`` and ``refresh_token``."""
        events: SimpleQueue[ChildEvent] = SimpleQueue()
        self._start("gitlab", ["-m", "copilot_socket.demo.gitlab", *options], self._base, events)
        _, line = events.get(timeout=START_PATIENCE)
        if line is None:
            raise DemoFailed(f"the made-up GitLab does not start:\n{self.children['gitlab'].last_lines()}")
        return line

    def start_node(self) -> None:
        """Start a node and wait until it is ready."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        env = {
            **self._base,
            "COPILOT_STATE_DIR": str(self.directory / "state"),
            "COPILOT_HTTP_PORT": str(port),
            "COPILOT_HTTP_TOKEN": self._token,
            "SOCKET_PATH": str(self.socket),
            "SOCKET_LOG_LEVEL": "info",
            "SOCKET_RECONNECT_GRACE": "2000",
            "SOCKET_RETRY_DELAY": "500",
        }
        if "DATABASE_URL" not in env:
            self._stack.callback(self._stop_database)
        node = self._start("node", ["-c", RUN_NODE, "-n", "--pidfile=", "copilot-socket"], env, None)
        self.wait(self._ready, START_PATIENCE, "the node is not ready", node)

    def start_crawler(self, name: str) -> Child:
        """Start a reference crawler."""
        arguments = ["-m", "copilot_socket.demo.crawler", "--id", name]
        return self._start(name, [*arguments, *self._places()], self._base, self.events)

    def start_plain_crawler(self, name: str) -> Child:
        """Start a plain crawler."""
        return self._start(name, ["-m", "copilot_socket.demo.plain", *self._places()], self._base, self.events)

    def check_children(self) -> None:
        """Raise :class:`DemoFailed` if a child has ended by itself."""
        for child in self.children.values():
            if child.status is not None and not child.killed:
                raise DemoFailed(f"{child.name} has ended with status {child.status}:\n{child.last_lines()}")

    def wait(self, ready: Callable[[], bool], patience: float, problem: str, child: Child) -> None:
        """Wait until *ready* returns True. Raises :class:`DemoFailed` after *patience* seconds."""
        deadline = time.monotonic() + patience
        while not ready():
            self.check_children()
            if time.monotonic() > deadline:
                raise DemoFailed(f"{problem} after {patience:.0f} s:\n{child.last_lines()}")
            time.sleep(0.05)

    def ask(self, path: str, method: str = "GET", document: Any = None) -> Any:
        """The body of a response of the node's HTTP port. Raises :class:`DemoFailed` unless it succeeds."""
        try:
            answer = ask(self.url + path, method=method, document=document, token=self._token)
        except NoAnswer as problem:
            raise DemoFailed(f"{problem}\n{self.children['node'].last_lines()}") from None
        if answer.status not in (200, 201):
            raise DemoFailed(f"{method} {path} returned {answer.status}: {answer.body}")
        return answer.body

    def _ready(self) -> bool:
        with suppress(NoAnswer):
            return ask(f"{self.url}/health/ready", timeout=2.0).status == 200
        return False

    def _places(self) -> list[str]:
        return ["--socket", str(self.socket), "--out", str(self.out)]

    def _start(
        self, name: str, arguments: list[str], env: Mapping[str, str], events: "SimpleQueue[ChildEvent] | None"
    ) -> Child:
        child = Child(name, arguments, log=self.directory / f"{name}.log", env=env, events=events)
        self.children[name] = child
        self._stack.callback(child.stop)
        return child

    def _make_directory(self) -> Path:
        """Create the directory with mode 711: the embedded database may run as another user."""
        if self._keep is not None:
            directory = self._keep.absolute()
            if len(os.fsencode(directory)) > LONGEST_DIRECTORY:
                raise DemoFailed(f"{directory} is too long a path for a socket in it: choose a shorter one")
            directory.mkdir(parents=True)
        else:
            parent = tempfile.gettempdir()
            if len(os.fsencode(parent)) + len("/copilot-demo-12345678") > LONGEST_DIRECTORY:
                parent = "/tmp"
            directory = Path(tempfile.mkdtemp(prefix="copilot-demo-", dir=parent))
            self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)
        return directory

    def _base_environment(self) -> dict[str, str]:
        """This process's environment, without settings of other nodes, and with this package on PYTHONPATH."""
        kept = {name: value for name, value in self._environ.items() if not name.startswith(OURS)}
        for name in ("PORT", "NODE_ENV", "DEBUG"):
            kept.pop(name, None)
        if self._environ.get("DATABASE_URL") and self._environ.get("COPILOT_SECRET_KEY"):
            kept["COPILOT_SECRET_KEY"] = self._environ["COPILOT_SECRET_KEY"]
        if not kept.get("DATABASE_URL"):
            kept.pop("DATABASE_URL", None)
        places = [str(Path(__file__).parents[2]), *kept.get("PYTHONPATH", "").split(os.pathsep)]
        return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONUNBUFFERED": "1"}

    def _stop_database(self) -> None:
        """Stop the embedded database, which is still running if the node was killed."""
        try:
            EmbeddedPostgres(self.directory / "state").stop(only_if_unused=False)
        except EmbeddedError as error:
            sys.stderr.write(f"the demo's database is still running: {error}\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
