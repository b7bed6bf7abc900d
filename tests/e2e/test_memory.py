"""Under worst-case load of all kinds together a node stays within the memory stated in docs/configuration.md."""

import contextlib
import re
import socket
from collections.abc import Iterable
from pathlib import Path

import psycopg2
from twisted.internet.threads import deferToThread

from copilot_socket.config import load
from copilot_socket.http.feed import MAX_STREAMS
from copilot_socket.memory import KIB, MIB, most
from copilot_socket.store.write_queue import HIGH_SIZE
from tests.support.crawler import in_reactor
from tests.support.server import NodeTestCase, ServerProcess

CONNECTIONS, MESSAGE = 16, 256 * KIB
GROUP = CONNECTIONS // 4
SLACK = 1.5
ENVIRON = {
    "SOCKET_MAX_CONNECTIONS": str(CONNECTIONS),
    "SOCKET_MAX_MESSAGE_SIZE": str(MESSAGE),
    # Long enough that no client is cut off meanwhile.
    "SOCKET_HEARTBEAT_INTERVAL": "60000",
    "SOCKET_HEARTBEAT_TIMEOUT": "180000",
    "SOCKET_CONNECTION_TIMEOUT": "180000",
    "SOCKET_RECONNECT_GRACE": "60000",
    "SOCKET_LEASE": "60000",
}
STALLED = 0.5
"""Seconds after which a node that takes nothing more is taken to have stopped reading."""
HOG = 4 * MIB
"""What each of those who never read tries to send; sockets and buffers take a twentieth of it."""
BEAT = b'{"type":"heartbeat","timestamp":"t","data":{"activeJobs":0,"totalProcessed":0,"systemStatus":"idle"%b}}\n'


def fat(size: int) -> bytes:
    """A JSON value of *size* bytes that takes thirty times as many in Python."""
    return b"[" + b"{}," * (size // 3 - 1) + b"0]"


def push(clients: Iterable[socket.socket], data: bytes) -> int:
    """Have each client send *data* until nobody takes more; how many bytes were taken from all. Blocks."""
    taken = 0
    for client in clients:
        client.settimeout(STALLED)
        left = memoryview(data)
        with contextlib.suppress(TimeoutError):
            while left:
                left = left[client.send(left[:MIB]) :]
        taken += len(data) - len(left)
    return taken


class MemoryTests(NodeTestCase):
    """Crawlers and watchers that do their worst."""

    def peak(self, server: ServerProcess) -> int:
        """The most bytes that the node's process has had."""
        status = Path(f"/proc/{server.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * KIB

    def clients(self, server: ServerProcess, kind: str) -> list[socket.socket]:
        """Connections of as many crawlers, which read their welcome and nothing else."""
        made = []
        for number in range(GROUP):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(server.socket_path)
            hello = b'{"type":"hello","timestamp":"t","data":{"crawlerId":"%b%d","capabilities":["ack"]}}\n'
            client.sendall(hello % (kind.encode(), number))
            self.assertIn(b"welcome", client.recv(4096))
            made.append(client)
        return made

    @in_reactor(300)
    async def test_at_its_worst(self) -> None:
        """Half messages, unread answers and events, reports behind a locked table, heartbeats that are lists."""
        server = await self.process(**ENVIRON).start()
        bound = most(load({**server.environ}, {}, {}, uid=1000))
        holders = [await self.greeted(server, f"holder{number}", maxJobs=1) for number in range(GROUP)]
        self.add_jobs(GROUP)
        jobs = [(await holder.take_job())["id"] for holder in holders]
        for holder in holders:
            await holder.hang_up()
        reporters, halves, hogs, beaters = (
            self.clients(server, kind) for kind in ("holder", "half", "hog", "beater")
        )
        for _ in range(MAX_STREAMS):
            watcher = socket.create_connection(("127.0.0.1", server.port))
            self.addCleanup(watcher.close)
            watcher.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.closing(psycopg2.connect(self.database_url)) as locked:
            locked.cursor().execute("LOCK TABLE jobs, job_assignments")
            beat = BEAT % (b',"memoryUsage":' + fat(MESSAGE - len(BEAT) - 20))
            await deferToThread(push, beaters, beat)
            state, each = fat(60 * KIB), HIGH_SIZE // GROUP // (60 * KIB)
            sent: list[int] = []
            for reporter, job in zip(reporters, jobs, strict=True):
                report = (
                    b'{"type":"job_progress","timestamp":"t","jobId":"%b","data":'
                    b'{"stage":"fetching","entityType":"i","processed":1,"resumeState":{"p":%b}}}\n'
                )
                large = report % (job.encode(), state)
                sent.append(await deferToThread(push, [reporter], large * each) // len(large))
                await deferToThread(push, [reporter], report % (job.encode(), b"0") * 1000)
            half = b'{"type":"heartbeat","data":"'
            await deferToThread(push, halves, half + b"x" * (MESSAGE - len(half)))
            bad = b'{"type":"no such type","timestamp":"t"}\n' * 19 + BEAT % b""
            taken = await deferToThread(push, hogs, bad * (HOG // len(bad)))
            self.assertLess(taken, GROUP * HOG // 4, "who does not read is read from")
            self.assertLess(self.peak(server), SLACK * bound)
        self.assertGreater(sum(sent) * 60 * KIB, HIGH_SIZE // 2, "few reports were taken")
        for reporter, number in zip(reporters, sent, strict=True):
            reporter.settimeout(20)
            acks = 0
            while acks < number:
                acks += (await deferToThread(reporter.recv, MIB)).count(b'"ack"')
        self.assertLess(self.peak(server), SLACK * bound)
