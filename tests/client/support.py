"""A scripted server of the wire protocol for tests, which records messages."""

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import TestCase

from copilot_socket.client.twisted import Crawler, Hello

Message = dict[str, Any]


class Peer(LineOnlyReceiver):
    """One connection, from the server's side."""

    delimiter = b"\n"
    MAX_LENGTH = 1_000_000

    def connectionMade(self) -> None:
        """Tell the test."""
        self.messages: DeferredQueue[Message] = DeferredQueue()
        self.gone: Deferred[None] = Deferred()
        self.factory.peers.put(self)

    def lineReceived(self, line: bytes) -> None:
        """Keep it for the test."""
        self.messages.put(json.loads(line))

    def connectionLost(self, reason: object = None) -> None:
        """Tell the test."""
        self.gone.callback(None)

    def send(self, kind: str, job: str | None = None, **data: Any) -> None:
        """Send a message to the crawler."""
        message: Message = {"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data}
        if job is not None:
            message["jobId"] = job
        self.sendLine(json.dumps(message).encode())

    async def expect(self, kind: str) -> Message:
        """The next message, which must be of this kind."""
        message = await self.messages.get()
        assert message["type"] == kind, f"expected {kind}, got {message}"
        return message

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a report."""
        self.send("ack", message.get("jobId"), type=message["type"], ref=message["id"])

    async def take(self, kind: str) -> Message:
        """The next message, of this kind, acknowledged."""
        message = await self.expect(kind)
        self.acknowledge(message)
        return message

    async def greet(
        self, heartbeat: int = 60_000, limit: int = 1_000_000, jobs: int | None = None, features: Sequence[str] = ()
    ) -> Message:
        """Receive the hello and welcome the crawler, which may hold *jobs*; None: as many as it requested."""
        hello = await self.expect("hello")
        granted = hello["data"]["maxJobs"] if jobs is None else jobs
        self.send(
            "welcome",
            heartbeatInterval=heartbeat,
            maxMessageSize=limit,
            maxConcurrentJobs=granted,
            protocolVersion="1",
            features=list(features),
        )
        return hello

    def give(self, *jobs: Message) -> None:
        """Send jobs."""
        self.send("job_response", jobs=list(jobs))


class Server(Factory):
    """Connections appear in ``peers``."""

    protocol = Peer
    noisy = False

    def __init__(self) -> None:
        self.peers: DeferredQueue[Peer] = DeferredQueue()


def work(job: str = "j.1.x", entity_type: str = "issue", **more: Any) -> Message:
    """A job as it stands in a ``job_response``."""
    return {
        "id": job,
        "entityType": entity_type,
        "entityId": "7",
        "gitlabUrl": "http://gitlab.test",
        "accessToken": "token-1",
        **more,
    }


class CrawlerTestCase(TestCase):
    """A crawler and its server, which understands ``features``."""

    features: Sequence[str] = ()
    give_back_within = 5.0

    def setUp(self) -> None:
        """Listen."""
        self.path = self.mktemp()
        # Trial's temporary paths can be longer than a socket's may be; a path relative to here is not.
        self.server = Server()
        port = reactor.listenUNIX(self.path, self.server)
        self.addCleanup(port.stopListening)

    def crawl(self, handler: Any, **hello: Any) -> Crawler:
        """A running crawler with *handler*."""
        endpoint = UNIXClientEndpoint(reactor, self.path)
        crawler = Crawler(
            endpoint, handler, Hello("c-1", **hello), reactor, lambda _attempt: 0.01, self.give_back_within
        )
        crawler.startService()
        # No peer acknowledges what a crawler gives back once its test is over.
        self.addCleanup(crawler.abort)
        return crawler

    async def begin(self, handler: Any, *jobs: dict[str, Any], **hello: Any) -> Peer:
        """A crawler that was welcomed, has requested jobs, and was sent *jobs*."""
        self.crawler = self.crawl(handler, **hello)
        peer = await self.server.peers.get()
        await peer.greet(features=self.features)
        await peer.expect("job_request")
        peer.give(*(jobs or (work(),)))
        return peer


def in_deferred(test: Any) -> Any:
    """Let trial wait for a coroutine, for a minute at most."""

    def wrapper(self: TestCase) -> "Deferred[None]":
        return Deferred.fromCoroutine(test(self)).addTimeout(60, reactor)

    wrapper.__doc__ = test.__doc__
    wrapper.__name__ = test.__name__
    return wrapper
