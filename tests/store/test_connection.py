"""A connection: prepared statements, also behind a pooler, time-outs and lost connections."""

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from copilot_socket.store import connection as connection_module
from copilot_socket.store.connection import Connection, Limits, Transaction
from copilot_socket.store.faults import DatabaseAway
from tests.support.crawler import until
from tests.support.proxy import Proxy
from tests.support.store import StoreTestCase


class HotQueryTests(StoreTestCase):
    """Connection.hot_query()."""

    async def test_planned_once(self) -> None:
        """The statement is prepared once per connection."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        for _ in range(2):
            for number in (1, 2):
                rows = await connection.hot_query("twice", "SELECT 2 * %(number)s::integer", {"number": number})
                self.assertEqual(rows, [(2 * number,)])
            self.assertEqual(await connection.query("SELECT name FROM pg_prepared_statements"), [("twice",)])
            connection.close()

    async def test_a_pooler_that_forgets(self) -> None:
        """Where a prepared statement is missing in the next transaction, it is run unprepared."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        await connection.hot_query("once", "SELECT %(number)s::integer", {"number": 1})
        await connection.query("DEALLOCATE ALL")
        rows = await connection.hot_query("once", "SELECT %(number)s::integer", {"number": 7})
        self.assertEqual(rows, [(7,)])


class PoolTests(StoreTestCase):
    """Database.close()."""

    async def test_closed_in_the_middle_of_a_statement(self) -> None:
        """Calls that wait for a result or a connection fail."""
        sleeping = [Deferred.fromCoroutine(self.database.query("SELECT pg_sleep(30)")) for _ in range(6)]
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
        await until(lambda: self.query(asleep)[0][0] == self.database.use.size)
        self.assertGreater(self.database.use.waiting, 0)
        self.database.close()
        for each in sleeping:
            await self.assertFailure(each, DatabaseAway)

    async def test_used_when_closed(self) -> None:
        """Who comes later is refused, and makes no connection again."""
        await self.database.query("SELECT 1")
        self.database.close()
        await self.assertFailure(Deferred.fromCoroutine(self.database.query("SELECT 1")), DatabaseAway)
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copilot-study'"
        await until(lambda: self.query(ours)[0][0] == 0)


