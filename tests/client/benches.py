"""The same few things done to a real node and to the server for tests: what the shared suites stand on."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from copilot_socket.core.jobs import Event
from copilot_socket.testing import Job, Server
from tests.handlers.support import NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import TestCrawler, in_reactor, until


@attrs.frozen
class Seen:
    """What a server says of a job."""

    status: str
    cursor: Mapping[str, Any] | None
    attempts: int
    cause: str | None
    counts: Mapping[str, float]
    outcomes: list[str]


class NodeBench(NodeTestCase):
    """A node, with its database."""

    async def serve(self) -> str:
        """Start it; the path of its socket."""
        await self.node()
        return self.nodes[0].config.socket_path

    def add(self, path: str = "g/p", command: str = "issues", cursor: Mapping[str, Any] | None = None) -> str:
        """Submit a job."""
        [(job,)] = self.query(
            "INSERT INTO jobs (account_id, command, full_path, resume_state) "
            "VALUES ('acct', %s, %s, %s) RETURNING id",
            *(command, path or None, None if cursor is None else json.dumps(cursor)),
        )
        return str(job)

    def see(self, job: str) -> Seen:
        """The job as it is."""
        columns = "status, resume_state, attempts, cause, coalesce(progress -> 'finalCounts', '{}')"
        [row] = self.query(f"SELECT {columns} FROM jobs WHERE id = %s", job)
        return Seen(*row, [each for each in self.tries(job) if each is not None and each != "None"])

    def commands(self) -> list[str]:
        """Those of all jobs."""
        return sorted(row[0] for row in self.query("SELECT command FROM jobs"))

    async def cancel(self, job: str) -> None:
        """Cancel a job."""
        await self.nodes[0].transitions.apply([job], Event.CANCELLED, act=ACT)

    async def pause(self, job: str) -> None:
        """Pause a job."""
        await self.nodes[0].transitions.pause(job, ACT)

    async def resume(self, job: str) -> None:
        """Resume a job."""
        await self.nodes[0].transitions.resume(job, ACT)

    def refuse_tokens(self) -> None:
        """There are no new ones: the account has no refresh token."""


class MemoryBench:
    """The server for tests."""

    server: Server
    by_id: dict[str, Job]

    async def serve(self, **more: Any) -> str:
        """Start it; the path of its socket."""
        self.server, self.by_id = Server(**more), {}
        self.server.start()
        self.addCleanup(self.server.stop)  # type: ignore[attr-defined]
        return self.server.path

    def add(self, path: str = "g/p", command: str = "issues", cursor: Mapping[str, Any] | None = None) -> str:
        """Submit a job."""
        job = self.server.add_job(command, path or None, resume_state=cursor)
        self.by_id[job.id] = job
        return job.id

    def see(self, job: str) -> Seen:
        """The job as it is."""
        each = self.by_id[job]
        cause = None if each.cause is None else str(each.cause)
        return Seen(str(each.status), each.resume_state, each.attempts, cause, each.counts, list(each.outcomes))

    def commands(self) -> list[str]:
        """Those of all jobs."""
        return sorted(job.command for job in self.server.jobs)

    async def cancel(self, job: str) -> None:
        """Cancel a job."""
        self.by_id[job].cancel()

    async def pause(self, job: str) -> None:
        """Pause a job."""
        self.by_id[job].pause()

    async def resume(self, job: str) -> None:
        """Resume a job."""
        self.by_id[job].resume()

    def refuse_tokens(self) -> None:
        """There are no new ones."""
        self.server.tokens.refused = True

    async def connect(self, name: str = "plain") -> TestCrawler:
        """A connection that has said nothing yet."""
        crawler = await TestCrawler.connect(self.server.path, name)
        self.addCleanup(crawler.hang_up)  # type: ignore[attr-defined]
        return crawler


async def becomes(bench: Any, job: str, status: str) -> Seen:
    """Wait until *job* has *status*, and see it."""
    await until(lambda: bench.see(job).status == status, f"the job is {status}")
    seen: Seen = bench.see(job)
    return seen


def in_time(test: Any, seconds: float = 60.0) -> Any:
    """Have trial run a coroutine test of a mixin."""
    return in_reactor(seconds)(test)
