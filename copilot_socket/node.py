"""One node: the composition root, which creates, connects, starts and stops its parts."""

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.activation import Inherited
from copilot_socket.config import Config
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.vault import Vault
from copilot_socket.descriptors import Shares
from copilot_socket.event_bus import EventBus, FlowChanged, NodeStarted
from copilot_socket.handlers.budgets import Budgets
from copilot_socket.handlers.bulk import BulkRunner
from copilot_socket.handlers.connections import Connections
from copilot_socket.handlers.crawlers import Registry
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.dispatch.schedule import DueJobs
from copilot_socket.handlers.doorkeeper import Doorkeeper
from copilot_socket.handlers.hosts import HostHealth
from copilot_socket.handlers.messages import Messages, Terms
from copilot_socket.handlers.oauth import GitLabGrant
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.handlers.retrying import until_done
from copilot_socket.handlers.suspicion import Suspicion
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.handlers.webhooks import TIME_LIMIT, WebhookSender
from copilot_socket.http.access import CHANNEL, Access
from copilot_socket.http.feed import Feed
from copilot_socket.http_parts import make_http
from copilot_socket.introduction import log_addresses
from copilot_socket.observers import observers
from copilot_socket.periodic import GAUGES, LIVE_EVENTS, Workers, periodic_tasks, silence_interval
from copilot_socket.ports import Ports
from copilot_socket.status import CHECK, RENEWAL, NodeStatus
from copilot_socket.stopping import announce, drain, finish_refreshes, leave, take_all, write_what_is_left
from copilot_socket.store.access import AccessStore
from copilot_socket.store.batches import Batches, Settings
from copilot_socket.store.budgets import BudgetStore
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.connection import HOT, Limits
from copilot_socket.store.counters import Counters
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.credentials import Credentials
from copilot_socket.store.database import Database
from copilot_socket.store.discoveries import Discoveries
from copilot_socket.store.dispatch_reads import DispatchReads
from copilot_socket.store.hosts import Hosts
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.leases import Leases
from copilot_socket.store.listener import Listener
from copilot_socket.store.live_events import CHANNEL as EVENTS
from copilot_socket.store.live_events import SETTINGS, Numbering
from copilot_socket.store.oauth_clients import OAuthClients, configured_clients
from copilot_socket.store.outage import Outages
from copilot_socket.store.probe import Probe
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.webhook_deliveries import WebhookDeliveries
from copilot_socket.store.webhooks import CHANNEL as WEBHOOKS
from copilot_socket.store.writer import Writer
from copilot_socket.timers import Timers
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.validators import Decoder


