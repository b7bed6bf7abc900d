"""A node in this process, crawlers at its socket, and the database behind it."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol

from copilot_socket import periodic
from copilot_socket.handlers import messages
from copilot_socket.handlers.dispatch import planner
from copilot_socket.node import Node
from copilot_socket.wire import factory as factory_module
from copilot_socket.wire.peer import Peer
from tests.support.crawler import Message, TestCrawler, reactor, until
from tests.support.postgres import DatabaseTestCase
from tests.support.server import InProcessNode

QUIET: Mapping[str, str] = {
    "SOCKET_HEARTBEAT_INTERVAL": "20000",
    "SOCKET_HEARTBEAT_TIMEOUT": "60000",
    "SOCKET_CONNECTION_TIMEOUT": "60000",
    "SOCKET_RECONNECT_GRACE": "20000",
    "SOCKET_LEASE": "30000",
    "SOCKET_RETRY_DELAY": "0",
    "SOCKET_METRICS_INTERVAL": "60000",
}
"""Times in ms, so long that no timer fires; a test shortens those that it needs."""
ANSWERED = 5.0
"""Seconds before a request is answered as empty for which there are jobs: a busy machine may claim them slowly."""
RUNS_NOTHING = 60.0
"""Seconds before a plain crawler's further request means that it runs nothing, unless a test wants that."""
ALIVE: Message = {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}
PROGRESS: Message = {"stage": "fetching", "entityType": "issue", "processed": 1}


def found(**fields: object) -> Message:
    """An element of discovered_jobs."""
    project = {"job_type": "crawl_project", "entity_id": "7", "namespace_path": "g/p", "entity_name": "P"}
    return {**project, **fields}


