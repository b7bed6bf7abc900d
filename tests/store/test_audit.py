"""The audit log in the store: acts, refusals, sums of what is repeated."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act
from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.vault import Vault
from copilot_socket.event_bus import EventBus
from copilot_socket.store import audit as module
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.audit import AuditLog, Refusals, record
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.connection import Limits, Transaction
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.listing import Page
from copilot_socket.store.transitions import Transitions
from tests.support.acts import ACT
from tests.support.locks import until_waiting
from tests.support.postgres import DatabaseTestCase

CANCEL = Act(HTTP, Actor("token:web", "127.0.0.1"), "job.cancel", "j1", {"status": ["queued", "cancelled"]})
ROW = """
INSERT INTO audit_log (timestamp, last_at, door, actor, address, action, target, outcome, count, details)
SELECT date_trunc('minute', %(now)s) - %(minute)s * interval '1 minute' + %(second)s * interval '1 second',
       date_trunc('minute', %(now)s) - %(minute)s * interval '1 minute' + %(last)s * interval '1 second',
       %(door)s, %(actor)s, %(address)s, %(action)s, %(target)s, %(outcome)s, %(count)s, %(details)s
"""
ORDINARY = {
    "minute": 2, "second": 3, "last": None, "door": "http", "actor": "token:web", "address": "::1",
    "action": "job.submit", "target": "acme", "outcome": "done", "count": 1, "details": "{}",
}  # fmt: skip


class AuditTestCase(DatabaseTestCase):
    """The log of a database."""

    def setUp(self) -> None:
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 3)
        self.addCleanup(self.database.close)
        self.log = AuditLog(self.database)
        # Of all rows, for a minute may end between two of them.
        self.now = self.query("SELECT now()")[0][0]

    def row(self, **fields: Any) -> None:
        """An ordinary row of the minute before the last, but for *fields*."""
        with psycopg2.connect(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(ROW, {**ORDINARY, "now": self.now, **fields})
        connection.close()

    def rows(self, *columns: str) -> list[Any]:
        """All rows, oldest first."""
        return self.query(f"SELECT {', '.join(columns)} FROM audit_log ORDER BY id")


class ActTests(AuditTestCase):
    """record()."""

    async def test_rows(self) -> None:
        """One for each act; none for nobody's."""
        await self.database.transaction(
            lambda tx: record(
                tx, CANCEL, None, CANCEL.on(None, {"reason": "x"}, count=3), CANCEL.change("j", weight=(1, 1))
            )
        )
        self.assertEqual(
            self.rows("door", "actor", "address", "action", "target", "outcome", "count", "details", "last_at"),
            [
                (*("http", "token:web", "127.0.0.1", "job.cancel", target, "done", count, details), None)
                for target, count, details in (
                    ("j1", 1, CANCEL.details),
                    (None, 3, {**CANCEL.details, "reason": "x"}),
                )
            ],
        )

    async def test_log_lines(self) -> None:
        """Each act is logged once it is committed, and one that is not committed never."""
        lines: list[str] = []
        observer = lambda event: lines.append(formatEvent(event))  # noqa: E731 - as it is added and removed
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        async def fails(tx: Transaction) -> None:
            await record(tx, CANCEL)
            await tx.query("SELECT 1 / 0")

        await self.assertFailure(Deferred.fromCoroutine(self.database.transaction(fails)), psycopg2.Error)
        self.assertEqual([line for line in lines if "job.cancel" in line], [])
        await self.database.transaction(lambda tx: record(tx, CANCEL))
        [line] = [line for line in lines if "job.cancel" in line]
        self.assertEqual(line, 'token:web at 127.0.0.1 over http: job.cancel j1 {"status":["queued","cancelled"]}')

    async def test_a_failed_transaction(self) -> None:
        """It leaves none."""

        async def work(tx: Transaction) -> None:
            await record(tx, ACT)
            raise ValueError

        await self.assertFailure(Deferred.fromCoroutine(self.database.transaction(work)), ValueError)
        self.assertEqual(self.rows("id"), [])


