"""Core dumps of a node."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from tests.support.crawler import in_reactor
from tests.support.server import NodeTestCase

_CRASHES = """
import os, resource
from copilot_socket.dumps import forbid_core_dumps
forbid_core_dumps()
child = os.fork()
if child == 0:
    os.abort()
print(*resource.getrlimit(resource.RLIMIT_CORE), os.WCOREDUMP(os.waitpid(child, 0)[1]))
"""


class CoreDumpTests(SynchronousTestCase):
    """The limit, set in a process of its own."""

    def test_none(self) -> None:
        """A process that crashes is not dumped, and its limit can't be raised again; 0 stays 0."""
        for given in ("$(ulimit -H -c)", "0"):
            command = ["/bin/sh", "-c", f'ulimit -c {given}; exec "$@"', "sh", sys.executable, "-c", _CRASHES]
            environ = {**os.environ, "PYTHONPATH": str(Path(copilot_socket.__file__).parents[1])}
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=self.directory(), env=environ
            )
            soft, hard, dumped = done.stdout.split()
            self.assertEqual((soft, dumped), (hard, "False"))
            self.assertLessEqual(int(hard), 1)

    def directory(self) -> Path:
        """A directory where a core dump would be written."""
        directory = Path(self.mktemp())
        directory.mkdir()
        return directory


class NodeCoreDumpTests(NodeTestCase):
    """A node that was started by twistd, with whatever limits."""

    @in_reactor()
    async def test_of_a_node(self) -> None:
        """No core dump is written of it."""
        node = await self.process().start()
        limits = Path(f"/proc/{node.pid}/limits").read_text()
        self.assertRegex(limits, r"(?m)^Max core file size +([01]) +\1 ")
