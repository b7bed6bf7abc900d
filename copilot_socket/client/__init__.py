"""For authors of crawlers: a client of the wire protocol (docs/protocol.md) that runs one coroutine for each job.

    from twisted.internet import reactor
    from copilot_socket.client import Crawler, Hello, Job, JobFailure

    async def crawl(job: Job) -> dict[str, int]:
        page, seen = job.next_page, 0
        while page:
            answer = await fetch(job.gitlab_url, job.access_token, job.entity_type, job.entity_id, page)
            if answer.status == 401:
                await job.refresh_token()  # job.access_token is the new one now
                continue
            if answer.status == 404:
                raise JobFailure("no such project", recoverable=False)
            save(answer.entities)
            seen += len(answer.entities)
            await job.progress(seen, total=answer.total, resume_state={"currentPage": page})
            page = answer.next_page
        return {job.entity_type: seen}

    hello = Hello("crawler-1", entity_types=("issue", "commit"), max_jobs=2)
    crawler = Crawler.at("/var/run/copilot-study/crawler.sock", crawl, hello, reactor)
    crawler.startService()
    crawler.finished.addCallback(lambda _: reactor.stop())  # when the server has requested an exit
    reactor.run()

What the handler returns are the job's final counts. What it raises becomes a ``job_failed``: recoverable, unless it
is a :class:`JobFailure` that says otherwise. ``await job.progress(...)`` waits until the server has committed the
report; a report that was not acknowledged when a connection ended is sent again on the next one. When a job is no
longer this crawler's (cancelled, or assigned to another), its handler is cancelled and nothing more is reported. When
a job is paused, or the crawler stops, its handler is cancelled and the job given back, as by :class:`JobRelease`.
"""

from copilot_socket.client.crawler import Crawler, Handler
from copilot_socket.client.job import DiscoveredJob, Job
from copilot_socket.client.messages import Hello
from copilot_socket.client.problems import JobFailure, JobGone, JobRelease, ReportRefused, TokenRefused

__all__ = [
    "Crawler",
    "DiscoveredJob",
    "Handler",
    "Hello",
    "Job",
    "JobFailure",
    "JobGone",
    "JobRelease",
    "ReportRefused",
    "TokenRefused",
]