class Node(Service):
    """A copilot-socket node. The schema of the database *dsn* must be up to date. *inherited* sockets are served.

    *shares* limits connections by the available descriptors; None: *config* alone limits them.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        dsn: str,
        reactor: Any,
        inherited: Inherited | None = None,
        shares: Shares | None = None,
    ) -> None:
        self.config = config
        self.shares = shares or Shares(config.max_connections)
        self.dsn = dsn
        self.id = secrets.token_hex(8)
        self._reactor = reactor
        self.ports = Ports(config, inherited or Inherited(), reactor)
        self._starting: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None
        self._refreshes: Deferred[None] = succeed(None)
        """Fires when the token refreshes that a stopping node waits for are over."""
        self._messages: Deferred[None] = succeed(None)
        """The same of messages to webhooks."""
        self._build()

    def _build(self) -> None:
        config, reactor = self.config, self._reactor
        self.bus = EventBus()
        limits = Limits(config.query_timeout, config.transaction_timeout)
        self.outages = Outages(reactor)
        self.database = Database(self.dsn, reactor, limits, config.database_pool)
        self.transitions = Transitions(self.database, RetryPolicy(base=config.retry_delay), self.bus)
        settings = Settings(self.id, config.lease, config.retry_attempts, config.max_job_age)
        self._write_connection = self.database.dedicated(settings=HOT)
        batches = Batches(self._write_connection, settings, self.transitions)
        self._discovery_connection = self.database.dedicated(settings=HOT)
        discoveries = Discoveries(self._discovery_connection, settings, self.bus)
        self.writer = Writer(batches, discoveries, reactor, self.bus)
        reads = DispatchReads(self.database, self.id)
        vault = Vault(config.secret_keys)
        self._probe = Probe(self.dsn, vault, self.outages, reactor, limits)
        configured = configured_clients(config.gitlab_url, config.gitlab_client_id, config.gitlab_client_secret)
        grant = GitLabGrant(reactor, OAuthClients(self.database, vault, configured))
        self._tokens = tokens = Tokens(Credentials(self.database, vault, self.id), grant, reactor, self.bus)
        self.registry = Registry()
        hosts = Hosts(self.database)
        self.restrictions = RestrictionStore(self.database, self.id)
        self.dispatcher = Dispatcher(
            self.registry, self.writer, reads, tokens, self.transitions, hosts, self.restrictions, reactor, self.bus
        )
        self._due = DueJobs(reads, reactor, self.dispatcher.work_came)
        self.modes = CrawlerModes(self.database)
        self._hosts = HostHealth(hosts, self.bus)
        self.budgets = BudgetStore(self.database)
        self._budgets = Budgets(self.budgets, reactor, self.bus, time.time)
        subscribers = self._due, self.dispatcher, self.dispatcher.holds, self._hosts, self._budgets
        for each in (*subscribers, Suspicion(self.bus, self.modes)):
            self.bus.subscribe_by_type(each.subscriptions)
        self.bulk = BulkOperations(self.database, self.transitions, JobLists(self.database), self.id)
        self._leases = Leases(
            self.database,
            self.transitions,
            self.id,
            lease=config.lease,
            grace=config.reconnect_grace,
            job_timeout=config.job_timeout,
            keys=vault.fingerprints,
            on_renewal=self.dispatcher.restrictions.renewed,
        )
        self.reading_clock = ReadingClock(silence_interval(config))
        self.presence = PresenceKeeper(
            self.registry,
            self.writer,
            self._leases,
            self.reading_clock,
            reactor,
            self.bus,
            heartbeat_timeout=config.heartbeat_timeout,
            connection_timeout=config.connection_timeout,
            reveal=tokens.reveal_or_nothing,
            on_room=self.dispatcher.wake,
        )
        self.access = Access(config.http_token, AccessStore(self.database), reactor)
        self._build_wire(tokens)
        self._build_http(vault)
        channels = {**self.dispatcher.channels, CHANNEL: self.access.changed, EVENTS: self.feed.notified}
        channels[WEBHOOKS] = self._webhooks.changed
        self._listener = Listener(self.database.dedicated(), reactor, channels, self.dispatcher.read_everything)
        self.timers = Timers(periodic_tasks(config, self._workers()), reactor)

    def _build_wire(self, tokens: Tokens) -> None:
        config = self.config
        most = config.max_concurrent_jobs, config.plain_jobs, config.max_jobs_limit
        terms = Terms(config.heartbeat_interval, config.max_message_size, *most)
        admitted = config.crawler_tokens, config.crawler_uids, self.registry, self._leases
        self._doorkeeper = Doorkeeper(*admitted, self._reactor, self.bus)
        parts = self.writer, self.dispatcher, self.presence, tokens, self._budgets
        messages = Messages(*parts, self._reactor, self.bus, terms, self._doorkeeper)
        self.factory = CrawlerFactory(
            Decoder(config.max_message_size),
            messages,
            Connections(self.presence, self.dispatcher, terms, self._doorkeeper),
            self._reactor,
            self.reading_clock,
            self.bus,
            max_connections=self.shares.crawlers,
            max_refused=self.shares.refused,
            max_message_size=config.max_message_size,
            max_rate=config.message_rate,
            patience=config.heartbeat_timeout,
            entrance=config.connection_timeout,
        )
        self.bus.subscribe_by_type({FlowChanged: self._flow})

    def _build_http(self, vault: Vault) -> None:
        config, reactor = self.config, self._reactor
        self.status = NodeStatus(self, self._probe, reactor)
        self._numbering = Numbering(self.database.dedicated(settings=SETTINGS), reactor)
        parts = self.registry, self.database, self._numbering, self.shares, reactor
        seeing = observers(config, self.id, self.bus, self.status, *parts)
        self.feed: Feed = seeing.feed
        self.overviews = seeing.overviews
        self.metrics, self.audit = seeing.metrics, seeing.audit
        self._event_log, self._live_events, self._recorder = seeing.event_log, seeing.live_events, seeing.recorder
        deliveries = WebhookDeliveries(self.database, vault)
        self._webhooks: WebhookSender = WebhookSender(deliveries, self._numbering, reactor, self.bus, time.time)
        self.site = make_http(self, vault, reactor)

    def _workers(self) -> Workers:
        config = self.config
        cleanup = Cleanup(
            self.database,
            self._reactor,
            max_job_age=config.max_job_age,
            max_error_age=config.max_error_log_age,
            max_audit_age=config.audit_age,
        )
        return Workers(
            self.factory,
            self.ports,
            self.presence,
            self._doorkeeper,
            self.dispatcher,
            self._leases,
            self._hosts,
            self._budgets,
            BulkRunner(self.bulk, self._reactor),
            self.access,
            cleanup,
            Counters(self.database, self.bus),
            self._recorder,
            self._live_events,
            self._webhooks,
            self.audit,
            self.database,
            self.status,
            self.metrics,
            self._poll,
        )

    # -- start

    def privilegedStartService(self) -> None:
        """Listen on socket and HTTP port, before anything else starts. Raises SocketError or CannotListenError."""
        self.ports.open(self.factory, self.site)

    def startService(self) -> None:
        """Start the timers; crawlers are read from once this node has its lease."""
        super().startService()
        self.factory.read(False)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    async def _start(self) -> None:
        await self.timers.run_once(CHECK)
        self.timers.start(CHECK)  # /health says why the node does not start
        await self._listener.start()
        await self.timers.run_once(RENEWAL)
        for what, work in (
            ("Recording the start of the node", self._leases.starts),
            ("Reading the tokens of the HTTP API", self.access.read),
        ):
            await until_done(what, work, self._reactor, lambda: self._stopping is not None)
        await self.dispatcher.restrictions.start()
        await self.timers.run_once(LIVE_EVENTS)
        if self.config.enable_metrics:
            await self.timers.run_once(GAUGES)
        self.timers.start()
        self.status.started()
        self.factory.read(self.writer.flowing)
        self.bus.publish(NodeStarted())
        log_addresses(self.config, self.dsn, self.ports)

    def _not_started(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("The node can't start", failure)

    # -- stop

    def stopService(self) -> "Deferred[None]":
        """Commit everything accepted, then stop (docs/protocol.md, "shutdown"). A second call waits for the first."""
        if self._stopping is None:
            super().stopService()
            self._stopping = Deferred.fromCoroutine(self._stop())
        waiter: Deferred[None] = Deferred()

        def stopped(result: Any) -> Any:
            waiter.callback(None)
            return result

        self._stopping.addBoth(stopped)
        return waiter

    async def _stop(self) -> None:
        self.log.info("Stopping: no new jobs are sent, everything accepted is committed")
        reactor = self._reactor
        steps: tuple[Callable[[], Any], ...] = (
            self.status.stopping,
            self.feed.close,
            self._cancel_start,
            self.timers.stop,
            self._due.stop,
            self.presence.stop,
            partial(announce, self.factory, self.config.shutdown_timeout),
            self.ports.close,
            partial(self.factory.read, False),
            self._finish_requests,
            partial(drain, self.dispatcher, self.writer, self.config.shutdown_timeout, reactor),
            partial(leave, self.presence, reactor),
            partial(self.factory.close_all, "the node stops"),
            lambda: self._refreshes,
            lambda: self._messages,
            self._listener.stop,
            self._write_connection.close,
            self._discovery_connection.close,
            self._probe.close,
            partial(write_what_is_left, "refusals", self.audit.store, reactor),
            partial(write_what_is_left, "minute of history", self._recorder.store, reactor),
            partial(write_what_is_left, "live events", self._live_events.run, reactor),
            self._numbering.close,
            self.database.close,
            self._event_log.stop,
        )
        await take_all(steps)
        self.log.info("Stopped")

    def _finish_requests(self) -> None:
        self._refreshes = finish_refreshes(self._tokens, self.config.shutdown_timeout)
        self._messages = Deferred.fromCoroutine(self._webhooks.stop(min(self.config.shutdown_timeout, TIME_LIMIT)))

    def _cancel_start(self) -> None:
        if self._starting is not None:
            self._starting.cancel()

    # -- connections between the parts

    def _flow(self, changed: FlowChanged) -> None:
        """Stop or resume reading from crawlers, as the writer accepts writes or not."""
        if not changed.flowing:
            self.presence.database_failed()
        if self.status.running:
            self.factory.read(changed.flowing)

    async def _poll(self) -> None:
        await self._due.look()
        self.dispatcher.look_for_unknown()
