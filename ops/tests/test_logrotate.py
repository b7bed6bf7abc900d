"""ops/logrotate/copilot-socket, run by logrotate on the log files of nodes that are busy."""

import gzip
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue

from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until
from tests.support.server import NodeTestCase, Program, ServerProcess, beside_python, get_json, run_for, run_program

ROTATIONS = 3


class _Node(ServerProcess):
    """A node with two log files, which *command* starts."""

    command: Sequence[str] = ("twistd", "-n", "--pidfile=", "copilot-socket")

    def __init__(self, url: str) -> None:
        super().__init__(url, SOCKET_LOG_LEVEL="debug", SOCKET_LOG_FORMAT="json")
        self.logs = self.directory / "logs"
        self.logs.mkdir(mode=0o750)
        self.log_file, self.error_file = self.logs / "socket.log", self.logs / "socket-error.log"
        self.environ |= {"SOCKET_LOG_FILE": str(self.log_file), "SOCKET_ERROR_LOG_FILE": str(self.error_file)}

    def launch(self) -> Program:
        """Start it, and wait for nothing."""
        program, *rest = self.command
        arguments = [beside_python(program), *rest]
        self.program, self._process = run_program(arguments, self.environ, self.directory)
        return self.program

    def rotation(self) -> Path:
        """The file of ops/ with the directory of this node."""
        text = (OPS / "logrotate" / "copilot-socket").read_text("utf-8")
        there = "/var/log/copilot-study/"
        assert there in text
        text = text.replace(there, f"{self.logs}/")
        path = self.directory / "logrotate.conf"
        path.write_text(text)
        path.chmod(0o644)
        return path


@needs("logrotate", "find")
class LogrotateTests(NodeTestCase):
    """logrotate -f."""

    async def running(self, *command: str) -> _Node:
        """A node that is ready."""
        node = _Node(self.database_url)
        node.command = command or node.command
        self.addCleanup(lambda: Deferred.fromCoroutine(node.clean_up()))
        await node.start()
        return node

    async def rotate(self, node: _Node) -> None:
        """Run logrotate, which must have nothing to say."""
        state = str(node.directory / "logrotate.state")
        out, err, status = await getProcessOutputAndValue(
            "/usr/bin/env", ["logrotate", "-f", "-s", state, str(node.rotation())], os.environ
        )
        self.assertEqual((out, err, status), (b"", b"", 0))

    async def rotated(self, node: _Node) -> None:
        """Run logrotate and wait until the node writes to its new files."""
        await self.rotate(node)
        again = f"{node.error_file} is reopened"
        await until(lambda: node.log_file.exists() and again in node.log_file.read_text(), "the new files are in use")

    @in_reactor()
    async def test_busy(self) -> None:
        """Of a node that writes all the while, each line is in exactly one file, and new ones are in the new file."""
        node = await self.running()
        done, rotations = 0, 0

        async def work() -> None:
            nonlocal done
            while rotations <= ROTATIONS:  # one more than there are: something is written to the last file, too
                await get_json(node.port, f"/api/v1/jobs/request-{done}")
                done += 1

        async def rotate_now_and_then() -> None:
            nonlocal rotations
            for _ in range(ROTATIONS + 1):
                before = done
                await until(lambda before=before: done > before, "some work is done")
                if rotations < ROTATIONS:
                    await self.rotated(node)
                rotations += 1

        await gatherResults([Deferred.fromCoroutine(each()) for each in (work, rotate_now_and_then)])
        self.assertEqual(await node.stop(), 0)
        files = [list(self.requests_in(file)) for file in self.generations(node.log_file)]
        self.assertTrue(all(files), files)
        self.assertEqual(sorted(chain.from_iterable(files)), list(range(done)))

    def generations(self, path: Path) -> list[Path]:
        """The new file, the one before, and the older ones, compressed."""
        older = [f".{number}.gz" for number in range(2, ROTATIONS + 1)]
        found = [path.with_name(path.name + ending) for ending in ("", ".1", *older)]
        self.assertEqual(sorted(path.parent.glob(f"{path.name}*")), found)
        return found

    def requests_in(self, file: Path) -> Iterator[int]:
        """The numbers of the requests that a log file tells of; each of its lines is whole."""
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
        for line in text.splitlines():
            event = json.loads(line)
            yield from map(int, re.findall(r"/api/v1/jobs/request-(\d+)", event["message"]))

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
    async def test_run(self) -> None:
        """A node that `copilot-socket run` started, with no pid file anywhere, is found as well."""
        node = await self.running("copilot-socket", "run")
        await self.rotated(node)
        self.assertEqual(await node.stop(), 0)

    @in_reactor()
    async def test_readers(self) -> None:
        """Whoever reads a log while it is rotated is not signalled."""
        node = await self.running()
        reading = "import sys; log = open(sys.argv[1]); print(flush=True); input()"
        reader, process = run_for(self, [sys.executable, "-c", reading, str(node.log_file)], {}, node.directory)
        await until(lambda: reader.out != b"", "the log is being read")
        await self.rotated(node)
        process.closeStdin()
        self.assertGreaterEqual(await reader.ended, 0, "it was hung up on")

    @in_reactor()
    async def test_no_node(self) -> None:
        """Where no node runs all is well."""
        node = await self.running()
        await node.kill()
        await self.rotate(node)
        self.assertTrue(node.log_file.with_name("socket.log.1").exists())
