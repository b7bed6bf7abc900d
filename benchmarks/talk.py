"""A crawler that blocks: for what takes one crawler, and where its own delay must be as small as it can be."""

import socket
from typing import Any, Self

from benchmarks import wire

_PATIENCE = 60.0


class Talk:
    """One connection of one crawler; it has said hello and was welcomed."""

    def __init__(self, path: str, name: str, *, acks: bool = True, entity_types: list[str] | None = None) -> None:
        self._rest = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_PATIENCE)
        self.socket.connect(path)
        said: dict[str, Any] = {"crawlerId": name, "maxJobs": 1, "capabilities": ["ack"] if acks else []}
        if entity_types is not None:
            said["entityTypes"] = entity_types
        self.send(wire.message("hello", **said))
        self.until(wire.WELCOME)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Everything, before it returns."""
        self.socket.sendall(data)

    def until(self, sign: bytes) -> bytes:
        """The next message with *sign* in it; those before it are dropped. Raises wire.Broken for an error."""
        while True:
            line = self._line()
            if wire.ERROR in line:
                raise wire.Broken(f"the server answered {line!r}")
            if sign in line:
                return line

    def ask(self) -> bytes | None:
        """Ask for work: the id of the job, None where there is none for now."""
        self.send(wire.request())
        found = wire.JOB_ID.search(self.until(b'"type":"job_response"'))
        return found[1] if found else None

    def wait_for_job(self) -> bytes:
        """The id of the job that comes for a request that stands."""
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
                raise wire.Broken("the server hung up")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line
