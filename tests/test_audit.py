"""Refusals are summed up, in bounded memory, and written when the database takes them."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.audit import MINUTE, MOST, OTHERS, Audit
from copilot_socket.event_bus import EventBus, Refused
from copilot_socket.stopping import LEAVING, write_what_is_left
from copilot_socket.store.audit import LONGEST, Refusals
from copilot_socket.store.faults import DatabaseAway


class Log:
    """Stands for the table. ``away``: whether it takes no rows."""

    def __init__(self) -> None:
        self.rows: list[Refusals] = []
        self.away = False
        self.hangs: Deferred[None] | None = None

    async def refused(self, refusals: list[Refusals]) -> None:
        """Write."""
        if self.hangs is not None:
            await self.hangs
        if self.away:
            raise DatabaseAway("away")
        self.rows += refusals

    async def sum_up(self) -> int:
        """Nothing to do."""
        return 0


class AuditTests(SynchronousTestCase):
    """Audit."""

    def setUp(self) -> None:
        self.log = Log()
        self.clock = Clock()
        self.audit = Audit(self.log, self.clock)  # type: ignore[arg-type]
        self.bus = EventBus()
        self.bus.subscribe_by_type(self.audit.subscriptions)

    def refuse(self, actor: str = "stranger", **fields: Any) -> None:
        """Somebody is refused."""
        self.bus.publish(
            Refused(
                **{
                    "door": "http",
                    "reason": "no_token",
                    "actor": actor,
                    "address": "::1",
                    "what": "GET /",
                    **fields,
                }
            )
        )

    def store(self) -> list[Refusals]:
        """What a round writes."""
        self.log.rows = []
        self.successResultOf(Deferred.fromCoroutine(self.audit.store()))
        return self.log.rows

    def test_sums(self) -> None:
        """Those of a kind are one row; what was written is not written again."""
        self.refuse()
        self.clock.advance(2)
        self.refuse()
        self.refuse(reason="role")
        self.clock.advance(1)
        self.assertEqual(
            self.store(),
            [
                Refusals("http", "no_token", "stranger", "::1", "GET /", 2, 3.0, 1.0),
                Refusals("http", "role", "stranger", "::1", "GET /", 1, 1.0, 1.0),
            ],
        )
        self.assertEqual(self.store(), [])
        self.refuse()
        self.assertEqual([row.count for row in self.store()], [1])

    def test_flood(self) -> None:
        """Whoever makes up names, addresses and paths fills neither memory nor table, in one minute or in an hour."""
        rows: list[Refusals] = []
        for number in range(60 * MOST):
            self.refuse(f"a{number}", address=f"10.0.{number}", what=f"GET /{number}" * 100)
            if number % MOST == 0:
                self.clock.advance(MINUTE / 10)
                rows += self.store()
                self.assertLessEqual(len(self.audit._sums), 2 * MOST + 1)
        rows += self.store()
        self.assertEqual(sum(row.count for row in rows), 60 * MOST)
        minutes = 7
        self.assertLess(len(rows), minutes * (MOST + 10))
        self.assertIn((None, OTHERS), [(row.address, row.what) for row in rows if row.actor == OTHERS])

    def test_strangers_hide_nobody_else(self) -> None:
        """What they make up costs neither named actors nor those at another door their rows."""
        for number in range(1000):
            self.refuse("stranger", address="10.0.0.1", what=f"GO{number} /")
        self.refuse("stranger", address="6.6.6.6")
        for number in range(1000):
            self.refuse("stranger", address=f"10.1.{number}")
        self.refuse("token:grafana")
        self.bus.publish(Refused("wire", "no_token", "stranger", "10.0.0.9", "hello"))
        rows = {(row.actor, row.address): row.count for row in self.store() if row.what != OTHERS}
        for who in (("stranger", "6.6.6.6"), ("token:grafana", "::1"), ("stranger", "10.0.0.9")):
            self.assertEqual(rows[who], 1, who)

    def test_a_new_minute(self) -> None:
        """Whoever came too late to be told apart is told apart in the next one."""
        for number in range(MOST + 1):
            self.refuse(f"a{number}")
        self.assertEqual([row.actor for row in self.store()][MOST:], [OTHERS])
        self.clock.advance(MINUTE)
        self.refuse("b")
        self.assertEqual([row.actor for row in self.store()], ["b"])

    def test_without_the_database(self) -> None:
        """Nothing is lost, memory stays bounded, and one row tells all when it is back."""
        self.log.away = True
        for number in range(1000):
            self.refuse()
            self.refuse(f"a{number}")
            self.failureResultOf(Deferred.fromCoroutine(self.audit.store()), DatabaseAway)
            self.clock.advance(5)
        self.assertLessEqual(len(self.audit._sums), 2 * MOST + 1)
        self.log.away = False
        rows = self.store()
        self.assertEqual(sum(row.count for row in rows), 2000)
        self.assertEqual((rows[0].count, rows[0].first, rows[0].last), (1000, 5000.0, 5.0))

    def test_while_it_is_written(self) -> None:
        """What comes meanwhile is counted apart; if writing fails, all of it is kept."""
        self.refuse()
        self.log.hangs = Deferred()
        writing = Deferred.fromCoroutine(self.audit.store())
        self.clock.advance(1)
        self.refuse()
        self.log.away, hangs, self.log.hangs = True, self.log.hangs, None
        hangs.callback(None)
        self.failureResultOf(writing, DatabaseAway)
        self.log.away = False
        self.assertEqual([(row.count, row.first, row.last) for row in self.store()], [(2, 1.0, 0.0)])

    def test_while_writes_hang(self) -> None:
        """What a failed one leaves is told apart as far as there is room: memory is bounded, nothing is lost."""
        self.log.away = True
        for round_ in range(10):
            for number in range(MOST):
                self.refuse(f"{round_}.{number}")
            self.log.hangs = Deferred()
            writing = Deferred.fromCoroutine(self.audit.store())
            self.clock.advance(MINUTE)
            for number in range(MOST):
                self.refuse(f"{round_}.{number} meanwhile")
            self.log.hangs.callback(None)
            self.failureResultOf(writing, DatabaseAway)
            self.assertLessEqual(len(self.audit._sums), 2 * MOST + 1)
        self.log.away, self.log.hangs = False, None
        self.assertEqual(sum(row.count for row in self.store()), 20 * MOST)

    def test_what_strangers_say(self) -> None:
        """It is cut, and has nothing that PostgreSQL or a terminal does not take."""
        self.refuse("x\0\ud800" * 300, address="\x1b[2J", what="\n" * 300)
        [row] = self.store()
        self.assertEqual((row.actor[:11], row.address), ("x\\x00\\ud800", "\\x1b[2J"))
        self.assertEqual((len(row.actor), len(row.what)), (LONGEST, LONGEST))

    def test_stop_during_a_write(self) -> None:
        """What a write under way leaves when it fails is written too."""
        self.refuse()
        self.log.hangs = hangs = Deferred()
        writing = Deferred.fromCoroutine(self.audit.store())
        stopped = Deferred.fromCoroutine(write_what_is_left("refusals", self.audit.store, self.clock))
        self.assertNoResult(stopped)
        self.log.hangs = None
        hangs.errback(DatabaseAway("away"))
        self.failureResultOf(writing, DatabaseAway)
        self.successResultOf(stopped)
        self.assertEqual([row.count for row in self.log.rows], [1])

    def test_stop(self) -> None:
        """A stopping node writes what is left, and waits no longer than a moment."""
        self.refuse()
        self.successResultOf(Deferred.fromCoroutine(write_what_is_left("refusals", self.audit.store, self.clock)))
        self.assertEqual(len(self.log.rows), 1)
        self.refuse()
        self.log.hangs = Deferred()
        stopped = Deferred.fromCoroutine(write_what_is_left("refusals", self.audit.store, self.clock))
        self.clock.advance(LEAVING)
        self.successResultOf(stopped)
        self.assertEqual(len(self.log.rows), 1)
