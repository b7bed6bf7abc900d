"""A blocking crawler, for measurements with one crawler whose own delay must be minimal."""

import socket
from typing import Any, Self

from benchmarks import wire

_PATIENCE = 60.0


class Talk:
    """One connection of one crawler, after hello and welcome."""

    def __init__(self, path: str, name: str, *, acks: bool = True, entity_types: list[str] | None = None) -> None:
        self._rest = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_PATIENCE)
        self.socket.connect(path)
        hello: dict[str, Any] = {"crawlerId": name, "maxJobs": 1, "capabilities": ["ack"] if acks else []}
        if entity_types is not None:
            hello["entityTypes"] = entity_types
        self.send(wire.message("hello", **hello))
        self.until(wire.WELCOME)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of *data*. Blocks."""
        self.socket.sendall(data)

    def until(self, sign: bytes) -> bytes:
        """The next message that contains *sign*; earlier ones are dropped. Raises wire.Broken for an error."""
        while True:
            line = self._line()
            if wire.ERROR in line:
                raise wire.Broken(f"the server answered {line!r}")
            if sign in line:
                return line

    def request(self) -> bytes | None:
        """Request a job: its id, or None if none is available now."""
        self.send(wire.request())
        found = wire.JOB_ID.search(self.until(b'"type":"job_response"'))
        return found[1] if found else None

    def wait_for_job(self) -> bytes:
        """Wait for the job for a pending request; its id."""
        found = None
        while found is None:
            found = wire.JOB_ID.search(self.until(b'"type":"job_response"'))
        return found[1]

    def complete(self, job: bytes) -> None:
        """Start and complete *job*, and wait until that is durable."""
        self.send(wire.LIFECYCLE.about([job]))
        self.until(wire.COMPLETION_ACKED)

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            data = self.socket.recv(65536)
            if not data:
                raise wire.Broken("the server closed the connection")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line
