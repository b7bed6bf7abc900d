"""Health and behaviour of a node that is not ready."""

from typing import Any

from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred

from copilot_socket.core.vault import Vault, access_token
from copilot_socket.status import RENEWAL
from copilot_socket.store.faults import DatabaseAway
from tests.support.crawler import in_reactor, until
from tests.support.postgres import execute, server_url
from tests.support.server import InProcessNode, NodeTestCase, get_json


class HealthTests(NodeTestCase):
    """The node is not ready, says why, and is ready again once it can work."""

    async def _health(self, node: InProcessNode) -> tuple[int, str | None]:
        """Whether the node is ready, and else why not."""
        status, page = await get_json(node.port, "/health/ready")
        return status, page.get("error")

    async def _becomes(self, node: InProcessNode, *expected: Any) -> None:
        """Wait until the node's health is so."""

        async def so() -> bool:
            return await self._health(node) == expected

        await until(so, f"the health is {expected}")

    def _read_only(self, setting: str) -> None:
        """Make the database read-only, or not, for all sessions."""
        name = self.query("SELECT current_database()")[0][0]
        execute(server_url(), f'ALTER DATABASE "{name}" SET default_transaction_read_only = {setting}')
        execute(
            server_url(),
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND application_name = 'copilot-study'",
        )

    @in_reactor()
    async def test_read_only(self) -> None:
        """Crawlers keep their connections, and what they report is stored when the database takes it again."""
        node = await self.node()
        self.add_jobs()
        crawler = await self.greeted(node)
        job = (await crawler.take_job())["id"]
        self._read_only("on")
        await self._becomes(node, 503, "the database is read-only")
        ref = crawler.complete(job)
        self.assertEqual((await get_json(node.port, "/health/socket"))[1]["database"]["connected"], True)
        self._read_only("off")
        self.assertEqual((await crawler.answer(ref))["type"], "ack")
        await self._becomes(node, 200, None)
        self.assertEqual((self.status_of(job), crawler.open), ("completed", True))

    @in_reactor()
    async def test_wrong_key(self) -> None:
        """A node whose key decrypts no stored token is not ready before any job fails of it."""
        keys = [Fernet.generate_key().decode() for _ in range(2)]
        for key in keys:
            for account, url in self.query("SELECT id, gitlab_url FROM accounts"):
                stored = Vault([key]).encrypt("token", access_token(str(account), str(url)))
                self.query("UPDATE accounts SET access_token = %s WHERE id = %s", stored, account)
            status = 200 if key == keys[0] else 503
            error = None if key == keys[0] else "COPILOT_SECRET_KEY does not decrypt the stored tokens"
            node = await self.node(COPILOT_SECRET_KEY=keys[0])
            await self._becomes(node, status, error)
            await node.stop()

    @in_reactor()
    async def test_the_database_is_away(self) -> None:
        """The database's address and name are not in unauthenticated responses."""
        node = await self.node()
        self.shut_database()
        await self._becomes(node, 503, "PostgreSQL refuses this node's login")
        status, document = await get_json(node.port, "/health/socket")
        self.assertEqual((status, document["error"]), (503, "PostgreSQL refuses this node's login"))
        self.assertEqual(document["database"]["connected"], False)
        self.open_database()
        await self._becomes(node, 200, None)

    @in_reactor()
    async def test_lease(self) -> None:
        """A failed lease renewal is retried soon, and makes the node not ready."""
        node = await self.node(SOCKET_LEASE="60000")
        renew = node.node._leases.renew

        async def fail(_live: object) -> None:
            raise DatabaseAway("away")

        self.patch(node.node._leases, "renew", fail)
        await node.node.timers.run_once(RENEWAL)
        await self._becomes(node, 503, "this node's lease could not be renewed")
        self.patch(node.node._leases, "renew", renew)
        await node.node.timers.run_once(RENEWAL)
        await self._becomes(node, 200, None)

    @in_reactor()
    async def test_writer(self) -> None:
        """Reports that can't be stored are a cause of their own where the database seems to be well."""
        node = await self.node()
        real = node.node.writer._batches.write

        async def fail(*_arguments: object) -> None:
            raise DatabaseAway("away")

        self.patch(node.node.writer._batches, "write", fail)
        await self.crawler(node)
        await self._becomes(node, 503, "reports of crawlers can't be stored")
        self.patch(node.node.writer._batches, "write", real)
        await self._becomes(node, 200, None)

    @in_reactor()
    async def test_stuck(self) -> None:
        """A periodic task whose round never ends makes the node not ready."""
        node = await self.node(SOCKET_TRANSACTION_TIMEOUT="1000", SOCKET_QUERY_TIMEOUT="1000")
        under_way: Deferred[None] = Deferred()
        real = node.node._due.look
        self.patch(node.node._due, "look", lambda: under_way)
        await self._becomes(node, 503, "a periodic task has not come back")
        self.patch(node.node._due, "look", real)
        under_way.callback(None)
        await self._becomes(node, 200, None)

    @in_reactor()
    async def test_pool(self) -> None:
        """Slow requests that use up the pool are no fault of the database's, until they do so for too long."""
        node = await self.node(SOCKET_QUERY_TIMEOUT="1500", DATABASE_CONNECTION_POOL="1")
        database = node.node.database
        connection = await database._take()
        waiting = Deferred.fromCoroutine(database.query("SELECT 1"))
        self.assertEqual(await self._health(node), (200, None))
        await self._becomes(node, 503, "the pool of database connections is exhausted")
        database._give(connection)
        await waiting
        await self._becomes(node, 200, None)

    @in_reactor()
    async def test_while_starting(self) -> None:
        """A node that waits for its database says so from the beginning."""
        self.shut_database()
        node = InProcessNode(self.database_url)
        self.addCleanup(node.node.stopService)
        node.node.privilegedStartService()
        node.node.startService()
        await self._becomes(node, 503, "the node is starting: PostgreSQL refuses this node's login")
        self.open_database()
        await self._becomes(node, 200, None)
