"""The driver's connection: notifications, results, and lost connections."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone

from copilot_socket.store.driver import DriverConnection
from copilot_socket.store.faults import DatabaseAway
from tests.support.postgres import execute
from tests.support.store import StoreTestCase

END_THEM = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copilot-study'"


class DriverTests(StoreTestCase):
    """DriverConnection, by the connection that uses it."""

    async def test_notified_while_idle(self) -> None:
        """Notifications arrive without a statement."""
        heard: Deferred[tuple[str, str]] = Deferred()
        connection = self.database.dedicated()
        connection.on_notify = lambda *note: heard.callback(note)
        self.addCleanup(connection.close)
        await connection.query("LISTEN here")
        execute(self.database_url, "NOTIFY here, 'hello'")
        self.assertEqual(await heard.addTimeout(10, reactor), ("here", "hello"))

    async def test_a_listener_that_fails(self) -> None:
        """An error of the callback loses the notification, not the connection."""
        heard: Deferred[str] = Deferred()

        def listen(_channel: str, payload: str) -> None:
            if payload == "bad":
                raise RuntimeError(payload)
            heard.callback(payload)

        connection = self.database.dedicated()
        connection.on_notify = listen
        self.addCleanup(connection.close)
        await connection.query("LISTEN here")
        execute(self.database_url, "NOTIFY here, 'bad'; NOTIFY here, 'good'")
        self.assertEqual(await heard.addTimeout(10, reactor), "good")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_closed_as_it_is_made(self) -> None:
        """A connection that is closed in the turn in which it was made fails the Deferred of connect()."""
        live = DriverConnection(reactor, lambda: None)
        go_on = live.continuePolling

        def then_close(*args: object) -> None:
            go_on(*args)
            if live.fileno() != -1:
                live.close()

        live.continuePolling = then_close
        await self.assertFailure(live.connect(self.database_url), ConnectionDone)

    async def test_lost_while_idle(self) -> None:
        """on_lost is called once; the next statement reconnects."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        lost: Deferred[None] = Deferred()
        connection.on_lost = lambda: lost.callback(None)
        await connection.query("SELECT 1")
        execute(self.database_url, END_THEM)
        await lost.addTimeout(10, reactor)
        self.assertFalse(connection.connected)
        connection.on_lost = lambda: None
        self.assertEqual(await connection.query("SELECT 2"), [(2,)])

    async def test_lost_in_the_middle_of_a_statement(self) -> None:
        """The statement fails."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        await connection.query("SELECT 1")
        waiting = Deferred.fromCoroutine(connection.query("SELECT pg_sleep(30)"))
        execute(self.database_url, END_THEM)
        await self.assertFailure(waiting.addTimeout(10, reactor), DatabaseAway)

    async def test_a_statement_larger_than_the_socket_takes(self) -> None:
        """A large statement is written in parts, and its result is read."""
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        self.assertEqual(await connection.query("SELECT length(%s)", ("x" * 8_000_000,)), [(8_000_000,)])

    async def test_many_statements_after_one_another(self) -> None:
        """Many statements in a row, each answered immediately, do not recurse."""
        numbers = [Deferred.fromCoroutine(self.database.query("SELECT %s", (number,))) for number in range(3000)]
        self.assertEqual(await gatherResults(numbers), [[(number,)] for number in range(3000)])
