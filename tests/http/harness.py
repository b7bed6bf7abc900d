"""A real site on 127.0.0.1 with a real database behind it, and a client for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import attrs
import treq
from prometheus_client import CollectorRegistry
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from copilot_socket import memory
from copilot_socket.config import load
from copilot_socket.core.live_events import LiveEvent, encoded
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.vault import Vault
from copilot_socket.event_bus import EventBus
from copilot_socket.http.access import Access
from copilot_socket.http.endings import Endings
from copilot_socket.http.feed import Feed
from copilot_socket.http.idempotency import Idempotency
from copilot_socket.http.overview import Overviews
from copilot_socket.http.settings_handlers import NodeSettings
from copilot_socket.http.site import make_site
from copilot_socket.http.slices import Slices
from copilot_socket.http.snapshots import Snapshots
from copilot_socket.http.table import Parts
from copilot_socket.store.access import AccessStore
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.budgets import BudgetStore
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.connection import Limits
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.database import Database
from copilot_socket.store.errors import ErrorGroups
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.live_events import SETTINGS, LiveEventReader, Numbering
from copilot_socket.store.overview import OverviewReader
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.submission import Submission
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.webhooks import Webhooks
from tests.http.conformity import disagreement, wrongly_accepted
from tests.support.crawler import until
from tests.support.events import EventReader
from tests.support.postgres import DatabaseTestCase

TOKEN = "token-of-the-tests"
AUTHORIZATION = f"Authorization: Bearer {TOKEN}\r\n".encode()
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp()
ACCOUNT = {"provider": "gitlab-onprem", "gitlab_url": "https://gitlab.example", "access_token": "glpat-secret"}


@attrs.define
class FakeHealth:
    """A node that is as the test wants it."""

    running: bool = True
    connections: int = 3
    active_connections: int = 2
    http_port: int = 3000
    uptime: float = 12.5
    database: Mapping[str, Any] = attrs.Factory(
        lambda: {"connected": True, "latency_seconds": 0.001, "pool": {"size": 4, "in_use": 1, "waiting": 0}}
    )
    error: str | None = None


@attrs.frozen
class Answer:
    """What came back: ``document`` is the body's JSON, None if it is something else."""

    status: int
    headers: Headers
    body: bytes
    document: Any

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return (self.headers.getRawHeaders(name) or [None])[0]


class Turns(Clock):
    """A clock with turns like a reactor: a call scheduled in one without delay runs in the next."""

    def turn(self) -> None:
        """One turn."""
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class CountedSlices(Slices):
    """Slices that are counted."""

    count = 0

    def next(self) -> Deferred[None]:
        """Count, and hand out a turn."""
        self.count += 1
        return super().next()


class Connections:
    """The connections of a site that are open, so that a test can end after them."""

    def __init__(self) -> None:
        self.open: dict[int, Deferred[None]] = {}

    def watch(self, site: Site) -> Site:
        """Take note of *site*'s connections."""
        build = site.buildProtocol

        def build_protocol(address: Any) -> Any:
            protocol = build(address)
            ended = protocol.connectionLost
            lost: Deferred[None] = Deferred()
            self.open[id(lost)] = lost

            def connection_lost(reason: Any) -> None:
                ended(reason)
                self.open.pop(id(lost)).callback(None)

            protocol.connectionLost = connection_lost
            return protocol

        site.buildProtocol = build_protocol  # type: ignore[method-assign]
        return site

    def all_lost(self) -> Deferred[Any]:
        """Fires when none is open."""
        return gatherResults(list(self.open.values()))


