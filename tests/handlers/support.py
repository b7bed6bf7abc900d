"""A node in this process, crawlers at its socket, and the database behind it."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from copilot_socket import node as node_module
from copilot_socket.config import load
from copilot_socket.node import Node
from copilot_socket.wire import factory as factory_module
from copilot_socket.wire.peer import Peer
from tests.support.postgres import DatabaseTestCase, reachable_directory

PATIENCE = 8.0
"""Seconds that a test waits for anything before it fails."""
TICK = 0.004
QUIET_SETTINGS: Mapping[str, str] = {
    "SOCKET_HEARTBEAT_INTERVAL": "20000",
    "SOCKET_RECONNECT_GRACE": "20000",
    "SOCKET_LEASE": "30000",
    "SOCKET_RETRY_DELAY": "0",
    "SOCKET_ENABLE_METRICS": "true",
    "COPILOT_HTTP_PORT": "0",
    "DATABASE_CONNECTION_POOL": "3",
}
"""Times so long that nothing happens by itself; a test shortens those that it is about."""

Json = dict[str, Any]


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait for *condition* (a function, perhaps of a query) to hold; its result."""
    give_up = reactor.seconds() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        assert reactor.seconds() < give_up, f"waited in vain for {what or condition}"
        await deferLater(reactor, TICK)


class Speaker(Protocol):
    """A crawler's connection. Messages that nobody asked for yet stay in ``received``, in order."""

    def __init__(self, delimiter: bytes = b"\n") -> None:
        self.delimiter = delimiter
        self.received: list[Json] = []
        self.everything = b""
        self.closed: Deferred[None] = Deferred()
        self.lost = False
        self._buffer = b""
        self._wanted: tuple[str | None, Deferred[Json]] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.everything += data
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self.received += map(json.loads, lines)
        self._satisfy()

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True
        self.closed.callback(None)

    def _satisfy(self) -> None:
        if self._wanted is None:
            return
        type_, d = self._wanted
        for index, message in enumerate(self.received):
            if type_ is None or message["type"] == type_:
                self._wanted = None
                d.callback(self.received.pop(index))
                return

    def raw(self, data: bytes) -> None:
        """Send *data* as it is."""
        self.transport.write(data)

    def say(self, type_: str, job: str | None = None, id: str | None = None, **data: Any) -> None:
        """Send one message."""
        self.raw(self.form(type_, job, id, **data))

    def form(self, type_: str, job: str | None = None, id: str | None = None, **data: Any) -> bytes:
        """The bytes of one message."""
        message: Json = {"type": type_, "timestamp": datetime.now(UTC).isoformat(), "data": data}
        message |= {"jobId": job} if job is not None else {}
        message |= {"id": id} if id is not None else {}
        return json.dumps(message).encode() + self.delimiter

    async def expect(self, type_: str | None = None) -> Json:
        """The next message of that type (or of any); those before it of other types stay."""
        d: Deferred[Json] = Deferred()
        self._wanted = (type_, d)
        self._satisfy()
        try:
            return await d.addTimeout(PATIENCE, reactor)
        except Exception as error:
            raise AssertionError(f"no {type_}; there is {self.received}, closed: {self.lost}") from error

    async def error(self) -> Json:
        """The data of the next message, which is an error."""
        message = await self.expect()
        assert message["type"] == "error", message
        data: Json = message["data"] | {"jobId": message.get("jobId")}
        return data

    async def jobs(self) -> list[Json]:
        """The jobs of the next job_response."""
        jobs: list[Json] = (await self.expect("job_response"))["data"]["jobs"]
        return jobs

    async def job(self) -> Json:
        """The one job of the next job_response that has any."""
        while not (jobs := await self.jobs()):
            pass
        assert len(jobs) == 1, jobs
        return jobs[0]

    async def ask(self, **data: Any) -> list[Json]:
        """Ask for work; what is answered at once."""
        self.say("job_request", **data)
        return await self.jobs()

    async def sync(self) -> None:
        """Return once the server has dealt with all that was said: a heartbeat's ack is the last thing to come."""
        self.say("heartbeat", id="sync", **ALIVE)
        while (await self.expect("ack"))["data"]["ref"] != "sync":
            pass

    async def leave(self) -> None:
        """Close the connection."""
        self.transport.loseConnection()
        await self.closed


ALIVE: Json = {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}


