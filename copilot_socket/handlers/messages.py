"""The dispatch table: a handler for each message type. No SQL and no bytes here."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import orjson
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.features import CAPABILITIES, FEATURES, PROTOCOL_VERSION
from copilot_socket.core.identity import crawler_name
from copilot_socket.core.jobs import KNOWN_ENTITY_TYPES, PLAIN_ENTITY_TYPES, Loss
from copilot_socket.core.messages import Hello, JobRequest, Message, RateLimit
from copilot_socket.core.pending import NotYet, PendingReply
from copilot_socket.core.replies import Reply, TokenRefreshResponse, Welcome
from copilot_socket.core.reports import Body
from copilot_socket.event_bus import EventBus, HeartbeatHeard
from copilot_socket.handlers import reading
from copilot_socket.handlers.budgets import Budgets
from copilot_socket.handlers.crawlers import Crawler, Link
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.doorkeeper import Doorkeeper
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.handlers.reports import Reports, ack
from copilot_socket.handlers.retrying import until_done
from copilot_socket.handlers.tokens import ASSUMED_LIFETIME, Granted, Refused, Tokens, Unavailable
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.writer import Writer

PLAIN_PATIENCE = 3.0
"""Seconds without a report after which a further request of a plain crawler means that it runs nothing."""

MENTIONED_WITHIN = 2.0
"""Seconds that a token request waits until it is stored that its crawler has the job."""


@attrs.frozen
class Terms:
    """Settings that ``welcome`` announces, and limits. Times in seconds, sizes in bytes."""

    heartbeat_interval: float
    max_message_size: int
    max_jobs: int
    plain_jobs: int
    max_jobs_limit: int
    """The upper bound of ``maxJobs``."""


def plain_crawler(key: str, terms: Terms) -> Crawler:
    """A crawler that has not sent ``hello``."""
    return Crawler(key, crawler_name(key), True, terms.plain_jobs, PLAIN_ENTITY_TYPES)


def _key(hello: Message) -> str:
    """The identity of a crawler that says *hello*."""
    return f"hello:{cast(Hello, hello.data).crawler_id}"


class Messages:
    """Handles messages. Each handler returns the reply, None, or a Deferred or a PendingReply of either."""

    log = Logger()

    def __init__(
        self,
        writer: Writer,
        dispatcher: Dispatcher,
        presence: PresenceKeeper,
        tokens: Tokens,
        budgets: Budgets,
        reactor: IReactorTime,
        bus: EventBus,
        terms: Terms,
        doorkeeper: Doorkeeper,
    ) -> None:
        self._reports = Reports(writer, dispatcher)
        self._dispatcher = dispatcher
        self._presence = presence
        self._tokens = tokens
        self._budgets = budgets
        self._reactor = reactor
        self._bus = bus
        self.terms = terms
        self._doorkeeper = doorkeeper
        self._table: dict[str, Callable[[Link, Message], Any]] = {
            "heartbeat": self._heartbeat,
            "job_request": self._job_request,
            "job_started": self._report(reading.started),
            "job_progress": self._report(reading.progressed),
            "job_completed": self._report(reading.completed),
            "job_failed": self._report(reading.failed),
            "job_released": self._report(reading.given_back),
            "jobs_discovered": self._report(reading.jobs_discovered),
            "discovery": self._discovery,
            "token_refresh_request": self._token_refresh,
            "rate_limit": self._rate_limit,
        }

    def handle(self, link: Link, message: Message) -> Any:
        """Handle *message*. A :class:`ProtocolError` is raised, or takes the place of a deferred reply."""
        if not link.admitted and not self._doorkeeper.admit(link, message):
            return None
        if message.type != "hello":
            self._presence.heard(link.crawler)
        elif link.spoken:
            raise ProtocolError(
                ErrorCode.INVALID_MESSAGE,
                "hello must be the first message of a connection",
                path="/type",
                ref=message.ref,
            )
        else:
            return self._hello(link, message)
        link.spoken = True
        return self._table[message.type](link, message)

    def lives(self, link: Link) -> None:
        """*link* received something that is no valid message, or not yet validated."""
        if link.admitted:
            self._presence.lives(link.crawler)

    # -- hello and heartbeat

    def _hello(self, link: Link, message: Message) -> None:
        """Wait until it is known whose the ``crawlerId`` is."""
        outcome: list[Failure | None] = []
        asked = Deferred.fromCoroutine(self._doorkeeper.own(link, _key(message), message))
        asked.addBoth(outcome.append)

        def identified(link: Link, message: Message) -> "Deferred[Reply]":
            if (failure := outcome[0]) is not None:
                failure.raiseException()
            return self._identified(link, message)

        def when(resume: Callable[[], None]) -> None:
            asked.addCallback(lambda _: resume())

        raise NotYet(when, identified)

    def _identified(self, link: Link, message: Message) -> "Deferred[Reply]":
        link.spoken = True
        data = cast(Hello, message.data)
        most = min(data.max_jobs or self.terms.max_jobs, self.terms.max_jobs_limit)
        crawler = Crawler(_key(message), data.crawler_id, False, most, PLAIN_ENTITY_TYPES)
        link.capabilities = CAPABILITIES.intersection(data.capabilities or ())
        crawler = self._presence.identify(link, crawler)
        crawler.arriving += 1
        crawler.max_jobs, crawler.version = most, data.version
        if data.entity_types is not None:  # unknown ones match no command
            crawler.entity_types = tuple(dict.fromkeys(filter(KNOWN_ENTITY_TYPES.__contains__, data.entity_types)))
        number = crawler.begin()
        self._presence.came(crawler)
        self._dispatcher.types_changed(crawler)
        return Deferred.fromCoroutine(self._welcome(link, crawler, message, number))

    async def _welcome(self, link: Link, crawler: Crawler, hello: Message, number: int) -> Reply:
        assignments = cast(Hello, hello.data).assignments
        since = self._reactor.seconds()
        try:
            alone = len(crawler.links) == 1
            await self._presence.arrive(crawler, must_confirm=assignments is None and alone)
            await self._doorkeeper.verify(link, hello)
            await self._presence.keep_only(crawler, assignments, since)
        finally:
            crawler.arriving -= 1
            crawler.end(number)
            self._dispatcher.wake()
        return Welcome(
            connection_id=link.id,
            protocol_version=PROTOCOL_VERSION,
            heartbeat_interval=round(self.terms.heartbeat_interval * 1000),
            max_message_size=self.terms.max_message_size,
            max_concurrent_jobs=crawler.max_jobs,
            features=FEATURES,
        )

    def _heartbeat(self, link: Link, message: Message) -> Reply | None:
        crawler = link.crawler
        crawler.hear_heartbeat(message)
        if (activity := crawler.activity) is not None:
            details = orjson.loads(activity.details)
            self._bus.publish(HeartbeatHeard(link.id, crawler.crawler_id, activity.system_status, details))
        return ack(link, message)

    # -- work

    def _job_request(self, link: Link, message: Message) -> "Deferred[None] | None":
        crawler, limit = link.crawler, cast(JobRequest, message.data).limit
        link.requests += 1
        idle, crawler.reported_since_request = not crawler.reported_since_request, False
        wanted = crawler.max_jobs if limit is None else min(limit, crawler.max_jobs)
        crawler.requests += 1
        if link.requests == 1 or crawler.plain:
            self._dispatcher.drop_request(crawler)
            return Deferred.fromCoroutine(self._serve_with_care(link, wanted, idle))
        self._dispatcher.request(link, wanted)
        return None

    async def _serve_with_care(self, link: Link, wanted: int, idle: bool) -> None:
        """Serve a request that may also mean that jobs sent before did not arrive, or were lost."""
        crawler, number, asked = link.crawler, link.requests, link.crawler.requests
        settled: Deferred[None] = Deferred()
        crawler.when_settled(lambda: settled.callback(None))
        await settled
        if number == 1 and await self._resent(link):
            return
        waited = self._reactor.seconds() - crawler.sent_at
        if crawler.plain and number > 1 and idle and waited > PLAIN_PATIENCE:
            crawler.fenced.clear()
            sent = [name for name, held in crawler.held.items() if not held.waits]
            await self._presence.release(crawler, sent, Loss.IDLE)
        if crawler.requests == asked and link in crawler.links:  # else a later request has replaced this one
            self._dispatcher.request(link, wanted)

    async def _resent(self, link: Link) -> bool:
        """Whether jobs were sent again, or the connection has closed; waits for the database."""
        try:
            return await until_done(
                "Reading unreported jobs",
                lambda: self._dispatcher.resend(link),
                self._reactor,
                lambda: link not in link.crawler.links,
            )
        except DATABASE_ERRORS:
            if link in link.crawler.links:
                raise
            return True

    # -- reports

    def _report(self, read: Callable[[Any, str], Body]) -> Callable[[Link, Message], PendingReply]:
        def handle(link: Link, message: Message) -> PendingReply:
            if link.crawler.arriving:  # the token to mask is not known yet
                raise NotYet(link.crawler.when_settled, handle)
            held = link.crawler.held.get(message.job_id or "")
            return self._reports.submit(link, message, read(message.data, "" if held is None else held.token))

        return handle

    def _discovery(self, link: Link, message: Message) -> PendingReply:
        """Without a job id it waits until every report that may change what its crawler holds is stored."""
        crawler = link.crawler
        if crawler.arriving or (message.job_id is None and not crawler.sure):
            raise NotYet(crawler.when_settled, self._discovered)
        return self._discovered(link, message)

    def _discovered(self, link: Link, message: Message) -> PendingReply:
        """Without a job id it belongs to the only job that the crawler holds."""
        if message.job_id is None:
            if len(link.crawler.held) != 1:
                raise ProtocolError(
                    ErrorCode.INVALID_MESSAGE,
                    f"jobId is required: this crawler holds {len(link.crawler.held)} jobs",
                    path="/jobId",
                    ref=message.ref,
                )
            message = attrs.evolve(message, job_id=next(iter(link.crawler.held)))
        return self._reports.submit(link, message, reading.discovery(cast(Any, message.data)))

    def refused(self, link: Link, error: ProtocolError) -> None:
        """See :class:`copilot_socket.wire.protocol.Handler`."""
        if not link.admitted:
            return
        crawler = link.crawler
        self._presence.heard(crawler)
        if crawler.arriving or (error.job_id is None and not crawler.sure):
            raise NotYet(crawler.when_settled, self._refused)
        self._refused(link, error)

    def _refused(self, link: Link, error: ProtocolError) -> None:
        """Store the refusal with its job, or with the only job that the crawler holds; else drop it."""
        held, job_id = link.crawler.held, error.job_id
        if job_id is None:
            if len(held) != 1:
                return
            job_id = next(iter(held))
        token = held[job_id].token if job_id in held else ""
        body = reading.refused(error, token, known="ack" in link.capabilities)
        self._reports.refused(link.crawler, job_id, body)

    # -- tokens and budgets

    def _rate_limit(self, link: Link, message: Message) -> "Deferred[Reply | None]":
        if link.crawler.arriving:
            raise NotYet(link.crawler.when_settled, self._rate_limit)
        if message.job_id is not None:
            self._reports.mention(link, message)
        return Deferred.fromCoroutine(self._report_rate_limit(message, ack(link, message)))

    async def _report_rate_limit(self, message: Message, acknowledgement: Reply | None) -> Reply | None:
        await self._budgets.report(message, cast(RateLimit, message.data))
        return acknowledgement

    def _token_refresh(self, link: Link, message: Message) -> "Deferred[Reply]":
        assert message.job_id is not None
        if link.crawler.arriving:
            raise NotYet(link.crawler.when_settled, self._token_refresh)
        mentioned = self._reports.mention(link, message)
        return Deferred.fromCoroutine(self._refresh(link.crawler, message.job_id, mentioned))

    async def _refresh(self, crawler: Crawler, assignment: str, mentioned: "Deferred[None]") -> Reply:
        with suppress(TimeoutError):
            await mentioned.addTimeout(MENTIONED_WITHIN, self._reactor)
        try:
            granted = await self._tokens.for_assignment(assignment, crawler.key)
        except (Refused, Unavailable) as problem:
            self.log.info("No token for {assignment}: {why}", assignment=assignment, why=problem)
            granted = Granted("", None)
        else:
            if assignment in crawler.held:
                crawler.held[assignment].token = granted.access_token
        now = datetime.now(UTC).timestamp()
        lifetime = ASSUMED_LIFETIME if granted.access_token else 0.0
        expires = granted.expires_at if granted.expires_at is not None else now + lifetime
        return TokenRefreshResponse(
            job_id=assignment,
            access_token=granted.access_token,
            expires_at=datetime.fromtimestamp(expires, UTC).isoformat(timespec="milliseconds"),
            refresh_successful=bool(granted.access_token),
        )