class Crawler(TestCrawler):
    """A connection whose messages end with *delimiter* and carry an id only where a test gives one."""

    def __init__(self, name: str = "plain", delimiter: bytes = b"\n") -> None:
        super().__init__(name)
        self.delimiter = delimiter
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        super().dataReceived(data)

    @property
    def unread(self) -> list[Message]:
        """Messages received and not yet read by the test."""
        return list(self._unread)

    def forget(self) -> None:
        """Discard the unread messages."""
        self._unread.clear()

    def form(self, kind: str, job: str | None = None, id: str | None = None, **data: Any) -> bytes:
        """The bytes of one message."""
        message: Message = {"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data}
        message |= {"jobId": job} if job is not None else {}
        message |= {"id": id} if id is not None else {}
        return json.dumps(message).encode() + self.delimiter

    def say(self, kind: str, job: str | None = None, id: str | None = None, **data: Any) -> str:
        """Send one message."""
        self.raw(self.form(kind, job, id, **data))
        return id or ""

    def next(self) -> "Deferred[Message]":
        """The next message, whatever it is."""
        return self._next(lambda _: True, "anything")

    async def error(self) -> Message:
        """The data of the next message, which is an error; with its jobId."""
        message = await self.next()
        assert message["type"] == "error", message
        return {**message["data"], "jobId": message.get("jobId")}

    async def acked(self) -> str:
        """The ref of the next message, which is an ack."""
        message = await self.next()
        assert message["type"] == "ack", message
        return str(message["data"]["ref"])

    async def answered(self) -> list[Message]:
        """The jobs of the next job_response, if any."""
        jobs: list[Message] = (await self.expect("job_response"))["data"]["jobs"]
        return jobs

    async def ask(self, **data: Any) -> list[Message]:
        """Request work; the jobs of the immediate answer."""
        self.say("job_request", **data)
        return await self.answered()

    async def fail(self, job: str, recoverable: bool = True, **data: Any) -> None:
        """Report a failure, and wait until it is stored."""
        self.say("job_failed", job, id="failed", error="no", isRecoverable=recoverable, **data)
        await self.answer("failed")

    async def sync(self) -> None:
        """Return once the server has handled all messages sent so far. Needs acks."""
        self.say("heartbeat", id="sync", **ALIVE)
        await self.answer("sync")

    async def leave(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()
        await self.closed


class NodeTestCase(DatabaseTestCase):
    """``await self.node(...)`` starts a node, ``await self.crawler(...)`` connects to the first one."""

    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        self.patch(planner, "PATIENCE", ANSWERED)
        self.patch(messages, "PLAIN_PATIENCE", RUNS_NOTHING)
        self.nodes: list[Node] = []
        self.add_account()

    # -- the server's side

    async def node(self, *, poll: float = 3600.0, **settings: object) -> Node:
        """Start a node with *settings* as environment variables; *poll* in seconds."""
        self.patch(periodic, "POLL", poll)
        environ = {**QUIET, **{name: str(value) for name, value in settings.items()}}
        node = InProcessNode(self.database_url, **environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(node.clean_up()))
        self.nodes.append(node.node)
        await node.start()
        return node.node

    def each_its_own_process(self) -> None:
        """From now on each new connection seems to come from another process."""
        pids = itertools.count(10_000)
        self.be_process(lambda: next(pids))

    def be_process(self, pid: Any) -> None:
        """From now on new connections seem to come from process *pid*, or the one that it returns."""
        number = pid if callable(pid) else lambda: pid
        self.patch(factory_module, "read_peer", lambda _: Peer(number(), 0, "1", "ns", "boot"))

    @staticmethod
    def now() -> float:
        """The reactor's time in seconds."""
        return float(reactor.seconds())

    # -- the crawlers' side

    async def connect(self, node: Node | None = None, *, delimiter: bytes = b"\n") -> Crawler:
        """A connection that has sent nothing."""
        path = (node or self.nodes[0]).config.socket_path
        crawler: Crawler = await connectProtocol(UNIXClientEndpoint(reactor, path), Crawler("plain", delimiter))
        self.addCleanup(crawler.hang_up)
        return crawler

    async def crawler(self, name: str = "one", node: Node | None = None, **hello: Any) -> Crawler:
        """A crawler that has sent hello, with acks."""
        crawler = await self.connect(node)
        crawler.name = name
        crawler.say("hello", **{"crawlerId": name, "capabilities": ["ack"], **hello})
        await crawler.expect("welcome")
        return crawler

    async def working(self, path: str = "g/p", name: str = "one", **hello: Any) -> tuple[Crawler, str]:
        """A crawler that has sent hello and was given a job, and the assignment."""
        crawler = await self.crawler(name, **hello)
        return crawler, await self.given(crawler, path)

    async def quiet(self, *crawlers: Crawler) -> None:
        """Assert that nothing was pushed within two rounds of dispatch."""
        other = await self.crawler("quiet", entityTypes=["none"])
        for _ in range(2):
            self.assertEqual(await other.ask(), [])
        self.assertEqual([crawler.unread for crawler in crawlers], [[] for _ in crawlers])

    async def given(self, crawler: Crawler, path: str = "g/p", **columns: object) -> str:
        """Insert a job that *crawler* is given; the assignment."""
        self.add_jobs(path, **columns)
        crawler.say("job_request")
        return str((await crawler.job())["id"])

    async def past_a_grace(self, node: Any) -> None:
        """Let the graces that have begun be over, with their releases; leases that are renewed go on."""
        grace = node.config.reconnect_grace
        self.query("UPDATE crawlers SET lease_expires_at = lease_expires_at - %s * interval '1 s'", grace)
        self.query("UPDATE job_assignments SET confirm_by = confirm_by - %s * interval '1 s'", grace)
        await node.presence.release_lost()

    # -- the database

    def add_account(self, name: str = "acct", url: str = "http://127.0.0.1:9", **columns: object) -> None:
        """Insert an account."""
        columns = {"id": name, "provider": "gitlab-onprem", "gitlab_url": url, "access_token": "token"} | columns
        places = ", ".join(["%s"] * len(columns))
        self.query(f"INSERT INTO accounts ({', '.join(columns)}) VALUES ({places})", *columns.values())

    def add_jobs(self, *paths: str, **columns: object) -> list[str]:
        """Insert queued jobs as another program would, and add their lane to the nodes; their ids."""
        columns = {"account_id": "acct", "command": "issues"} | columns
        names = ", ".join(["full_path", *columns])
        places = ", ".join(["%s"] * (len(columns) + 1))
        statement = f"INSERT INTO jobs ({names}) VALUES ({places}) RETURNING id"
        ids = [str(self.query(statement, path, *columns.values())[0][0]) for path in paths]
        for node in self.nodes:
            node.dispatcher.work_came([(str(columns["account_id"]), str(columns["command"]))])
        return ids

    def row(self, job: str, *columns: str) -> Any:
        """Columns of the job that *job*, an assignment or the job itself, names; a single one as it is."""
        [row] = self.query(f"SELECT {', '.join(columns)} FROM jobs WHERE id = %s", job.partition(".")[0])
        return row[0] if len(columns) == 1 else row

    def status(self, job: str) -> str:
        """The state of the job that *job* names."""
        return str(self.row(job, "status"))

    async def becomes(self, job: str, status: str) -> None:
        """Wait for the job's state."""
        await until(lambda: self.status(job) == status, f"{job} is {status}")

    def tries(self, job: str) -> list[str]:
        """The outcomes of the job's attempts."""
        rows = self.query("SELECT outcome FROM job_tries WHERE job_id = %s ORDER BY try", job.partition(".")[0])
        return [str(row[0]) for row in rows]