class NodeTestCase(DatabaseTestCase):
    """``await self.node(...)`` starts a node, ``await self.crawler(...)`` connects to the first one."""

    timeout = 40

    def setUp(self) -> None:
        super().setUp()
        self.nodes: list[Node] = []
        self.speakers: list[Speaker] = []
        self.directory = reachable_directory()
        self.addCleanup(shutil.rmtree, self.directory)
        self._connection = psycopg2.connect(self.database_url)
        self._connection.autocommit = True
        self.addCleanup(self._connection.close)
        self.add_account()

    # -- the server's side

    async def node(self, *, poll: float = 3600.0, **settings: object) -> Node:
        """Start a node whose SOCKET_* (in ms) and other variables are *settings*; it looks for work every *poll* s."""
        self.patch(node_module, "POLL", poll)
        path = self.directory / f"{len(self.nodes)}.sock"
        environment = {**QUIET_SETTINGS, "SOCKET_PATH": str(path), "DATABASE_URL": self.database_url}
        environment |= {name: str(value) for name, value in settings.items()}
        environment["COPILOT_STATE_DIR"] = str(self.directory)
        node = Node(load(environment, {}, {}, uid=os.geteuid()), self.database_url, reactor)
        self.nodes.append(node)
        node.privilegedStartService()
        node.startService()
        self.addCleanup(self._stop, node)
        await until(lambda: node.status.running, "the node")
        return node

    @staticmethod
    def now() -> float:
        """The reactor's time in seconds."""
        return float(reactor.seconds())

    def several_processes(self) -> None:
        """From now on each connection is taken for one of a process of its own, unless it is told which."""
        numbers = iter(range(10_000, 20_000))
        self.patch(factory_module, "read_peer", lambda _: Peer(next(numbers), 0, "1", "ns", "boot"))

    async def _stop(self, node: Node) -> None:
        for speaker in self.speakers:
            if not speaker.lost:
                speaker.transport.abortConnection()
                await speaker.closed
        await node.stopService()

    # -- the crawlers' side

    async def connect(self, node: Node | None = None, delimiter: bytes = b"\n") -> Speaker:
        """A connection that has said nothing."""
        path = (node or self.nodes[0]).config.socket_path
        speaker = await connectProtocol(UNIXClientEndpoint(reactor, path), Speaker(delimiter))
        self.speakers.append(speaker)
        return speaker

    async def crawler(self, name: str = "one", node: Node | None = None, **hello: Any) -> Speaker:
        """A crawler that said hello, with acks."""
        speaker = await self.connect(node)
        speaker.say("hello", **{"crawlerId": name, "capabilities": ["ack"], **hello})
        await speaker.expect("welcome")
        return speaker

    async def working(self, path: str = "g/p", name: str = "one", **hello: Any) -> tuple[Speaker, str]:
        """A crawler that was given a job, and the assignment."""
        crawler = await self.crawler(name, **hello)
        self.add_jobs(path)
        crawler.say("job_request")
        return crawler, (await crawler.job())["id"]

    # -- the database

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on the test's own connection and commit; its rows. Blocks."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def add_account(self, name: str = "acct", url: str = "http://127.0.0.1:9", **columns: object) -> None:
        """An account, as it stands in the database."""
        columns = {"id": name, "provider": "gitlab-onprem", "gitlab_url": url, "access_token": "token"} | columns
        places = ", ".join(["%s"] * len(columns))
        self.query(f"INSERT INTO accounts ({', '.join(columns)}) VALUES ({places})", *columns.values())

    def add_jobs(self, *paths: str, **columns: object) -> list[str]:
        """Insert queued jobs as another program would; their ids."""
        columns = {"account_id": "acct", "command": "issues"} | columns
        names = ", ".join(["full_path", *columns])
        places = ", ".join(["%s"] * (len(columns) + 1))
        statement = f"INSERT INTO jobs ({names}) VALUES ({places}) RETURNING id"
        return [str(self.query(statement, path, *columns.values())[0][0]) for path in paths]

    def row(self, job: str, *columns: str) -> Any:
        """Columns of the job that *job*, an assignment or the job itself, names; a single one as it is."""
        [row] = self.query(f"SELECT {', '.join(columns)} FROM jobs WHERE id = %s", job.partition(".")[0])
        return row[0] if len(columns) == 1 else row

    def status(self, job: str) -> str:
        """The state of the job that *job* names."""
        return str(self.row(job, "status"))

    async def becomes(self, job: str, status: str) -> None:
        """Wait for the job's state."""
        await until(lambda: self.status(job) == status, f"{job} to become {status}, it is {self.status(job)}")

    def tries(self, job: str) -> list[str]:
        """How the job's tries ended."""
        rows = self.query("SELECT outcome FROM job_tries WHERE job_id = %s ORDER BY try", job.partition(".")[0])
        return [str(row[0]) for row in rows]
