"""``copilot-socket probe`` through a real node."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.probe import crawler_of
from copilot_socket.cli.wire import Connection, WireError
from copilot_socket.core.jobs import ENTITY_TYPES
from tests.support.crawler import until
from tests.support.server import InProcessNode, NodeTestCase, Program, beside_python, run_program, short_directory

STEPS = ["ready", "account", "connect", "hello", "request", "submit", "dispatch", "started", "completed", "stored"]
PAUSE = "INSERT INTO pauses (id, scope, author) VALUES ('01JD0000000000000000000000', 'everything', 'ann')"
TOKEN = "t0ken-t0ken-t0ken-t0ken"


class ProbeTests(NodeTestCase):
    """It disturbs nothing, and leaves nothing but a row of its crawler."""

    timeout = 180

    async def probed(self, *words: str, **environ: str) -> tuple[Program, Any]:
        """Start the probe of a new node."""
        self.at: InProcessNode = await self.node(COPILOT_HTTP_TOKEN=TOKEN, **environ)
        arguments = [beside_python("copilot-socket"), "probe", "--url", f"http://127.0.0.1:{self.at.port}"]
        variables = {"COPILOT_HTTP_TOKEN": TOKEN, "SOCKET_PATH": self.at.socket_path, "HOME": "/", **environ}
        program, process = run_program([*arguments, *words], variables, Path.cwd())
        self.addCleanup(lambda: process.signalProcess("KILL") if program.running else None)
        return program, process

    def left(self) -> list[int]:
        """How many accounts, jobs and errors there are, but the account of the test."""
        counts = ("accounts WHERE id <> 'acct'", "jobs", "job_error_log", "pauses")
        return [self.query(f"SELECT count(*) FROM {each}")[0][0] for each in counts]

    async def test_all_works(self) -> None:
        """Each step with its time, and nothing is left; other crawlers are given nothing."""
        program, _ = await self.probed()
        other = await self.greeted(
            self.at, "other", entityTypes=[each for each in ENTITY_TYPES.values() if each != "probe"]
        )
        other.say("job_request")
        self.assertEqual(await program.ended, 0, program.err)
        lines = [line.split() for line in program.out.decode().splitlines()]
        self.assertEqual([line[0] for line in lines], [*STEPS, "all"])
        self.assertTrue(all(line[2] == "ms" and float(line[1]) >= 0 for line in lines))
        self.assertEqual(self.left(), [0, 0, 0, 0])
        self.assertEqual(other.jobs(), [])

    async def test_json_and_a_token(self) -> None:
        """With the crawlers' token, where the node asks for one."""
        program, _ = await self.probed("--json", COPILOT_CRAWLER_TOKEN="crawler-token-crawler-token")
        self.assertEqual(await program.ended, 0, program.err)
        answer = json.loads(program.out)
        self.assertEqual((answer["ok"], answer["error"], answer["left"]), (True, None, None))
        self.assertEqual([step["step"] for step in answer["steps"]], STEPS)

    async def test_held_back(self) -> None:
        """A job that does not come is explained, and nothing is left."""
        self.query(PAUSE)
        program, _ = await self.probed("--within", "3s")
        self.assertEqual(await program.ended, 1)
        self.assertIn(
            "dispatch failed: the job was not sent within 3 s. The job is queued: everything is paused by ann",
            program.err.decode(),
        )
        self.assertEqual(self.left()[:3], [0, 0, 0])

    async def test_interrupted(self) -> None:
        """Ctrl-C and SIGTERM clean up, too."""
        self.query(PAUSE)
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            program, process = await self.probed("--within", "60s")
            await until(lambda program=program: b"submit" in program.out, "it waits for the job")  # type: ignore[misc]
            os.kill(process.pid, number)
            self.assertEqual(await program.ended, status, program.err)
            self.assertEqual(self.left()[:3], [0, 0, 0])
            await self.at.stop()

    async def test_no_socket(self) -> None:
        """The step that fails is named."""
        program, _ = await self.probed("--socket", "/nowhere/x.sock")
        self.assertEqual(await program.ended, 1)
        self.assertIn("connect failed: can't connect to /nowhere/x.sock", program.err.decode())
        self.assertEqual(self.left()[:3], [0, 0, 0])

    async def test_alone(self) -> None:
        """Two of one user would be one crawler."""
        with socket.socket(socket.AF_UNIX) as lock:
            lock.bind(f"\0{crawler_of('/nowhere')}")
            program, _ = await self.probed("--socket", "/nowhere")
            self.assertEqual(await program.ended, 1)
        self.assertIn("another probe of this node is under way", program.err.decode())


class WireTests(SynchronousTestCase):
    """The connection that blocks."""

    def setUp(self) -> None:
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory)
        self.path = str(directory / "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.addCleanup(self.listener.close)

    def connected(self, answers: bytes) -> Connection:
        """A connection to a server that has sent this."""
        connection = Connection(self.path, 0.2)
        self.addCleanup(connection.close)
        server, _ = self.listener.accept()
        self.addCleanup(server.close)
        server.sendall(answers)
        self.server = server
        return connection

    def test_answers(self) -> None:
        """Other messages are passed over; an error, the end and silence are told apart."""
        found = self.connected(b'{"type": "news"}\n{"type": "welcome", "data": 1}\n{"type": "err')
        self.assertEqual(found.ask("hello", "welcome", {})["data"], 1)
        self.assertRaises(TimeoutError, found.receive, "x")
        self.server.sendall(b'or", "data": {"code": "unauthorized", "message": "no"}}\n')
        self.assertIn("unauthorized: no", str(self.assertRaises(WireError, found.receive, "x")))
        self.server.close()
        self.assertIn("closed", str(self.assertRaises(WireError, found.receive, "x")))

    def test_acks(self) -> None:
        """A report waits for its own."""
        found = self.connected(b'{"type": "ack", "data": {"ref": "m0"}}\n{"type": "ack", "data": {"ref": "m1"}}\n')
        found.report("job_started", "J.1.x", {})
        self.assertIn(b'"jobId": "J.1.x"', self.server.recv(4096))

    def test_nobody(self) -> None:
        """Where nobody listens, the path is named."""
        self.assertIn("/nowhere", str(self.assertRaises(WireError, Connection, "/nowhere", 1.0)))
