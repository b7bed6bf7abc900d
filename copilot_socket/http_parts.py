"""The HTTP port of a node: its parts, most of which nothing else of the node needs."""

from typing import Any, Protocol

from twisted.web.server import Site

from copilot_socket import memory
from copilot_socket.config import Config
from copilot_socket.core.vault import Vault
from copilot_socket.descriptors import Shares
from copilot_socket.event_bus import EventBus
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.http.access import Access
from copilot_socket.http.endings import Endings
from copilot_socket.http.feed import Feed
from copilot_socket.http.idempotency import Idempotency
from copilot_socket.http.overview import Overviews
from copilot_socket.http.own_token import trusted_uids
from copilot_socket.http.settings_handlers import NodeSettings
from copilot_socket.http.site import make_site
from copilot_socket.http.slices import Slices
from copilot_socket.http.table import Parts
from copilot_socket.metrics import Metrics
from copilot_socket.status import NodeStatus
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.budgets import BudgetStore
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.database import Database
from copilot_socket.store.errors import ErrorGroups
from copilot_socket.store.overview import OverviewReader
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.submission import Submission
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.webhooks import Webhooks


class Shared(Protocol):
    """The parts of a node that its HTTP port uses, too."""

    access: Access
    budgets: BudgetStore
    bulk: BulkOperations
    bus: EventBus
    config: Config
    database: Database
    dispatcher: Dispatcher
    feed: Feed
    id: str
    metrics: Metrics
    modes: CrawlerModes
    overviews: Overviews
    restrictions: RestrictionStore
    shares: Shares
    status: NodeStatus
    transitions: Transitions


def make_http(node: Shared, vault: Vault, reactor: Any) -> Site:
    """The factory for the HTTP port of *node*; *vault* seals the tokens of accounts."""
    config, database, bus, slices = node.config, node.database, node.bus, Slices(reactor)
    catalog = Catalog(database)
    return make_site(
        Parts(
            submission=Submission(database, config.retry_attempts, slices.next),
            catalog=catalog,
            jobs=node.bulk.jobs,
            bulk=node.bulk,
            endings=Endings(catalog, bus, reactor),
            accounts=Accounts(database, vault, node.transitions),
            modes=node.modes,
            restrictions=node.restrictions,
            budgets=node.budgets,
            errors=ErrorGroups(database),
            webhooks=Webhooks(database, vault),
            bus=bus,
            transitions=node.transitions,
            idempotency=Idempotency(database, reactor),
            feed=node.feed,
            overviews=node.overviews,
            settings=NodeSettings(node.id, config.settings, memory.parts(config), OverviewReader(database)),
            health=node.status,
            registry=node.metrics.registry if config.enable_metrics else None,
            reactor=reactor,
            slices=slices,
            work_came=node.dispatcher.work_came,
            max_connections=node.shares.http,
            access=node.access,
            uids=trusted_uids(),
            rate=config.http_rate,
            origins=frozenset(config.allowed_origins),
        )
    )
