"""One connection: statements prepared once, and a pooler that forgets them."""

from twisted.internet.defer import Deferred

from copilot_socket.store.faults import DatabaseAway
from tests.support.crawler import until
from tests.support.store import StoreTestCase


class HotQueryTests(StoreTestCase):
    """Connection.hot_query()."""

    async def test_planned_once(self) -> None:
        """The statement is prepared by its name, and again on a new connection."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        for _ in range(2):
            for number in (1, 2):
                rows = await connection.hot_query("twice", "SELECT 2 * %(number)s::integer", {"number": number})
                self.assertEqual(rows, [(2 * number,)])
            self.assertEqual(await connection.query("SELECT name FROM pg_prepared_statements"), [("twice",)])
            connection.close()

    async def test_a_pooler_that_forgets(self) -> None:
        """Where the next transaction finds nothing prepared, the statement runs as it is."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        await connection.hot_query("once", "SELECT %(number)s::integer", {"number": 1})
        await connection.query("DEALLOCATE ALL")
        rows = await connection.hot_query("once", "SELECT %(number)s::integer", {"number": 7})
        self.assertEqual(rows, [(7,)])


class PoolTests(StoreTestCase):
    """Database.close()."""

    async def test_closed_in_the_middle_of_a_statement(self) -> None:
        """Whoever waits for an answer is told, and so is who waits for a connection."""
        sleeping = [Deferred.fromCoroutine(self.database.query("SELECT pg_sleep(30)")) for _ in range(6)]
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
        await until(lambda: self.query(asleep)[0][0] == self.database.use.size)
        self.assertGreater(self.database.use.waiting, 0)
        self.database.close()
        for each in sleeping:
            await self.assertFailure(each, DatabaseAway)
