"""A node in the test's process, and a connection to it that says and hears JSON."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.protocols.basic import LineOnlyReceiver

from copilot_socket.config import load
from copilot_socket.node import Node
from tests.support.postgres import DatabaseTestCase

PATIENCE = 60.0
"""Seconds to wait for what should come within milliseconds."""


class Connection(LineOnlyReceiver):
    """One connection of a crawler."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self._heard: DeferredQueue[dict[str, Any]] = DeferredQueue()
        self.lost: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """A message of the server's."""
        self._heard.put(json.loads(line))

    def connectionLost(self, reason: Any = None) -> None:
        """It is over."""
        self.lost.callback(None)

    def hear(self) -> "Deferred[dict[str, Any]]":
        """The next message of the server's."""
        return self._heard.get().addTimeout(PATIENCE, reactor)


class NodeTestCase(DatabaseTestCase):
    """A node with development's defaults, and the account that docs/protocol.md speaks of."""

    environ: Mapping[str, str] = {}
    """What differs from the defaults."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(tempfile.mkdtemp(prefix="copilot-docs-"))
        self.addCleanup(shutil.rmtree, directory)
        self.socket_path = directory / "s"
        environ = {
            "SOCKET_PATH": str(self.socket_path),
            "COPILOT_HTTP_PORT": "0",
            "SOCKET_RETRY_DELAY": "400",
            "COPILOT_STATE_DIR": str(directory / "state"),
            **self.environ,
        }
        self.node = Node(load(environ, {}, {}, uid=0), self.database_url, reactor)
        self.node.transitions._jitter = lambda: 0.5
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "VALUES ('acme', 'gitlab-onprem', 'https://gitlab.example.org', 'example-token')"
        )
        self._connections: list[Connection] = []
        self.node.privilegedStartService()
        # The node stops first, which ends the connections.
        self.addCleanup(lambda: gatherResults([connection.lost for connection in self._connections]))
        self.addCleanup(self.node.stopService)
        self.node.startService()

    async def connect(self) -> Connection:
        """A connection, which lasts till the end of the test."""
        connection = Connection()
        await connectProtocol(UNIXClientEndpoint(reactor, str(self.socket_path)), connection)
        self._connections.append(connection)
        return connection

    def put_in(self, job: dict[str, str]) -> str:
        """Put a job in as another program does; its id."""
        names = ", ".join(["account_id", *job])
        marks = ", ".join(["%s"] * (len(job) + 1))
        [(job_id,)] = self.query(f"INSERT INTO jobs ({names}) VALUES ({marks}) RETURNING id", "acme", *job.values())
        return str(job_id)
