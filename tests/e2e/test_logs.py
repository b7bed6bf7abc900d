"""The log of a whole node."""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from copilot_socket.core.messages import INCOMING
from tests.support.crawler import in_reactor, reactor, until
from tests.support.server import NodeTestCase, ServerProcess, beside_python, get_json, run_program


class LogTests(NodeTestCase):
    """What a node writes, where, and what happens when it can't."""

    def lines(self, text: str) -> list[dict[str, Any]]:
        """The JSON lines of *text*; whatever else is in it fails the test."""
        return [json.loads(line) for line in text.splitlines()]

    async def one_job(self, server: ServerProcess) -> str:
        """Have one job done; its id."""
        [job] = self.add_jobs()
        crawler = await self.greeted(server)
        assignment = (await crawler.take_job())["id"]
        await crawler.told("job_started", assignment)
        await crawler.told("no_such_type")
        await crawler.told("job_completed", assignment, success=True, finalCounts={})
        await crawler.hang_up()
        return job

    @in_reactor()
    async def test_json_on_standard_output(self) -> None:
        """Every line is one JSON object, written immediately, with the ids of its subject."""
        server = await self.process(SOCKET_LOG_FORMAT="json", SOCKET_LOG_LEVEL="debug").start()
        job = await self.one_job(server)
        assert server.program is not None
        program = server.program
        await until(lambda: b'"event":"closed"' in program.out, "the end of the connection is logged")
        self.assertEqual(await server.stop(), 0)
        lines = self.lines(program.out.decode())
        states = [line["status"] for line in lines if line.get("job") == job and "status" in line]
        self.assertEqual(states, ["running", "completed"])
        sent = next(line for line in lines if line["namespace"] == "copilot_socket.handlers.dispatch.delivery")
        self.assertEqual((sent["job"], sent["crawler"], sent["level"]), (job, "c1", "debug"))
        self.assertTrue(sent["assignment"].startswith(f"{job}.1."))
        refused = next(line for line in lines if line.get("code") == "unknown_type" and "connection" in line)
        connections = {line["connection"] for line in lines if line.get("event") == "closed"}
        self.assertEqual(connections, {refused["connection"]})

    @in_reactor()
    async def test_debug_of_one_part(self) -> None:
        """DEBUG=socket:wire has messages logged, and nothing else that the level would not let through."""
        server = await self.process(SOCKET_LOG_FORMAT="json", DEBUG="socket:wire", SOCKET_LOG_LEVEL="warn").start()
        await self.one_job(server)
        assert server.program is not None
        program = server.program
        await until(lambda: b"job_completed" in program.out, "the last message is logged")
        self.assertEqual(await server.stop(), 0)
        lines = self.lines(program.out.decode())
        self.assertEqual({line["namespace"].split(".")[1] for line in lines}, {"wire"})
        types = {line["type"] for line in lines if "count" in line}
        self.assertTrue({"hello", "job_request", "job_started", "job_completed"} <= types <= {*INCOMING, "unknown"})

    @in_reactor()
    async def test_outage(self) -> None:
        """An outage of the database is logged in a line or two, and its end, however many parts notice it."""
        server = await self.process(SOCKET_LOG_FORMAT="json").start()
        assert server.program is not None
        program = server.program
        crawler = await self.greeted(server)
        self.add_jobs()
        job = (await crawler.take_job())["id"]
        before = len(program.out)
        self.shut_database()
        ref = crawler.complete(job)
        crawler.say("job_request")
        for _ in range(30):  # each finds the database away
            status, _ = await get_json(server.port, "/api/v1/stats")
            self.assertEqual(status, 503)
        await deferLater(reactor, 1.0)  # how much is written meanwhile is what is tested
        self.open_database()
        await crawler.answer(ref)
        await until(lambda: program.out.count(b"store.outage.Outages") == 2, "the end is logged")
        bad = [line for line in self.lines(program.out[before:].decode()) if line["level"] not in ("debug", "info")]
        self.assertEqual([line["cause"] for line in bad if "cause" in line], ["login"])
        self.assertLessEqual(len(bad), 2, bad)

    @in_reactor()
    async def test_full_disk(self) -> None:
        """A node whose log can't be written works on, and reports that on standard error."""
        server = self.process(SOCKET_LOG_LEVEL="debug", SOCKET_LOG_FILE="/dev/full")
        await server.start()
        job = await self.one_job(server)
        self.assertEqual(self.status_of(job), "completed")
        self.assertEqual(await server.stop(), 0)
        assert server.program is not None
        said = "copilot-socket: can't write to the log (/dev/full): No space left on device\n"
        self.assertEqual(server.program.err.decode(), said)

    @in_reactor()
    async def test_daemon(self) -> None:
        """A daemon, which has no standard output, logs to twistd.log in the directory it runs in."""
        server = self.process(SOCKET_LOG_FORMAT="json")
        pid_file, log = server.directory / "twistd.pid", server.directory / "twistd.log"

        def end() -> None:
            with contextlib.suppress(OSError):  # there is no pid file: it has ended
                os.kill(int(pid_file.read_text()), signal.SIGKILL)

        self.addCleanup(end)
        launcher, _ = run_program([beside_python("twistd"), "copilot-socket"], server.environ, server.directory)
        self.assertEqual(await launcher.ended, 0)
        await until(lambda: log.exists() and "Crawlers connect to" in log.read_text(), "the node runs")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        await until(lambda: not pid_file.exists(), "the daemon has ended")
        self.assertIn("Stopped", [line["message"] for line in self.lines(log.read_text())])

    @in_reactor()
    async def test_log_that_cannot_be_opened(self) -> None:
        """It is reported like any other fault of the configuration, and nothing is started."""
        server = self.process(SOCKET_LOG_FILE="/nowhere/node.log", SOCKET_ERROR_LOG_FILE="/nowhere/errors.log")
        server.launch()
        self.assertEqual(await server.exit_status(), 1)
        for name in ("SOCKET_LOG_FILE is '/nowhere/node.log'", "SOCKET_ERROR_LOG_FILE is '/nowhere/errors.log'"):
            self.assertIn(f"{name} (environment): allowed is a file that can be written to (No such file", server.log)
        self.assertFalse(Path(server.socket_path).exists())