class UnreachableTests(StoreTestCase):
    """Servers that are unreachable or do not answer."""

    async def proxy(self) -> tuple[Proxy, int]:
        """A proxy of the server, and its port."""
        proxy = Proxy(self.database_url)
        port = await proxy.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(proxy.close()))
        return proxy, port

    def connection(self, dsn: str, **limits: float) -> Connection:
        """A connection to *dsn*, closed before its proxy is."""
        connection = Connection(dsn, reactor, Limits(**limits))
        self.addCleanup(connection.close)
        return connection

    async def test_a_server_that_stands_still(self) -> None:
        """A statement past its time-out closes the connection: on_lost is called, the next one reconnects."""
        self.patch(connection_module, "MARGIN", 0.0)
        proxy, port = await self.proxy()
        connection = self.connection(proxy.dsn("127.0.0.1", ports=(port,)), query=0.2, transaction=0.2)
        lost: list[str] = []
        connection.on_lost = lambda: lost.append("lost")
        [(first,)] = await connection.query("SELECT pg_backend_pid()")
        proxy.silent = True
        error = await self.assertFailure(Deferred.fromCoroutine(connection.query("SELECT 1")), DatabaseAway)
        self.assertEqual((str(error), lost), ("no answer within 0.2 s", ["lost"]))
        proxy.silent = False
        [(second,)] = await connection.query("SELECT pg_backend_pid()")
        self.assertNotEqual(first, second)

    async def test_a_transaction_that_stands_still(self) -> None:
        """The same within a transaction, which sends no further statement."""
        self.patch(connection_module, "MARGIN", 0.0)
        proxy, port = await self.proxy()
        connection = self.connection(proxy.dsn("127.0.0.1", ports=(port,)), transaction=0.2)

        async def work(tx: Transaction) -> None:
            await tx.query("SELECT 1")
            proxy.silent = True
            await tx.query("SELECT 2")

        await self.assertFailure(Deferred.fromCoroutine(connection.transaction(work)), DatabaseAway)
        proxy.silent = False
        self.assertEqual(await connection.query("SELECT 3"), [(3,)])

    async def test_a_statement_that_is_cancelled(self) -> None:
        """A cancelled statement fails immediately, nothing blocks, and the next one reconnects."""
        connection = self.connection(self.database_url)
        waiting = Deferred.fromCoroutine(connection.query("SELECT pg_sleep(30)"))
        await until(
            lambda: self.query("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'") == [(1,)]
        )
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(await connection.query("SELECT 1"), [(1,)])

    async def test_a_time_out_of_the_server(self) -> None:
        """PostgreSQL ends the statement itself: its own error is raised, and the connection stays."""
        connection = self.connection(self.database_url, query=0.1)
        [(first,)] = await connection.query("SELECT pg_backend_pid()")
        await self.assertFailure(
            Deferred.fromCoroutine(connection.query("SELECT pg_sleep(30)")), psycopg2.errors.QueryCanceled
        )
        self.assertEqual(await connection.query("SELECT pg_backend_pid()"), [(first,)])

    async def test_the_first_address_refuses(self) -> None:
        """The next address is tried, TCP and UNIX sockets alike."""
        proxy, port = await self.proxy()
        directory = proxy.socket.rpartition("/")[0]
        for dsn in (
            proxy.dsn("127.0.0.1", "127.0.0.1", ports=(1, port)),
            proxy.dsn("/nowhere", directory, ports=(5432, 5432)),
        ):
            self.assertEqual(await self.connection(dsn).query("SELECT 1"), [(1,)], dsn)

    async def test_the_first_address_is_silent(self) -> None:
        """Each address has its own time-out, after which the next one is tried."""
        self.patch(connection_module, "ADDRESS_TIMEOUT", 2.0)
        (dead, nowhere), (_, port) = await self.proxy(), await self.proxy()
        dead.silent = True
        dsn = dead.dsn("127.0.0.1", "127.0.0.1", ports=(nowhere, port))
        self.assertEqual(await self.connection(dsn).query("SELECT 1"), [(1,)])

    async def test_no_address_answers(self) -> None:
        """The error of the last address is raised in one line, and nothing is logged as an error."""
        proxy, _ = await self.proxy()
        connection = self.connection(proxy.dsn("127.0.0.1", "127.0.0.1", ports=(1, 2)))
        error = await self.assertFailure(Deferred.fromCoroutine(connection.query("SELECT 1")), DatabaseAway)
        self.assertIn("Connection refused", str(error))
        self.assertNotIn("\n", str(error))

    async def test_cut_off_again_and_again(self) -> None:
        """In the middle of a statement, idle, while connecting: DatabaseAway each time, and no logged error."""
        proxy, port = await self.proxy()
        connection = self.connection(proxy.dsn("127.0.0.1", ports=(port,)))
        for turns in range(0, 60, 2):
            waiting = Deferred.fromCoroutine(connection.query("SELECT pg_sleep(10)"))
            passed = 0
            while not waiting.called:
                await deferLater(reactor, 0)
                passed += 1
                if passed >= turns:
                    proxy.cut()
            await self.assertFailure(waiting, DatabaseAway)
        self.assertEqual(await connection.query("SELECT 1"), [(1,)])
        proxy.cut()
        await until(lambda: not connection.connected)
        self.assertEqual(await connection.query("SELECT 2"), [(2,)])

    async def test_a_table_that_was_changed(self) -> None:
        """A prepared statement whose result type has changed is prepared again, on a new connection."""
        connection = self.connection(self.database_url)
        self.query("CREATE TABLE changing (a integer)")
        self.assertEqual(
            await connection.hot_query("read", "SELECT * FROM changing WHERE %(yes)s::boolean", {"yes": True}), []
        )
        self.query("ALTER TABLE changing ADD b integer")
        await self.assertFailure(
            Deferred.fromCoroutine(
                connection.hot_query("read", "SELECT * FROM changing WHERE %(yes)s::boolean", {"yes": True})
            ),
            DatabaseAway,
        )
        self.assertEqual(
            await connection.hot_query("read", "SELECT * FROM changing WHERE %(yes)s::boolean", {"yes": True}), []
        )
