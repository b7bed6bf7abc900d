"""The reference crawler: a complete GitLab crawler that uses :mod:`copilot_socket.client`.

``python -m copilot_socket.demo.crawler --socket PATH --out DIR --id NAME`` crawls until it is stopped, and writes an
event for each page as a line of JSON to standard output.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as NetworkTimeout
from twisted.internet.task import react
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed

from copilot_socket.client.twisted import Crawler, DiscoveredJob, Hello, Job, JobFailure
from copilot_socket.clock import make_steady
from copilot_socket.demo.crawling import COLLECTIONS, SINGLE, Response, Trouble, crawl
from copilot_socket.demo.events import emit
from copilot_socket.demo.files import write_page
from copilot_socket.demo.growth import Entity

ENTITY_TYPES = ("areas", *SINGLE, *COLLECTIONS)
HTTP_TIMEOUT = 30.0


@attrs.frozen
class JobDesk:
    """The desk for one job of the client library."""

    job: Job
    agent: Agent
    out: Path

    @property
    def job_id(self) -> str:
        """See :class:`~copilot_socket.demo.crawling.Desk`, as for the other members."""
        return self.job.id

    @property
    def entity_type(self) -> str:
        """See above."""
        return self.job.entity_type

    @property
    def entity_id(self) -> str:
        """See above."""
        return self.job.entity_id

    @property
    def resume_state(self) -> Mapping[str, Any]:
        """See above."""
        return self.job.resume_state or {}

    async def get(self, path: str) -> Response:
        """See above."""
        url = self.job.gitlab_url.rstrip("/") + path
        headers: dict[bytes | str, bytes | str] = {"Authorization": f"Bearer {self.job.access_token}"}
        try:
            response = await treq.get(url, headers=headers, agent=self.agent, timeout=HTTP_TIMEOUT)
            body = await response.json()
        except (ConnectError, NetworkTimeout, ResponseFailed, ValueError) as error:
            raise Trouble(f"GitLab does not answer: {type(error).__name__}", recoverable=True) from error
        raw = response.headers.getAllRawHeaders()
        return Response(response.code, {name.decode().lower(): values[0].decode() for name, values in raw}, body)

    def refresh_token(self) -> "Deferred[str]":
        """See above."""
        return self.job.refresh_token("401 from GitLab")

    def save(self, page: int, entities: list[Entity]) -> "Deferred[Path]":
        """See above; writes in a thread."""
        return deferToThread(write_page, self.out, self.job.entity_type, self.job.id, page, entities)

    def progress(self, processed: int, total: int | None, resume_state: dict[str, Any] | None) -> "Deferred[None]":
        """See above; waits until the report is committed."""
        return self.job.progress(processed, total=total, resume_state=resume_state)

    def discovered(self, jobs: list[dict[str, str]]) -> "Deferred[None]":
        """See above."""
        found = [_discovered_job(**job) for job in jobs]
        return self.job.discover(found)


def _discovered_job(job_type: str, entity_id: str, namespace_path: str, entity_name: str) -> DiscoveredJob:
    return DiscoveredJob(job_type, entity_id, namespace_path, entity_name)


def make_crawler(reactor: Any, socket: str, out: Path, crawler_id: str, max_jobs: int = 2) -> Crawler:
    """A crawler of all entity types, not started yet."""
    pool = HTTPConnectionPool(reactor)
    agent = Agent(reactor, connectTimeout=10.0, pool=pool)

    async def handle(job: Job) -> Mapping[str, float]:
        try:
            counts = await crawl(JobDesk(job, agent, out))
        except Trouble as trouble:
            raise JobFailure(str(trouble), trouble.recoverable) from trouble
        emit("done", job=job.id, entityType=job.entity_type)
        return counts

    hello = Hello(crawler_id, entity_types=ENTITY_TYPES, max_jobs=max_jobs, version="demo")
    return Crawler.at(socket, handle, hello, reactor)


def main() -> None:
    """Crawl until SIGTERM, or until the server requests an exit."""
    parser = argparse.ArgumentParser(prog="copilot_socket.demo.crawler", description=__doc__)
    parser.add_argument("--socket", required=True, help="path of the server's UNIX socket")
    parser.add_argument("--out", required=True, type=Path, help="where the JSON lines go")
    parser.add_argument("--id", required=True, help="the crawler's name")
    parser.add_argument("--max-jobs", type=int, default=2, help="jobs at a time")
    arguments = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)

    def run(reactor: Any) -> "Deferred[None]":
        make_steady(reactor)
        crawler = make_crawler(reactor, arguments.socket, arguments.out, arguments.id, arguments.max_jobs)
        reactor.addSystemEventTrigger("before", "shutdown", crawler.stopService)
        crawler.startService()
        return crawler.finished

    react(run)


if __name__ == "__main__":
    main()
