"""The Dockerfile, built by a real engine and run as compose runs it: hardened, healthy, crawled by another container.

Skipped, with the reason, where there is no engine (docker.io), no debootstrap or no root.
"""

import os
import shutil
import time
from collections.abc import Callable
from http import HTTPStatus
from unittest import skipUnless

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ops.tests.docker import FILES, Dockerfile
from ops.tests.engine import Engine, Unavailable
from ops.tests.support import CHECKOUT, needs
from tests.support.server import ask_json, free_port, short_directory

TOKEN = "secret"
IMAGE = "copilot-socket:local"
LOCKED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
"""As in compose.yml, but for the network: all listens on this machine's loopback interface."""


@skipUnless(os.geteuid() == 0, "needs root")
@needs("dockerd", "docker", "debootstrap")
class EngineTests(SynchronousTestCase):
    """An image and its containers."""

    def setUp(self) -> None:
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.engine = Engine(directory)
        self.port = free_port()
        try:
            self.engine.start()
            self.addCleanup(self.engine.stop)
            self.engine.make_base(Dockerfile(FILES / "Dockerfile").stages[0][0][1].split()[0])
        except Unavailable as why:
            raise SkipTest(str(why)) from None

    def _start(self, name: str, *more: str) -> None:
        """Start a container of the image, with the token that all of them have."""
        token = f"--env=COPILOT_HTTP_TOKEN={TOKEN}"
        self.engine.docker("run", "--detach", f"--name={name}", token, *LOCKED, *more)
        self.addCleanup(self.engine.docker, "rm", "--force", "--volumes", name)

    def _state(self, name: str, what: str) -> str:
        return self.engine.docker("inspect", f"--format={{{{.State.{what}}}}}", name)

    def _until(self, true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                self.fail(f"in vain for {seconds:g} s: {what}\n{self.engine.docker('logs', 'server')[-3000:]}")
            time.sleep(0.2)

    def _counts(self) -> dict[str, int]:
        """Jobs by status, as the container's API tells them; nothing while it does not answer."""
        status, answer = ask_json(self.port, "/api/v1/stats", token=TOKEN)
        return dict(answer["jobs"]) if status == HTTPStatus.OK else {}

    def test_a_life(self) -> None:
        """Build, run read-only without rights, be healthy, have a whole crawl done, stop with 0, go on after that."""
        self.engine.docker(
            "build", "--network=host", f"--file={FILES / 'Dockerfile'}", f"--tag={IMAGE}", str(CHECKOUT), seconds=300
        )
        for volume in ("sockets", "state"):
            self.engine.docker("volume", "create", volume)
        sockets = "--volume=sockets:/run/copilot-study"
        http = ("--env=COPILOT_HTTP_HOST=127.0.0.1", f"--env=COPILOT_HTTP_PORT={self.port}")
        self._start("server", sockets, "--volume=state:/var/lib/copilot-study", *http, "--health-interval=1s", IMAGE)
        self._until(lambda: self._state("server", "Health.Status") == "healthy", "the container is healthy")
        self.assertIn("A node can run here.", self.engine.docker("exec", "server", "copilot-socket", "check"))
        self.assertEqual(self.engine.docker("exec", "server", "id", "-u"), "10001")

        demo = ("python", "-m", "copilot_socket.demo.beside", f"--server=http://127.0.0.1:{self.port}")
        self._start(
            "demo", f"{sockets}:ro", "--no-healthcheck", IMAGE, *demo, "--socket=/run/copilot-study/crawler.sock"
        )
        self._until(lambda: self._counts().get("completed", 0) > 10, "jobs are done")
        self._until(lambda: not {"queued", "assigned", "running"} & _some(self._counts()), "all of them are")

        done = self._counts()["completed"]
        self.engine.docker("stop", "demo")
        self.engine.docker("stop", "server")
        self.assertEqual(self._state("server", "ExitCode"), "0")
        self.engine.docker("start", "server")
        self._until(lambda: self._counts().get("completed", 0) >= done, "what was done is still there")


def _some(counts: dict[str, int]) -> set[str]:
    """The statuses that some job has."""
    return {status for status, count in counts.items() if count}
