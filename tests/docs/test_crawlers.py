"""The programs of README.md and docs/client.md, run as they are printed, against a node and a made-up GitLab."""

import json
import re
import sys
from pathlib import Path

from tests.demo.support import serve_gitlab
from tests.docs.node import PATIENCE, NodeTestCase
from tests.support.crawler import until
from tests.support.server import Program, run_for

ROOT = Path(__file__).parents[2]
SOCKET = "/tmp/gitlab-crawler-dev.sock"
"""Names that the programs use, or get from their environment."""


class ProgramTests(NodeTestCase):
    """Each is a program of its own, in a process of its own."""

    def start(self, page: str) -> Program:
        """Start the first program on a page of the documentation; others are parts of one."""
        [text, *_] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
        program = self.socket_path.with_name("crawler.py")
        program.write_text(text.replace(SOCKET, str(self.socket_path)))
        started, self.process = run_for(
            self, [sys.executable, str(program), str(self.socket_path)], {}, program.parent
        )
        return started

    def statuses(self, command: str) -> list[tuple[object, ...]]:
        """How many jobs of *command* stand in which state."""
        return self.query("SELECT status, count(*)::int FROM jobs WHERE command = %s GROUP BY status", command)

    async def test_readme(self) -> None:
        """The first crawler prints what it was given, and its jobs are completed."""
        self.put_in({"command": "GROUP_PROJECT_DISCOVERY"})
        self.put_in({"command": "users"})
        program = self.start("README.md")
        done = [("completed", 1)]
        for command in ("GROUP_PROJECT_DISCOVERY", "users"):
            await until(lambda command=command: self.statuses(command) == done, "the job is done", PATIENCE)
        self.assertIn("users of acme, from page 1", program.out.decode())

    async def test_client(self) -> None:
        """The complete crawler discovers every project and crawls every issue, though its token has expired."""
        gitlab, url = serve_gitlab(self)
        pair = gitlab.tokens.issue(expired=True)
        self.query(
            "UPDATE accounts SET gitlab_url = %s, access_token = %s, refresh_token = %s",
            *(url, pair.access_token, pair.refresh_token),
        )
        self.put_in({"command": "GROUP_PROJECT_DISCOVERY"})
        program = self.start("docs/client.md")
        done = [("completed", len(gitlab.world.projects))]
        await until(lambda: self.statuses("issues") == done, "all issues are crawled", PATIENCE)
        found = {json.loads(line)["id"] for line in program.out.decode().splitlines()}
        held = {issue["id"] for area in gitlab.world.projects.values() for issue in area.parts["issues"]}
        self.assertEqual(found, held)
        self.assertEqual(gitlab.tokens.refreshes, 1)
        self.process.signalProcess("TERM")
        self.assertEqual(await program.ended, 0, program.err.decode())
