"""What a node sees, as live events."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import live_events
from copilot_socket.core.live_events import LOST, LiveEvent, decoded, joined
from copilot_socket.event_bus import (
    BudgetChanged,
    ConnectionChanged,
    CrawlerChanged,
    EventBus,
    HeartbeatHeard,
    HostChanged,
    PauseChanged,
    StateEvent,
    TokenRefreshed,
)
from copilot_socket.live_events import LiveEventRecorder
from copilot_socket.store.live_events import RETRY
from tests.http.conformity import event_disagreement

ORIGIN = "https://gitlab.test"
RENDERED: tuple[tuple[StateEvent, LiveEvent], ...] = (
    (
        ConnectionChanged("k1", "c1", "opened"),
        LiveEvent("connection", {"id": "k1", "crawler_id": "c1", "event": "opened", "is_active": True}),
    ),
    (
        ConnectionChanged("k1", "c1", "closed", "bye"),
        LiveEvent(
            "connection", {"id": "k1", "crawler_id": "c1", "event": "closed", "is_active": False, "reason": "bye"}
        ),
    ),
    (CrawlerChanged("c2", "fell silent"), LiveEvent("connection", {"crawler_id": "c2", "event": "fell silent"})),
    (
        HeartbeatHeard("k1", "c1", "idle", {"activeJobs": 1, "uptime": None}),
        LiveEvent(
            "heartbeat", {"id": "k1", "crawler_id": "c1", "system_status": "idle", "metadata": {"activeJobs": 1}}
        ),
    ),
    (TokenRefreshed("acme", "refused"), LiveEvent("account", {"account_id": "acme", "event": "refused"})),
    (HostChanged(ORIGIN, "held"), LiveEvent("host", {"gitlab_origin": ORIGIN, "event": "held"})),
    (
        PauseChanged("P1", "added", "account", "acme", "ann"),
        LiveEvent("pause", {"id": "P1", "event": "added", "scope": "account", "target": "acme", "author": "ann"}),
    ),
    (
        BudgetChanged(ORIGIN, "acme", None, "throttled", 3, 1767225600.0),
        LiveEvent(
            "budget",
            {
                "gitlab_origin": ORIGIN,
                "account_id": "acme",
                "event": "throttled",
                "jobs_allowed": 3,
                "until": "2026-01-01T00:00:00Z",
            },
        ),
    ),
)


class FakeNumbering:
    """Keeps rows, or refuses them."""

    def __init__(self) -> None:
        self.rows: list[Sequence[str]] = []
        self.error: Exception | None = None

    async def run(self, changes: Sequence[str]) -> None:
        """See :meth:`.Numbering.run`."""
        if self.error is not None:
            raise self.error
        self.rows.append(changes)


class RecorderTests(SynchronousTestCase):
    """The subscriber to the bus."""

    def setUp(self) -> None:
        """Subscribe it."""
        self.numbering, self.clock, self.bus = FakeNumbering(), Clock(), EventBus()
        self.recorder = LiveEventRecorder(self.numbering, self.clock)
        self.bus.subscribe_by_type(self.recorder.subscriptions)

    def run_once(self) -> None:
        """One round."""
        self.successResultOf(Deferred.fromCoroutine(self.recorder.run()))

    def test_each_kind(self) -> None:
        """Data has the names of columns, and nothing that does not apply; a round is one row."""
        self.assertEqual({type(event) for event, _ in RENDERED}, set(self.recorder.subscriptions))
        for event, _ in RENDERED:
            self.bus.publish(event)
        self.run_once()
        self.run_once()
        first, second = self.numbering.rows
        self.assertEqual(list(decoded(joined(first))), [expected for _, expected in RENDERED])
        self.assertEqual(second, [])

    def test_as_described(self) -> None:
        """The data of each kind is what the API's description says."""
        for _, event in RENDERED:
            wrong = event_disagreement(event.type, {**event.data, "timestamp": "2026-01-01T00:00:00Z"})
            self.assertIsNone(wrong, event)

    def test_bounded(self) -> None:
        """What waits is bounded in bytes; beyond that the row says that events were lost."""
        self.patch(live_events, "MOST_WAITING", 100)
        for _ in range(5):
            self.bus.publish(HostChanged(ORIGIN, "held"))
        self.run_once()
        self.bus.publish(HostChanged(ORIGIN, "held"))
        self.run_once()
        self.assertEqual(self.numbering.rows[0], [LOST])
        self.assertEqual(len(self.numbering.rows[1]), 1)

    def test_refused(self) -> None:
        """What could not be stored is told as lost, a second later; the error is raised once a second."""
        self.bus.publish(HostChanged(ORIGIN, "held"))
        self.numbering.error = RuntimeError("away")
        self.failureResultOf(Deferred.fromCoroutine(self.recorder.run()), RuntimeError)
        self.numbering.error = None
        self.run_once()
        self.assertEqual(self.numbering.rows, [])
        self.clock.advance(RETRY)
        self.run_once()
        self.run_once()
        self.assertEqual(self.numbering.rows, [[LOST], []])

    def test_nothing_refused(self) -> None:
        """A round that has nothing to store loses nothing."""
        self.numbering.error = RuntimeError("away")
        self.failureResultOf(Deferred.fromCoroutine(self.recorder.run()), RuntimeError)
        self.numbering.error = None
        self.clock.advance(RETRY)
        self.run_once()
        self.assertEqual(self.numbering.rows, [[]])
