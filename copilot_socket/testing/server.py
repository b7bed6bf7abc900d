"""A server for tests of crawlers: in memory, on a real UNIX socket, in a thread. No database, no reactor."""

import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Ack, Error, Reply, Shutdown
from copilot_socket.testing.job import Job, new_job
from copilot_socket.testing.link import Link
from copilot_socket.testing.rules import READERS, Rules
from copilot_socket.testing.tokens import Tokens

Result = TypeVar("Result")
_READ = 65536
LOOK = 0.02
"""Seconds between two looks at a condition while nothing changes here."""


@attrs.frozen
class Received:
    """A valid message of a crawler."""

    type: str
    job_id: str | None
    """The id of the attempt."""
    data: Mapping[str, Any]


class Server:
    """Gives jobs to crawlers that connect to :attr:`path`, and records what they say. A context manager.

    *token*: what crawlers must say in their ``hello``, if anything. *grace*: seconds for which a crawler may be away
    and keep its jobs. *spawn*: whether discoveries make jobs. *retry_delay*: seconds that a failed job waits first.
    All methods may be called from any thread; those that wait block, so call them in another thread than that of a
    reactor or event loop (``deferToThread``, ``to_thread``).
    """

    def __init__(
        self,
        *,
        gitlab_url: str = "https://gitlab.example.org",
        token: str | None = None,
        grace: float = 15.0,
        spawn: bool = True,
        retry_delay: float = 0.0,
        heartbeat_interval: float = 10.0,
        max_message_size: int = 1024 * 1024,
    ) -> None:
        self.tokens = Tokens()
        self.received: list[Received] = []
        """All valid messages, in order."""
        self.errors: list[Error] = []
        """All errors that were sent: a crawler that behaves gets none."""
        self._rules = Rules(gitlab_url, self.tokens, token, grace=grace, spawn=spawn, retry_delay=retry_delay)
        self._rules.heartbeat_interval = heartbeat_interval
        self._rules.max_message_size = max_message_size
        self._lost_acks = 0
        self._changed = threading.Condition(threading.RLock())
        """Guards everything; notified after each change."""
        self._directory = Path(tempfile.mkdtemp(prefix="copilot-"))
        self.path = str(self._directory / "s")
        """Where it listens."""
        self._links: dict[socket.socket, Link] = {}
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._listening = socket.socket(socket.AF_UNIX)
        self._thread: threading.Thread | None = None
        self._stopping = False

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._listening.bind(self.path)
        self._listening.listen()
        for each in (self._listening, self._woken, self._waker):
            each.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="copilot_socket.testing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections, and remove the socket. Nothing happens if that is done."""
        if self._stopping:
            return
        self._stopping = True
        self._wake()
        if self._thread is not None:
            self._thread.join()
        for each in (*self._links, self._listening, self._waker, self._woken):
            each.close()
        self._selector.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # -- what there is

    @property
    def jobs(self) -> list[Job]:
        """All jobs, those that were spawned included."""
        return self._rules.jobs

    @property
    def discovered(self) -> list[Any]:
        """What ``jobs_discovered`` has brought: ``kind``, ``full_path``, ``name``, ``gitlab_id``, ``priority``."""
        return self._rules.discovered

    @property
    def areas(self) -> list[Any]:
        """What ``discovery`` has brought, in the same form."""
        return self._rules.areas

    @property
    def rate_limits(self) -> list[dict[str, Any]]:
        """The data of all ``rate_limit`` messages."""
        return self._rules.rate_limits

    @property
    def crawlers(self) -> list[str]:
        """The names of the crawlers that are connected."""
        return [each.name for each in self._rules.crawlers.values() if each.links]

    def types(self, *without: str) -> list[str]:
        """The types of all messages received, in order; heartbeats and those *without* are left out."""
        return [each.type for each in self.received if each.type not in ("heartbeat", *without)]

    # -- what the test does

    def add_job(
        self,
        command: str,
        full_path: str | None = None,
        *,
        entity_id: str | None = None,
        resume_state: Mapping[str, Any] | None = None,
        area_type: str | None = None,
        branch: str | None = None,
        max_attempts: int = 3,
    ) -> Job:
        """Submit a job of *command*, or of an entity type. Raises ``ValueError`` for an unknown one."""
        job = new_job(
            command,
            full_path,
            entity_id,
            resume_state,
            area_type=area_type,
            branch=branch,
            max_attempts=max_attempts,
            desk=self,
        )
        return self.do(lambda rules: rules.add(job))

    def exit_when_done(self) -> None:
        """Ask crawlers to exit as soon as no job is left, or due within ten seconds, so that their loops end."""

        def begin(rules: Rules) -> None:
            rules.exit_when_done = True

        self.do(begin)

    def shut_down(self, scope: str = "crawler", graceful: bool = True, timeout: float = 10.0) -> None:
        """Ask crawlers to exit; with *scope* ``node``: announce a restart, and close all connections."""
        with self._changed:
            for link in self._links.values():
                link.push(Shutdown(scope, graceful, timeout, "the test says so"))
                link.closing = link.closing or scope == "node"
            self._wake()

    def drop(self) -> None:
        """Close all connections at once, as a crash of the server or the network would."""
        with self._changed:
            for link in self._links.values():
                link.output, link.closing = b"", True
            self._wake()

    def refuse(self, kind: str = "any", code: str = "internal") -> None:
        """Refuse the next report of this type, with an ``error`` of this *code*."""
        self.do(lambda rules: rules.refused_next.append((kind, ErrorCode(code))))

    def lose_acks(self, count: int = 1) -> None:
        """Lose the connection right before the next ack of a report, which is stored; *count* times."""
        self._lost_acks = count

    def wait(self, condition: Callable[[], Any], what: str = "the condition holds", timeout: float = 10.0) -> None:
        """Wait until *condition* returns something true. Raises ``AssertionError`` after *timeout* seconds."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if time.monotonic() > end:
                    said = ", ".join(self.types()[-20:])
                    raise AssertionError(f"waited {timeout:g} s in vain until {what}; messages: {said or 'none'}")
                self._changed.wait(LOOK)  # for a while only: the condition may be about something else

    def do(self, change: Callable[[Rules], Result]) -> Result:
        """Change what the server has, and send what follows from it."""
        with self._changed:
            result = change(self._rules)
            self._wake()
            self._changed.notify_all()
            return result

    # -- the thread

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            self._waker.send(b"!")

    def _serve(self) -> None:
        while not self._stopping:
            with self._changed:
                deadline = self._rules.deadline
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = self._selector.select(wait)
            with self._changed:
                self._rules.now = time.monotonic()
                for key, _ in ready:
                    self._read(key.fileobj)
                self._rules.tick(time.monotonic())
                for connection, link in list(self._links.items()):
                    self._write(connection, link)
                self._changed.notify_all()

    def _read(self, ready: Any) -> None:
        if ready is self._listening:
            with suppress(OSError):
                connection, _ = self._listening.accept()
                connection.setblocking(False)
                self._links[connection] = Link(self._rules, self._heard, self._said)
                self._selector.register(connection, selectors.EVENT_READ)
        elif ready is self._woken:
            with suppress(BlockingIOError):
                self._woken.recv(_READ)
        else:
            self._receive(ready, self._links[ready])

    def _receive(self, connection: socket.socket, link: Link) -> None:
        try:
            data = connection.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            link.receive(data)
        else:
            self._close(connection, link)

    def _write(self, connection: socket.socket, link: Link) -> None:
        try:
            while link.output:
                link.output = link.output[connection.send(link.output) :]
        except BlockingIOError:
            self._selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except OSError:
            link.closing = True
        if link.closing:
            self._close(connection, link)
        else:
            self._selector.modify(connection, selectors.EVENT_READ)

    def _close(self, connection: socket.socket, link: Link) -> None:
        if self._links.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()
            self._rules.gone(link)

    def _heard(self, message: Message) -> None:
        self.received.append(Received(message.type, message.job_id, message.value.get("data") or {}))

    def _said(self, link: Link, reply: Reply) -> bool:
        """Note a reply; whether it is to be sent."""
        if isinstance(reply, Error):
            self.errors.append(reply)
        if isinstance(reply, Ack) and reply.type in READERS and self._lost_acks > 0 and not link.closing:
            self._lost_acks -= 1
            link.closing = True
        return not link.closing or isinstance(reply, Error)
