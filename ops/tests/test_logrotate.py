"""ops/logrotate/copilot-socket, run by logrotate on the log files of nodes that are busy."""

import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue

from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until
from tests.support.server import NodeTestCase, Program, ServerProcess, beside_python, run_program

REFUSED = 400
"""Reports that the database refuses, each a numbered line of level error."""
AT_ONCE = 10
ROTATIONS = 3

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'refused %', NEW.progress ->> 'message'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.progress ->> 'message' LIKE 'report %') EXECUTE FUNCTION refuse()
"""


class _Node(ServerProcess):
    """A node with a pid file and two log files."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SOCKET_LOG_LEVEL="debug", SOCKET_LOG_FORMAT="json")
        self.logs, self.run = self.directory / "logs", self.directory / "run"
        self.logs.mkdir(mode=0o750)
        self.run.mkdir()
        self.log_file, self.error_file = self.logs / "socket.log", self.logs / "socket-error.log"
        self.environ |= {"SOCKET_LOG_FILE": str(self.log_file), "SOCKET_ERROR_LOG_FILE": str(self.error_file)}

    def launch(self) -> Program:
        """Start it with a pid file."""
        pid_file = f"--pidfile={self.run / 'twistd.pid'}"
        arguments = [beside_python("twistd"), "-n", pid_file, "copilot-socket"]
        self.program, self._process = run_program(arguments, self.environ, self.directory)
        return self.program

    def rotation(self) -> Path:
        """The file of ops/ with the paths of this node."""
        text = (OPS / "logrotate" / "copilot-socket").read_text("utf-8")
        for there, here in (("/var/log/copilot-study/", self.logs), ("/run/copilot-study/", self.run)):
            assert there in text
            text = text.replace(there, f"{here}/")
        path = self.directory / "logrotate.conf"
        path.write_text(text)
        path.chmod(0o644)
        return path


@needs("logrotate", "ps")
class LogrotateTests(NodeTestCase):
    """logrotate -f."""

    async def running(self) -> _Node:
        """A node that is ready."""
        node = _Node(self.database_url)
        self.addCleanup(lambda: Deferred.fromCoroutine(node.clean_up()))
        await node.start()
        return node

    async def rotate(self, node: _Node, path: str = os.environ["PATH"]) -> None:
        """Run logrotate, which must have nothing to say."""
        state = str(node.directory / "logrotate.state")
        out, err, status = await getProcessOutputAndValue(
            "/usr/bin/env", [f"PATH={path}", "logrotate", "-f", "-s", state, str(node.rotation())], os.environ
        )
        self.assertEqual((out, err, status), (b"", b"", 0))

    async def rotated(self, node: _Node, path: str = os.environ["PATH"]) -> None:
        """Run logrotate and wait until the node writes to its new files."""
        await self.rotate(node, path)
        again = f"{node.error_file} is opened anew"
        await until(lambda: node.log_file.exists() and again in node.log_file.read_text(), "the new files are in use")

    @in_reactor(60)
    async def test_busy(self) -> None:
        """Of a node that writes all the while, each line is in exactly one file, and new ones are in the new file."""
        node = await self.running()
        self.add_jobs()
        self.query(REFUSE)
        crawler = await self.greeted(node)
        assignment = (await crawler.take_job())["id"]
        done = 0

        async def work() -> None:
            nonlocal done
            for first in range(0, REFUSED, AT_ONCE):
                numbers = range(first, first + AT_ONCE)
                sent = [crawler.progress(assignment, number, message=f"report {number}") for number in numbers]
                for ref in sent:
                    self.assertEqual((await crawler.answer(ref))["type"], "error")
                done += AT_ONCE

        async def rotate_now_and_then() -> None:
            for turn in range(1, ROTATIONS + 1):
                await until(lambda turn=turn: done >= turn * REFUSED // (ROTATIONS + 1), "some work is done")
                await self.rotated(node)
            self.assertLess(done, REFUSED, "the node was busy until after the last rotation")

        await gatherResults([Deferred.fromCoroutine(each()) for each in (work, rotate_now_and_then)])
        self.assertEqual(await node.stop(), 0)
        for path in (node.log_file, node.error_file):
            files = [list(self.refused_in(file)) for file in self.generations(path)]
            self.assertTrue(all(files), f"{path.name}: {files}")
            self.assertEqual(sorted(chain.from_iterable(files)), list(range(REFUSED)), path.name)

    def generations(self, path: Path) -> list[Path]:
        """The new file, the one before, and the older ones, compressed."""
        older = [f".{number}.gz" for number in range(2, ROTATIONS + 1)]
        found = [path.with_name(path.name + ending) for ending in ("", ".1", *older)]
        self.assertEqual(sorted(path.parent.glob(f"{path.name}*")), found)
        return found

    def refused_in(self, file: Path) -> Iterator[int]:
        """The numbers of the reports that a log file says were refused; each of its lines is whole."""
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
        for line in text.splitlines():
            event = json.loads(line)
            if event["namespace"].startswith("copilot_socket.store.writer"):
                self.assertEqual(event["level"], "error")
                yield int(re.findall(r"refused report (\d+)", event["error"])[0])

    @in_reactor()
    async def test_rights(self) -> None:
        """The new files belong to whom the old ones did, and are not for everybody."""
        node = await self.running()
        if os.geteuid() == 0:
            os.chown(node.log_file, 12345, 12346)
        before = node.log_file.stat()
        await self.rotated(node)
        after = node.log_file.stat()
        self.assertEqual((after.st_uid, after.st_gid, after.st_mode & 0o777), (before.st_uid, before.st_gid, 0o640))

    @in_reactor()
    async def test_unit(self) -> None:
        """A node that is an active unit is told through systemctl (here: a program that stands in for it)."""
        node = await self.running()
        (node.run / "twistd.pid").unlink()
        tools, told = node.directory / "tools", node.directory / "told"
        tools.mkdir()
        systemctl = tools / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$@" >>{told}\nif [ "$1" = kill ]; then kill -HUP {node.pid}; fi\n')
        systemctl.chmod(0o755)
        await self.rotated(node, f"{tools}:{os.environ['PATH']}")
        unit = "copilot-socket.service"
        expected = [f"--quiet is-active {unit}", f"kill --kill-who=main --signal=HUP {unit}"]
        self.assertEqual(told.read_text().splitlines(), expected)

    @in_reactor()
    async def test_no_node(self) -> None:
        """Where no node runs all is well, and whoever has the number of a dead one is left alone."""
        node = await self.running()
        await node.kill()
        other, process = run_program([sys.executable, "-c", "input()"], {}, node.directory)
        (node.run / "twistd.pid").write_text(str(process.pid))
        await self.rotate(node)
        self.assertTrue(node.log_file.with_name("socket.log.1").exists())
        process.closeStdin()
        self.assertNotEqual(await other.ended, -1, "it was not hung up on")
