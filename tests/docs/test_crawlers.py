"""The programs of README.md and docs/client.md, run as they are printed."""

import re
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.docs.node import PATIENCE, NodeTestCase
from tests.support.crawler import until
from tests.support.server import Program, run_for, short_directory

ROOT = Path(__file__).parents[2]
SOCKET = "/tmp/gitlab-crawler-dev.sock"
CLIENT = "docs/client.md"


def programs(page: str, heading: str) -> list[str]:
    """The programs in a section of a page."""
    _, _, text = (ROOT / page).read_text("utf-8").partition(f"\n## {heading}\n")
    found: list[str] = re.findall(r"```python\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    return found


class ProgramTests(NodeTestCase):
    """Each is a program of its own, in a process of its own, at a node."""

    async def crawls(self, text: str) -> None:
        """It prints what it was given, completes its jobs, and ends by SIGTERM with nothing left behind."""
        for command in ("GROUP_PROJECT_DISCOVERY", "users"):
            self.put_in({"command": command})
        program = self.start(text)
        done = [("completed", 2)]
        statement = "SELECT status, count(*)::int FROM jobs GROUP BY status"
        await until(lambda: self.query(statement) == done, "the jobs are done", PATIENCE)
        self.assertRegex(program.out.decode(), "users of acme,? from page 1")
        self.process.signalProcess("TERM")
        self.assertEqual(await program.ended, 0, program.err.decode())
        self.assertEqual(program.err, b"")

    def start(self, text: str) -> Program:
        """Start a program."""
        program = self.socket_path.with_name("crawler.py")
        program.write_text(text.replace(SOCKET, str(self.socket_path)))
        started, self.process = run_for(self, [sys.executable, str(program)], {}, program.parent)
        return started

    async def test_readme(self) -> None:
        """The first crawler."""
        await self.crawls(programs("README.md", "Your first job")[0])

    async def test_plain(self) -> None:
        """The smallest plain crawler."""
        await self.crawls(programs(CLIENT, "The plain client")[0])

    async def test_threads(self) -> None:
        """Several threads, with what the excerpt leaves out."""
        # In one write, as threads print into each other's lines.
        line = 'f"{job.command} of {job.entity_id} from page 1\\n"'
        crawl = f"def crawl(job):\n    print({line}, end='', flush=True)\n    return {{}}\n"
        imports = "from copilot_socket.client import Crawler, Hello\n"
        await self.crawls(imports + crawl + programs(CLIENT, "The plain client")[1])

    async def test_asyncio(self) -> None:
        """The smallest crawler for asyncio."""
        await self.crawls(programs(CLIENT, "The client for asyncio")[0])

    async def test_twisted(self) -> None:
        """The smallest crawler for Twisted."""
        await self.crawls(programs(CLIENT, "The client for Twisted")[0])


class TestingTests(TestCase):
    """What the page says of tests."""

    async def test_the_test(self) -> None:
        """The test that it prints passes."""
        directory = short_directory()
        self.addCleanup(directory.rmdir)
        file = directory / "test_crawl.py"
        file.write_text(programs(CLIENT, "Testing")[0])
        self.addCleanup(file.unlink)
        program, _ = run_for(self, [sys.executable, str(file)], {}, directory)
        self.assertEqual(await program.ended, 0, program.err.decode())
        self.assertIn(b"OK", program.err)

    def test_addresses(self) -> None:
        """The excerpt for TLS can be executed."""
        return deferToThread(exec, programs(CLIENT, "Addresses")[0], {})
