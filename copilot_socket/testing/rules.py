"""What the server for tests does with each message: the protocol's rules for one account, without a database. Pure.

State machine, schemas, inference of causes and answers are the real server's.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from copilot_socket.core.errors import ErrorCode, NotAdmitted, ProtocolError
from copilot_socket.core.features import CAPABILITIES, FEATURES, PROTOCOL_VERSION
from copilot_socket.core.jobs import AREA_TYPES, SPAWNS, Event, Loss
from copilot_socket.core.messages import ENDINGS, Message
from copilot_socket.core.replies import (
    Ack,
    JobResponse,
    Reply,
    TokenRefreshResponse,
    Welcome,
)
from copilot_socket.core.reports import Body, Completed, Failed, Found, GivenBack, Progressed, Started
from copilot_socket.core.trouble import End
from copilot_socket.handlers import reading
from copilot_socket.testing.crawlers import Crawler, Link
from copilot_socket.testing.job import Job
from copilot_socket.testing.queue import Queue
from copilot_socket.testing.tokens import Tokens

READERS: Mapping[str, Callable[[Any, str], Body]] = {
    "job_started": reading.started,
    "job_progress": reading.progressed,
    "job_completed": reading.completed,
    "job_failed": reading.failed,
    "job_released": reading.given_back,
    "jobs_discovered": reading.jobs_discovered,
    "discovery": lambda data, _token: reading.discovery(data),
}
_OUTCOMES = {"job_completed": ("completed",), "job_failed": ("failed", "credential"), "job_released": ("given_back",)}
"""Type of a report → the outcomes of an attempt that it has caused, if it is repeated."""


class Rules(Queue):
    """A queue, and all that its crawlers have said. *secret*: of ``hello``; *spawn*: discoveries make jobs."""

    def __init__(
        self,
        gitlab_url: str,
        tokens: Tokens,
        secret: str | None = None,
        *,
        grace: float = 15.0,
        spawn: bool = True,
        retry_delay: float = 0.0,
    ) -> None:
        super().__init__(gitlab_url, tokens, grace, retry_delay)
        self.heartbeat_interval = 10.0
        self.max_message_size = 1024 * 1024
        self.discovered: list[Found] = []
        self.areas: list[Found] = []
        self.rate_limits: list[dict[str, Any]] = []
        self.refused_next: list[tuple[str, ErrorCode]] = []
        """Reports that are refused when they come."""
        self._secret = secret
        self._spawn = spawn

    # -- connections

    def handle(self, link: Link, message: Message) -> Reply | None:
        """The reply to *message*. Raises :class:`ProtocolError`."""
        if message.type == "hello":
            if link.crawler is not None:
                text = "hello must be the first message of a connection"
                raise ProtocolError(ErrorCode.INVALID_MESSAGE, text, path="/type", ref=message.ref)
            return self._hello(link, message)
        if link.crawler is None:
            if self._secret is not None:
                raise NotAdmitted(ErrorCode.UNAUTHORIZED, "hello must carry a token", ref=message.ref)
            self._join(link, Crawler(link.id, True, 1))
        if message.type in READERS:
            return self._report(link, message)
        if message.type == "job_request":
            return self._request(link, message)
        if message.type == "token_refresh_request":
            return self._refresh(message)
        if message.type == "rate_limit":
            self.rate_limits.append({**message.value["data"], "jobId": message.job_id})
        return self._ack(link, message)

    def gone(self, link: Link) -> None:
        """The connection has ended."""
        crawler = link.crawler
        if crawler is not None:
            crawler.links.remove(link)
            if crawler.asked is link:
                crawler.asked, crawler.wanted = None, 0
            if not crawler.links:
                crawler.gone_at = self.now

    def _join(self, link: Link, crawler: Crawler) -> Crawler:
        crawler = self.crawlers.setdefault(crawler.name, crawler)
        crawler.gone_at = None
        crawler.links.append(link)
        link.crawler = crawler
        return crawler

    def _hello(self, link: Link, message: Message) -> Reply:
        data: Any = message.data
        if self._secret is not None and data.token != self._secret:
            raise NotAdmitted(ErrorCode.UNAUTHORIZED, "the token is wrong", ref=message.ref)
        most = data.max_jobs or 2
        crawler = self._join(link, Crawler(data.crawler_id, False, most))
        crawler.max_jobs = most
        if data.entity_types is not None:
            crawler.entity_types = data.entity_types
        link.capabilities = CAPABILITIES.intersection(data.capabilities or ())
        if data.assignments is not None:
            self.release([job for job in crawler.held if job.assignment not in data.assignments], Loss.WITHOUT_IT)
        return Welcome(
            link.id,
            PROTOCOL_VERSION,
            round(self.heartbeat_interval * 1000),
            self.max_message_size,
            most,
            FEATURES,
        )

    def _ack(self, link: Link, message: Message) -> Reply | None:
        return Ack(message.type, message.ref, message.job_id) if "ack" in link.capabilities else None

    # -- work

    def _request(self, link: Link, message: Message) -> Reply | None:
        crawler, data = link.crawler, message.data
        assert crawler is not None
        limit = getattr(data, "limit", None)
        crawler.wanted, crawler.asked = min(limit or crawler.max_jobs, crawler.max_jobs), link
        again = [] if link.requested else [job for job in crawler.held if not job.reported]
        link.requested = True
        if again:
            return JobResponse(tuple(job.sent(self.gitlab_url) for job in again))
        given = self.claim(crawler)
        self.exit_if_done()
        return JobResponse(given)

    # -- reports

    def _report(self, link: Link, message: Message) -> Reply | None:
        crawler = link.crawler
        assert crawler is not None
        if message.job_id is None:  # of a discovery: its crawler's only job
            if len(crawler.held) != 1:
                text = f"jobId is required: this crawler holds {len(crawler.held)} jobs"
                raise ProtocolError(ErrorCode.INVALID_MESSAGE, text, path="/jobId", ref=message.ref)
            job: Job | None = crawler.held[0]
        else:
            job = self._reported(crawler, message)
        if job is not None:
            for kind, code in self.refused_next:
                if kind in (message.type, "any"):
                    self.refused_next.remove((kind, code))
                    raise ProtocolError(code, "refused by the test", ref=message.ref, job_id=message.job_id)
            self._store(job, message.type, READERS[message.type](message.data, job.token))
        if crawler.plain and message.type in ENDINGS:
            crawler.wanted, crawler.asked = crawler.max_jobs, link
        return self._ack(link, message)

    def _reported(self, crawler: Crawler, message: Message) -> Job | None:
        """The job that *message* reports on; None if it repeats the report that has ended the attempt."""
        known = self.attempts.get(message.job_id or "")
        job, number = known or (None, 0)
        if job is None:
            text, code = "No assignment has ever had this id", ErrorCode.UNKNOWN_JOB
        elif job.assignment != message.job_id:
            if job.outcomes[number - 1] in _OUTCOMES.get(message.type, ()):
                return None
            text, code = "This attempt has already ended; report ignored", ErrorCode.STALE_ASSIGNMENT
        else:
            holder = next(each for each in self.crawlers.values() if job in each.held)
            if holder is not crawler and holder.links:
                text, code = "Another connected crawler holds this assignment", ErrorCode.UNAUTHORIZED
            else:
                holder.held.remove(job)
                crawler.held.append(job)
                job.reported = True
                return job
        raise ProtocolError(code, text, path="/jobId", ref=message.ref, job_id=message.job_id)

    def _store(self, job: Job, kind: str, body: Any) -> None:
        job.progress.update(getattr(body, "progress", {}))
        if (cursor := getattr(body, "resume_state", None)) is not None:
            job.resume_state = orjson.loads(cursor)
        match body:
            case Started():
                self.apply(job, Event.STARTED)
            case Progressed():
                pass
            case Completed():
                self.apply(job, Event.COMPLETED)
            case Failed():
                job.error = body.error
                event = Event.FAILED if body.recoverable else Event.FAILED_FOR_GOOD
                self.apply(job, event, End(body.cause, body.inferred, body.retry_after))
            case GivenBack():
                self.apply(job, Event.GIVEN_BACK, End(body.cause, retry_after=body.retry_after))
            case _:
                self._found(job, kind, body.found)

    def _found(self, job: Job, kind: str, found: Iterable[Found]) -> None:
        for each in found:
            (self.discovered if kind == "jobs_discovered" else self.areas).append(each)
            for command in SPAWNS.get(each.kind, ()) if self._spawn else ():
                if not any(old.command == command and old.full_path == each.full_path for old in self.jobs):
                    entity_id = each.full_path if each.gitlab_id is None else str(each.gitlab_id)
                    child = Job(f"{job.id}-{len(self.jobs)}", command, entity_id, each.full_path, spawned_by=job)
                    child.area_type, child.desk = AREA_TYPES.get(each.kind), job.desk
                    self.jobs.append(child)

    def _refresh(self, message: Message) -> Reply:
        job, _ = self.attempts.get(message.job_id or "", (None, 0))
        token = ""
        if job is not None and job.assignment == message.job_id:
            job.reported = True
            token = job.token = self.tokens.refresh(job.token)
            job.token_refused = not token
        assert message.job_id is not None
        expires = datetime.now(UTC).timestamp() + (3600 if token else 0)
        text = datetime.fromtimestamp(expires, UTC).isoformat(timespec="milliseconds")
        return TokenRefreshResponse(message.job_id, token, text, bool(token))