class SiteTestCase(DatabaseTestCase):
    """Gives each test a listening site: ``await self.get("/…")`` and so on."""

    token = TOKEN
    """The token of the configuration; requests carry it unless they have a header Authorization."""
    uids: frozenset[int] = frozenset()
    rate = 0
    origins: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()
    config = load({}, {}, {}, uid=1000)

    def setUp(self) -> None:
        """Listen."""
        super().setUp()
        self.lanes: list[tuple[str, str]] = []
        self.events: list[object] = []
        self.health = FakeHealth()
        self.registry: CollectorRegistry | None = CollectorRegistry()
        self.bus = EventBus()
        self.clock = Turns()
        self.bus.subscribe(self.events.append)
        self.database = Database(self.database_url, reactor, Limits(), 4)
        self.transitions = Transitions(self.database, RetryPolicy(), self.bus)
        self.listen()

    def listen(self) -> None:
        """Listen, with the parts as they are now."""
        vault = Vault(self.keys)
        self.slices = CountedSlices(reactor)
        self.access = Access(self.token, AccessStore(self.database), reactor)
        self.access.book.replace((), ())  # as read from an empty table
        reader = LiveEventReader(self.database)
        catalog = Catalog(self.database)
        self.overviews = Overviews(
            catalog, OverviewReader(self.database), self.health, self.clock, node="node", embedded=True
        )
        self.feed = Feed(reader, Snapshots(catalog, reader, self.overviews, self.clock), self.clock)
        jobs = JobLists(self.database)
        self.bulk = BulkOperations(self.database, self.transitions, jobs, "node")
        parts = Parts(
            submission=Submission(self.database, 4, self.slices.next),
            catalog=catalog,
            jobs=jobs,
            bulk=self.bulk,
            endings=Endings(catalog, self.bus, reactor),
            accounts=Accounts(self.database, vault, self.transitions),
            modes=CrawlerModes(self.database),
            restrictions=RestrictionStore(self.database, "node"),
            budgets=BudgetStore(self.database),
            errors=ErrorGroups(self.database),
            webhooks=Webhooks(self.database, vault),
            bus=self.bus,
            transitions=self.transitions,
            idempotency=Idempotency(self.database, reactor),
            feed=self.feed,
            overviews=self.overviews,
            settings=NodeSettings(
                "node", self.config.settings, memory.parts(self.config), OverviewReader(self.database)
            ),
            health=self.health,
            registry=self.registry,
            reactor=reactor,
            slices=self.slices,
            time_of_day=lambda: NOW,
            work_came=self.lanes.extend,
            access=self.access,
            uids=self.uids,
            rate=self.rate,
            origins=self.origins,
        )
        self.parts = parts
        connections = Connections()
        self.port = reactor.listenTCP(0, connections.watch(make_site(parts)), interface="127.0.0.1")
        self.addCleanup(self.database.close)
        self.addCleanup(connections.all_lost)
        self.addCleanup(self.port.stopListening)
        self.addCleanup(self.feed.close)
        self.number = self.port.getHost().port
        pool = HTTPConnectionPool(reactor, persistent=False)
        self.client = treq.client.HTTPClient(Agent(reactor, pool=pool))

    async def request(self, method: str, path: str, **kwargs: Any) -> Answer:
        """One request; ``json=`` or ``data=`` and ``headers=`` as in treq."""
        headers = {"Authorization": f"Bearer {self.token}"} | kwargs.pop("headers", {})
        kwargs["headers"] = {name: value for name, value in headers.items() if value is not None}
        response = await self.client.request(method, f"http://127.0.0.1:{self.number}{path}", **kwargs)
        body = await response.content()
        kind = (response.headers.getRawHeaders("content-type") or [""])[0]
        document = await response.json() if "json" in kind and body else None
        if body:
            self.assertIsNone(disagreement(method, path, response.code, kind, document))
        if response.code < HTTPStatus.BAD_REQUEST:
            self.assertIsNone(wrongly_accepted(method, path, kwargs.get("json")))
        return Answer(response.code, response.headers, body, document)

    async def get(self, path: str, **kwargs: Any) -> Answer:
        """GET."""
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        """POST *json*, or nothing."""
        if json is not None:
            kwargs["json"] = json
        return await self.request("POST", path, **kwargs)

    async def account(self, name: str = "acme") -> None:
        """Have an account."""
        answer = await self.request("PUT", f"/api/v1/accounts/{name}", json=ACCOUNT)
        assert answer.status in (200, 201), answer.body

    async def job(self, **fields: Any) -> str:
        """Have a job, and its id."""
        fields = {"account_id": "acme", "command": "issues", "full_path": "g/p"} | fields
        answer = await self.post("/api/v1/jobs", fields)
        assert answer.status == 201, answer.body
        return str(answer.document["id"])

    def paths(self, answer: Answer) -> list[str]:
        """Where a 422 finds faults."""
        self.assertEqual(answer.status, 422, answer.body)
        return [error["path"] for error in answer.document["errors"]]

    async def raw(self, *pieces: bytes) -> bytes:
        """Send *pieces* as they are and read until the other side closes."""
        peer = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.number), _Reader())
        for piece in pieces:
            peer.transport.write(piece)
        return await peer.closed


class _Reader(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        self.closed.callback(self.received)


class EventsTestCase(SiteTestCase):
    """A site whose events are numbered."""

    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        """Begin."""
        super().setUp()
        self.numbering = Numbering(self.database.dedicated(settings=SETTINGS), reactor)
        self.addCleanup(self.numbering.close)
        await self.tell()

    async def watch(self, query: str = "", **headers: str) -> EventReader:
        """A stream that has begun."""
        reader = await EventReader.watch(self.number, query, **headers)
        self.addCleanup(reader.leave)
        await until(lambda: all(stream.live for stream in self.feed._streams), "it is live")
        return reader

    async def watched(self) -> None:
        """Wait until there is a stream, and events are sent to it."""
        await until(lambda: any(stream.live for stream in self.feed._streams), "a stream has begun")

    async def tell(self, *events: LiveEvent) -> None:
        """Store events, and number all that there are."""
        await self.numbering.run([encoded(event) for event in events])
        self.feed.notified()
