"""A crawler that does all sorts of things, quickly, so that a node's API has something to show.

Started with the path of a socket and a name. Asked to exit it comes back, as one under a service manager would.
"""

import sys
from collections.abc import Mapping
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater, react

from copilot_socket.client.twisted import Crawler, DiscoveredJob, Hello, Job, JobFailure, JobRelease

SECONDS = 0.2
"""How long a job takes, if nothing happens to it."""
TYPES = ("areas", "group", "project", "issue", "commit")


async def crawl(job: Job) -> Mapping[str, float] | None:
    """Report on *job*; by its priority it is completed, fails, is given back, or goes on for a while."""
    await job.progress(1, resume_state={"currentPage": 1}, message="begun")
    if job.entity_type == "areas":
        await job.discover([DiscoveredJob("crawl_project", str(n), f"acme/p{n}", f"p{n}") for n in range(3)])
    job.rate_limit(500, limit=1000, name="throttle_authenticated_api")
    await deferLater(reactor, SECONDS, lambda: None)
    kind = sum(job.id.encode()) % 5
    if kind == 0:
        raise JobFailure("HTTP 404 at page 7", recoverable=False, cause="not_found")
    if kind == 1:
        raise JobFailure("parser failed", error_type="ParseError", stack_trace="at line 7", context={"page": 7})
    if kind == 2:
        raise JobRelease("other", retry_after=500)
    return {job.entity_type: 1}


async def main(clock: Any, path: str, name: str) -> None:
    """Crawl for ever."""
    while True:
        crawler = Crawler.at(path, crawl, Hello(name, TYPES, max_jobs=3), clock)
        crawler.startService()
        await crawler.finished
        await deferLater(clock, SECONDS, lambda: None)


if __name__ == "__main__":
    react(main, sys.argv[1:])
