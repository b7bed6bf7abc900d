"""docs/deployment.md and its pages, followed from the first line to the last on a Debian 12 that has nothing yet."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from ops.tests.debian import Debian
from ops.tests.engine import Unavailable
from ops.tests.nested_systemd import unified_cgroup
from ops.tests.support import OPS, needs
from ops.tests.test_packaging import buildable, ours

DOCS = OPS.parent / "docs"
CRAWLER = "games"
"""A user of Debian's, who has nothing to do with the node: the word that the guide has for such a one is CRAWLER."""
FETCHES = re.compile(r"\b(apt-get|npm|pip\W+install)\b")
"""What has to be let out."""
TOKEN = "glpat-made-up\n"
PATIENCE = 60.0
DONE = {"GROUP_PROJECT_DISCOVERY": "completed", "users": "completed"}


def blocks(page: str, after: str | None = None, before: str | None = None) -> Iterator[str]:
    """The commands of a page, box by box, between two headings."""
    text = (DOCS / page).read_text("utf-8")
    text = text[: text.index(f"\n## {before}\n") if before else None]
    text = text[text.index(f"\n## {after}\n") if after else 0 :]
    for indent, commands in re.findall(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield textwrap.dedent(commands) if indent else commands


@buildable
@needs("debootstrap", "unshare", "nsenter")
class FollowedTests(SynchronousTestCase):
    """One administrator's day."""

    def setUp(self) -> None:
        """The machine, with the sources in root's home."""
        if "COPILOT_FOLLOW_GUIDE" not in os.environ:
            raise SkipTest("this takes ten minutes: tox run -e guide")
        if os.geteuid() != 0 or unified_cgroup() is None:
            raise SkipTest("no Debian can be booted here: that takes root, namespaces and cgroup v2")
        directory = Path(tempfile.mkdtemp(prefix="copilot-guide-"))
        directory.chmod(0o755)
        self.addCleanup(shutil.rmtree, directory)
        self.machine = Debian(directory)
        try:
            self.machine.make()
        except Unavailable as error:
            raise SkipTest(str(error)) from None
        subprocess.run(["tar", "-C", self.machine.root / "root", "-xf", ours()["sdist"]], check=True)
        self.addCleanup(self.machine.end)
        self.machine.boot()
        [sources] = (self.machine.root / "root").glob("copilot_socket-*")
        self.sources = f"/root/{sources.name}"
        self.move_to(self.sources)

    def move_to(self, directory: str) -> None:
        """Where the next commands are given."""
        (self.machine.root / "root/where").write_text(directory)

    def follow(self, page: str, after: str | None = None, before: str | None = None) -> None:
        """Give the commands of a page, each box in a shell that begins where the one before ended."""
        for commands in blocks(page, after, before):
            script = re.sub(r"\bCRAWLER\b", CRAWLER, commands)
            try:
                self.machine.run(
                    f'cd "$(cat /root/where)"\n{script}\npwd > /root/where',
                    outside=FETCHES.search(script) is not None,
                    given=TOKEN,
                )
            except AssertionError as error:
                raise AssertionError(f"{page}: {error}\n{self.machine.run('journalctl -n 50 --no-pager')}") from None

    def test_from_the_first_line_to_the_last(self) -> None:
        """Every command works as it is written, and what it is for holds afterwards."""
        self.follow("deployment.md", before="Checklists")
        self.follow("deployment/systemd.md")
        self.assertEqual(self.machine.run("systemctl list-units --failed --no-legend 'copilot-*'"), "")
        self.assert_jobs_are_done()
        self.follow("deployment/backup.md")
        self.assertEqual(self.jobs(), DONE)
        self.follow("deployment/logs.md")
        self.assert_logs_are_reopened()
        self.follow("deployment/monitoring.md")
        targets = "curl -fsS http://127.0.0.1:9090/api/v1/targets"
        self.until(lambda: '"health":"up"' in self.machine.run(targets, check=False), "Prometheus sees the node")
        self.follow("deployment/nginx.md")
        site = "curl -fsSk --resolve crawl.acme.example:443:127.0.0.1 https://crawl.acme.example/health/ready"
        self.assertEqual(json.loads(self.machine.run(site)), {"status": "ready"})
        self.move_to(self.sources)
        self.follow("deployment.md", "Upgrade without losing a job", "Tuning")
        self.assertEqual(self.jobs(), DONE)
        self.under_pm2()

    def jobs(self) -> dict[str, str]:
        """The state of each command's one job."""
        listed = json.loads(self.machine.run("as_node copilot-socket jobs list --json"))
        return {job["command"]: job["status"] for job in listed["jobs"]}

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look until it *holds*."""
        end = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), end, f"in vain until {what}")
            time.sleep(0.5)

    def assert_jobs_are_done(self) -> None:
        """README's crawler, run by another user, does what was put in."""
        [program] = re.findall(r"```python\n(.*?)```", (OPS.parent / "README.md").read_text("utf-8"), re.DOTALL)
        program = program.replace("/tmp/gitlab-crawler-dev.sock", "/var/run/copilot-study/crawler.sock")
        (self.machine.root / "opt/crawler.py").write_text(program)
        python = "/opt/copilot-socket/bin/python"
        self.machine.run(f"systemd-run --unit=crawler --uid={CRAWLER} {python} /opt/crawler.py")
        self.until(lambda: self.jobs() == DONE, "the jobs are done")
        self.machine.run("systemctl stop crawler")

    def assert_logs_are_reopened(self) -> None:
        """Right after a rotation the node writes to the new file."""
        log = self.machine.root / "var/log/copilot-study/socket.log"
        self.until(lambda: "socket.log is reopened" in log.read_text("utf-8"), "the new log is written to")

    def under_pm2(self) -> None:
        """In the place of the units: started, rotated, and started again by the service that PM2 makes."""
        self.machine.run("systemctl disable --now copilot-socket.socket copilot-socket.service")
        self.follow("deployment/pm2.md")
        self.machine.run("logrotate -f /etc/logrotate.d/copilot-socket")
        self.assert_logs_are_reopened()
        self.machine.run("as_node pm2 kill")
        self.machine.run("systemctl start pm2-copilot-study")
        self.until(
            lambda: "ready" in self.machine.run("curl -s http://127.0.0.1:3000/health/ready || true"), "it serves"
        )
        owner = self.machine.run("stat -c %U /run/copilot-study/crawler.sock")
        self.assertEqual(owner.strip(), "copilot-study")