class FormerValueTests(AuditTestCase):
    """Old and new value, of two concurrent changes: the second one is recorded with what the first has made."""

    async def assert_waits(self, first: str, second: Callable[[], Awaitable[bool]]) -> None:
        """*second* waits until *first*, a statement, is committed."""

        async def work(tx: Transaction) -> list[Deferred[bool]]:
            await tx.query(first)
            waiting = [Deferred.fromCoroutine(cast(Coroutine[Any, Any, bool], second()))]
            await until_waiting(self)
            return waiting

        [waiting] = await self.database.transaction(work)
        self.assertIsNotNone(await waiting)

    async def test_weight(self) -> None:
        """Of an account; without the first change it would be none."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-cloud', 'https://g', '-')"
        )
        accounts = Accounts(self.database, Vault(), Transitions(self.database, RetryPolicy(), EventBus()))
        await self.assert_waits("UPDATE accounts SET weight = 7", lambda: accounts.change("a", {"weight": 1}, ACT))
        self.assertEqual(self.rows("details"), [({"weight": [7, 1]},)])

    async def test_mode(self) -> None:
        """Of a crawler."""
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
            " VALUES ('hello:one', 'one', 'n', now(), 5, '{issue}', false)"
        )
        modes = CrawlerModes(self.database)
        await self.assert_waits(
            "UPDATE crawlers SET mode = 'draining'", lambda: modes.set("one", Mode.QUARANTINED, ACT)
        )
        self.assertEqual(self.rows("details"), [({"mode": ["draining", "quarantined"]},)])


class RefusalTests(AuditTestCase):
    """AuditLog.refused()."""

    async def test_rows(self) -> None:
        """Times are those of the database, however long ago; what happened once has no second time."""
        await self.log.refused(
            [
                Refusals("wire", "no_token", "uid:7", None, "hello", 9, 60.0, 20.0),
                Refusals("http", "no_token", "stranger", "::1", "GET /x", 1, 5.0, 5.0),
            ]
        )
        self.assertEqual(
            self.rows("door", "actor", "address", "action", "target", "outcome", "count", "details"),
            [
                ("wire", "uid:7", None, "hello", None, "refused", 9, {"reason": "no_token"}),
                ("http", "stranger", "::1", "GET /x", None, "refused", 1, {"reason": "no_token"}),
            ],
        )
        ages = self.rows("extract(epoch FROM last_at - timestamp)::int", "timestamp < now() - interval '4 s'")
        self.assertEqual(ages, [(40, True), (None, True)])


class SumTests(AuditTestCase):
    """AuditLog.sum_up()."""

    async def test_equal_ones(self) -> None:
        """They become one for each minute, with the time of the last, whatever else happened meanwhile."""
        self.row()
        self.row(second=7, count=5)
        self.row(target=None)
        self.row(second=1, target=None, count=2)
        self.row(second=50, last=55, count=2)
        self.row(minute=3)
        self.row(minute=3)
        self.row(minute=3, details='{"a": 1}')
        for field, other in {
            "door": "cli", "actor": "x", "address": None, "action": "job.cancel", "target": "b", "outcome": "refused",
        }.items():  # fmt: skip
            self.row(**{field: other})
        self.assertEqual(await self.log.sum_up(), 4)
        self.assertEqual(
            self.rows("target", "count", "extract(second FROM timestamp)::int", "extract(second FROM last_at)::int")[
                :4
            ],
            [("acme", 8, 3, 55), (None, 3, 1, 3), ("acme", 2, 3, 3), ("acme", 1, 3, None)],
        )
        self.assertEqual(len(self.rows("id")), 10)
        self.assertEqual(await self.log.sum_up(), 0)

    async def test_late_ones(self) -> None:
        """What is committed later joins the sum; a minute that is not over is left alone."""
        self.row()
        self.row()
        await self.log.sum_up()
        self.row(second=59)
        for _ in range(2):
            self.row(minute=-1)
            self.query("INSERT INTO audit_log (actor, action) VALUES ('x', 'now')")
        self.assertEqual(await self.log.sum_up(), 1)
        self.assertEqual(self.rows("count")[0], (3,))
        self.assertEqual(len(self.rows("id")), 5)

    async def test_after_a_time_without_nodes(self) -> None:
        """The first round of a node looks back a day, later ones only over what may still come."""
        for minute in (15, 15, 1300, 1300, 1500, 1500):
            self.row(minute=minute)
        self.assertEqual(await self.log.sum_up(), 2)
        self.row(minute=15)
        self.assertEqual(await self.log.sum_up(), 0)
        self.assertEqual(await AuditLog(self.database).sum_up(), 1)

    async def test_a_failed_round(self) -> None:
        """What it has summed up stays so, and the next one goes on from there, as after a round of many minutes."""
        for minute in (1300, 1200, 1100):
            self.row(minute=minute)
            self.row(minute=minute)
        steps: list[str] = []
        transaction = self.database.transaction

        async def counted(work: Any) -> Any:
            steps.append("step")
            if len(steps) == 2:
                raise DatabaseAway("away")
            return await transaction(work)

        self.patch(self.database, "transaction", counted)
        await self.assertFailure(Deferred.fromCoroutine(self.log.sum_up()), DatabaseAway)
        self.assertEqual(self.rows("count"), [(2,), (1,), (1,), (1,), (1,)])
        self.patch(module, "MINUTES", 1)
        self.assertEqual([await self.log.sum_up() for _ in range(3)], [1, 1, 0])
        self.assertEqual(len(steps), 5)

    async def test_other_programs(self) -> None:
        """Their rows, which have no door, are left alone."""
        for _ in range(2):
            self.row(door=None)
            self.row()
        self.assertEqual(await self.log.sum_up(), 1)
        self.assertEqual(self.rows("door", "count"), [(None, 1), ("http", 2), (None, 1)])

    async def test_one_node_at_a_time(self) -> None:
        """While another one sums up, nothing is done; the next round looks as far back as this one."""
        self.row(minute=1300)
        self.row(minute=1300)

        async def meanwhile(tx: Transaction) -> int:
            await tx.query("SELECT pg_advisory_xact_lock(x'636F70696C6F75'::bigint)")
            return await self.log.sum_up()

        self.assertEqual(await self.database.transaction(meanwhile), 0)
        self.assertEqual(await self.log.sum_up(), 1)

    async def test_counts_have_an_end(self) -> None:
        """Like all counters."""
        self.row(count=10**9)
        self.row(count=10**9)
        await self.log.sum_up()
        self.assertEqual(self.rows("count"), [(10**9,)])

    async def test_many_submissions(self) -> None:
        """Those of a minute are read by an index, and become one row."""
        self.query(
            "INSERT INTO audit_log (timestamp, door, actor, action, target)"
            " SELECT now() - n * interval '1 hour', 'http', 'x', 'y', 'z' || n FROM generate_series(1, 20000) n"
        )
        self.query(
            "INSERT INTO audit_log (timestamp, door, actor, action, target)"
            " SELECT date_trunc('minute', now()) - interval '30 s', 'http', 'token:web', 'job.submit', 'acme'"
            " FROM generate_series(1, 5000)"
        )
        self.query("ANALYZE audit_log")
        self.assertEqual(await self.log.sum_up(), 4999)
        [row] = self.query("SELECT count FROM audit_log WHERE actor = 'token:web'")
        self.assertEqual(row, (5000,))


class PlanTests(AuditTestCase):
    """The list on a full table."""

    async def test_who_and_what(self) -> None:
        """The acts of somebody, and on something, are found by an index."""
        self.query(
            "INSERT INTO audit_log (actor, action, target) SELECT 'a' || n %% 500, 'x', 't' || n %% 700"
            " FROM generate_series(1, 20000) n WHERE %s",
            True,
        )
        self.query("ANALYZE audit_log")
        catalog = Catalog(self.database)
        for filters in ({"actor": "a7"}, {"target": "t7"}, {"actor": "a7", "target": "t7", "outcome": "done"}):
            seen: list[str] = []

            async def explain(sql: str, params: Any, seen: list[str] = seen) -> list[Any]:
                rows = await Database.query(self.database, f"EXPLAIN {sql}", params)
                seen.extend(row[0] for row in rows)
                return []

            self.patch(self.database, "query", explain)
            await catalog.audit(Page(), filters)
            plan = "\n".join(seen)
            self.assertIn("Index Cond", plan)
            self.assertNotIn("Seq Scan on audit_log", plan)
