"""A real Prometheus with the files of ops/prometheus, and a node that has something to show."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from ops.tests.support import OPS
from tests.support.crawler import until
from tests.support.server import NodeTestCase, ServerProcess, free_port, run_for, run_program, short_directory

TOKEN = "token-of-the-test"
FILES = OPS / "prometheus"


def lay_out(directory: Path, target: str, token: str = TOKEN) -> Path:
    """A copy of ops/prometheus for one *target*, in a hurry; the path of its prometheus.yml."""
    shutil.copytree(FILES, directory, dirs_exist_ok=True)
    config = directory / "prometheus.yml"
    text = config.read_text()
    hurried = text.replace("interval: 15s", "interval: 1s")
    assert hurried != text, "prometheus.yml has no intervals to shorten"
    config.write_text(hurried)
    (directory / "targets" / "nodes.yml").write_text(f"- targets: ['{target}']\n")
    (directory / "copilot-http-token").write_text(token + "\n")
    return config


def fetch(url: str, token: str | None = None) -> "Deferred[bytes]":
    """The body that *url* answers with."""

    def ask() -> bytes:
        request = Request(url, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=60) as response:
            body: bytes = response.read()
            return body

    return deferToThread(ask)


class Prometheus:
    """Debian's Prometheus, scraping *target* once a second."""

    def __init__(self, target: str, token: str = TOKEN) -> None:
        self.directory = short_directory()
        self.url = f"http://127.0.0.1:{free_port()}"
        self._config = lay_out(self.directory / "etc", target, token)
        self._program: Any = None
        self._process: Any = None

    async def start(self) -> "Prometheus":
        """Start it and wait until it answers."""
        arguments = [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self._program, self._process = run_program(arguments, {}, self.directory)

        async def ready() -> bool:
            assert self._program.running, self._program.err.decode()
            try:
                await fetch(f"{self.url}/-/ready")
            except OSError:
                return False
            return True

        await until(ready, "Prometheus is ready")
        return self

    async def clean_up(self) -> None:
        """Leave nothing behind."""
        if self._program is not None and self._program.running:
            self._process.signalProcess("KILL")
            await self._program.ended
        shutil.rmtree(self.directory, ignore_errors=True)

    async def api(self, path: str) -> Any:
        """The ``data`` of an answer of its API."""
        answer = json.loads(await fetch(f"{self.url}/api/v1/{path}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that *expression* gives now, without those that are no number."""
        data = await self.api(f"query?query={quote(expression)}")
        return [series for series in data["result"] if series["value"][1] != "NaN"]

    async def target(self) -> dict[str, Any]:
        """The one target, as far as it is known; without an error before the first scrape."""
        targets = (await self.api("targets"))["activeTargets"]
        return targets[0] if targets else {"health": "unknown", "lastError": ""}


class MonitoredTestCase(NodeTestCase):
    """A node with crawlers, jobs and trouble, watched by a real Prometheus."""

    async def prometheus(self, server: ServerProcess, token: str = TOKEN) -> Prometheus:
        """A Prometheus that scrapes *server*."""
        prometheus = Prometheus(f"127.0.0.1:{server.port}", token)
        self.addCleanup(lambda: Deferred.fromCoroutine(prometheus.clean_up()))
        return await prometheus.start()

    async def busy_node(self) -> ServerProcess:
        """A node whose crawlers crawl over and over, and that has had all kinds of trouble."""
        server = await self.process(COPILOT_HTTP_TOKEN=TOKEN, SOCKET_LOG_LEVEL="warn").start()
        await self._trouble(server)
        demo = ["-m", "copilot_socket.demo.beside", "--socket", server.socket_path, "--size", "tiny", "--every", "1"]
        arguments = [sys.executable, *demo, "--server", f"http://127.0.0.1:{server.port}"]
        run_for(self, arguments, {"COPILOT_HTTP_TOKEN": TOKEN}, server.directory, end_by="TERM")
        return server

    async def _trouble(self, server: ServerProcess) -> None:
        """Nonsense, a job that fails, and a crawler that goes in the middle of a job."""
        crawler = await self.greeted(server, "unlucky", entityTypes=["project"])
        crawler.raw(b"nonsense\n")
        await crawler.expect("error")
        self.add_jobs(2, "bad/", "project")
        taken = (await crawler.take_job())["id"]
        await crawler.told("job_failed", taken, error="broken", isRecoverable=False)
        await crawler.take_job()
        await crawler.hang_up()
