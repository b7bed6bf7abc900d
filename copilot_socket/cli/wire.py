"""A crawler's connection that blocks: just enough of the protocol for a probe."""

import json
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


class WireError(Exception):
    """The node did not answer as the protocol says."""


class Connection:
    """A connection to the crawlers' socket at *path*; each answer must come within *within* seconds.

    Raises OSError, a TimeoutError among them, and :class:`WireError`.
    """

    def __init__(self, path: str, within: float) -> None:
        self._within = within
        self._buffer = b""
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(within)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise WireError(f"can't connect to {path}: {error.strerror or error}") from None

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def ask(self, type_: str, answer: str, data: Mapping[str, Any]) -> Any:
        """Send a message, and return the answer of this type."""
        self._send({"type": type_, "data": data})
        return self.receive(answer)

    def report(self, type_: str, assignment: str, data: Mapping[str, Any]) -> None:
        """Send a report, and wait until it is acknowledged: until it is stored."""
        self._number += 1
        ref = f"m{self._number}"
        self._send({"type": type_, "id": ref, "jobId": assignment, "data": data})
        while self.receive("ack")["data"].get("ref") != ref:
            pass

    def receive(self, type_: str) -> Any:
        """The next message of this type; others are passed over, but for errors."""
        deadline = time.monotonic() + self._within
        while True:
            message = json.loads(self._line(deadline))
            if message["type"] == type_:
                return message
            if message["type"] == "error":
                raise WireError(f"{message['data']['code']}: {message['data']['message']}")

    def _send(self, message: Mapping[str, Any]) -> None:
        stamped = {**message, "timestamp": datetime.now(UTC).isoformat()}
        self._socket.settimeout(self._within)
        self._socket.sendall(json.dumps(stamped).encode() + b"\n")

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self._socket.recv(65536)
            except TimeoutError:
                raise TimeoutError(f"no answer within {self._within:g} s") from None
            except ConnectionError:
                received = b""
            if not received:
                raise WireError("the node has closed the connection")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
