"""The HTTP port without a network and without a database: clients are fake transports."""

import re
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import EventBus
from copilot_socket.http.access import Access
from copilot_socket.http.site import make_site
from copilot_socket.http.slices import Slices
from copilot_socket.http.table import Parts
from copilot_socket.store.listing import Listing
from copilot_socket.store.submission import Submitted
from tests.http.harness import AUTHORIZATION, TOKEN, FakeHealth, Turns

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /health/socket HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"\r\n"
LIST = b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"\r\n"
POST = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
JOB = {"account_id": "acme", "command": "users"}


class Transport(StringTransport):
    """A transport on loopback, whose client does not read while ``full``."""

    bufferSize = 65536
    aborted = False
    ended = False
    full = False

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))

    def write(self, data: bytes) -> None:
        """Take *data*, and complain if it will not be read."""
        assert not self.ended, data
        super().write(data)
        if self.full:
            self.producer.pauseProducing()

    def read(self) -> None:
        """The client has read everything."""
        self.full = False
        self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Allowed repeatedly, as in Twisted's own transports."""
        if self.producer is not None:
            super().unregisterProducer()

    def loseWriteConnection(self) -> None:
        """Nothing more may be sent."""
        self.ended = True

    def abortConnection(self) -> None:
        """Take note."""
        self.aborted = True


class Store:
    """Stands for the database: operations end when the test calls :meth:`answer`."""

    def __init__(self) -> None:
        self.submitted: list[int] = []
        self.pending: list[Deferred[Any]] = []

    async def submit(self, jobs: list[Any], _act: object, _answered: object) -> Submitted:
        """Submission."""
        self.submitted.append(len(jobs))
        return await self._ask(Submitted(["id"] * len(jobs), [True] * len(jobs)))

    async def page(self, *_args: object, **_more: object) -> Listing:
        """Lists of jobs."""
        return await self._ask(Listing([], None))

    def answer(self) -> None:
        """End the oldest operation."""
        self.pending.pop(0).callback(None)

    async def _ask(self, answer: Any) -> Any:
        d: Deferred[None] = Deferred()
        self.pending.append(d)
        await d
        return answer


class Client:
    """One connection."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send *data* in one piece."""
        self.protocol.dataReceived(data)

    def leave(self) -> None:
        """Close the connection."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers so far."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.transport.value())]


class ConnectionTestCase(SynchronousTestCase):
    """A site without a network and without a database."""

    def setUp(self) -> None:
        """Make the site."""
        self.reactor = Turns()
        self.store: Any = Store()
        self.health = FakeHealth()
        self.make()

    def make(self) -> None:
        """Make it, by the limits as they are now."""
        unused: Any = None
        self.slices = Slices(self.reactor)
        self.site: Any = make_site(
            Parts(
                submission=self.store,
                catalog=self.store,
                jobs=self.store,
                bulk=unused,
                endings=unused,
                accounts=unused,
                modes=unused,
                restrictions=unused,
                budgets=unused,
                errors=unused,
                webhooks=unused,
                overviews=unused,
                settings=unused,
                bus=EventBus(),
                transitions=unused,
                idempotency=unused,
                feed=unused,
                health=self.health,
                registry=CollectorRegistry(),
                reactor=self.reactor,
                slices=self.slices,
                work_came=lambda _lanes: None,
                access=Access(TOKEN, unused, self.reactor),
            )
        )

    def connect(self) -> Client:
        """One more connection."""
        return Client(self.site)

    @property
    def body_bytes(self) -> int:
        """Bytes of bodies that are counted."""
        return int(self.site.application.bodies.used)

    @property
    def answer_bytes(self) -> int:
        """Bytes of answers that are counted."""
        return int(self.site.application.answers.used)
