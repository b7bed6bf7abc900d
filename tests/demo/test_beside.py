"""The demo beside a node that runs already."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.demo.beside import forget_old
from tests.support.crawler import in_reactor, until
from tests.support.server import InProcessNode, NodeTestCase, Program, run_for

TOKEN = "secret-of-the-test"


class BesideTests(NodeTestCase):
    """``python -m copilot_socket.demo.beside`` and a real node."""

    def demo(self, node: InProcessNode, token: str) -> tuple[Program, Any]:
        """The demo, in a hurry."""
        places = ["--server", f"http://127.0.0.1:{node.port}", "--socket", node.socket_path]
        command = [sys.executable, "-m", "copilot_socket.demo.beside", *places, "--size", "tiny", "--every", "0.5"]
        return run_for(self, command, {"COPILOT_HTTP_TOKEN": token}, node.directory)

    @in_reactor()
    async def test_over_and_over(self) -> None:
        """What it discovers is crawled, more than once, and SIGTERM ends it in order."""
        program, process = self.demo(await self.node(COPILOT_HTTP_TOKEN=TOKEN), TOKEN)
        again = "SELECT count(*) > 1 FROM jobs WHERE command = 'GROUP_PROJECT_DISCOVERY' AND status = 'completed'"
        await until(lambda: self.query(again) == [(True,)], "it discovers again")
        self.assertGreater(self.count("completed"), 10)
        process.signalProcess("TERM")
        self.assertEqual(await program.ended, 0, program.err)

    @in_reactor()
    async def test_not_let_in(self) -> None:
        """With another token it ends, and says why without saying the token."""
        program, _ = self.demo(await self.node(COPILOT_HTTP_TOKEN=TOKEN), "another")
        self.assertEqual(await program.ended, 1)
        self.assertIn(b"the demo can't start: PUT /api/v1/accounts/demo returned 401", program.err)
        self.assertNotIn(b"another", program.err)


class ForgetOldTests(SynchronousTestCase):
    """What the crawler wrote does not pile up."""

    def test_age(self) -> None:
        """Old files go, new ones and directories stay."""
        with tempfile.TemporaryDirectory() as name:
            out = Path(name)
            (out / "issue").mkdir()
            old, new = out / "issue" / "old.jsonl", out / "issue" / "new.jsonl"
            for path in (old, new):
                path.touch()
            os.utime(old, (0, 0))
            forget_old(out, 60)
            self.assertEqual(list(out.rglob("*")), [out / "issue", new])
