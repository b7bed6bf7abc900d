"""Tokens in the embedded database are encrypted though nobody has given a key."""

import shutil

from copilot_socket.core.vault import Vault, access_token, refresh_token
from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres, keys_in_use
from tests.support.acts import ACT
from tests.support.crawler import TestCrawler, in_reactor
from tests.support.postgres import FAST, admin, reachable_directory
from tests.support.server import NodeTestCase, get_json

PLAIN = (
    "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
    " VALUES ('old', 'gitlab-onprem', 'http://g', 'old-1')"
)


class SecretKeyTests(NodeTestCase):
    """A node without DATABASE_URL."""

    @in_reactor()
    async def test_never_plain(self) -> None:
        """What was stored plain is encrypted at the start, what is put later too, and crawlers get their tokens."""
        state = reachable_directory()
        self.addCleanup(shutil.rmtree, state)
        postgres = EmbeddedPostgres(state, FAST)
        url = postgres.start()
        self.addCleanup(postgres.stop, only_if_unused=False)
        migrate.upgrade(url, ACT)
        with admin(url) as database, database.cursor() as cursor:
            cursor.execute(PLAIN)
            cursor.execute("INSERT INTO jobs (account_id, command, full_path) VALUES ('old', 'issues', 'g/1')")
            server = self.process()
            del server.environ["DATABASE_URL"]
            server.environ["COPILOT_STATE_DIR"] = str(state)
            await server.start()
            put = {
                "provider": "gitlab-onprem",
                "gitlab_url": "http://g",
                "access_token": "new-1",
                "refresh_token": "r",
            }
            status, _ = await get_json(server.port, "/api/v1/accounts/new", "PUT", put)
            self.assertEqual(status, 201)
            cursor.execute("SELECT access_token, refresh_token FROM accounts ORDER BY id")
            stored = [text for row in cursor.fetchall() for text in row if text is not None]
            cursor.execute("SELECT key_fingerprints FROM nodes")
            fingerprints = cursor.fetchall()
        self.assertEqual((state / "secret-key").stat().st_mode & 0o777, 0o600)
        vault = Vault(keys_in_use(state, ()))
        self.assertEqual(fingerprints, [(list(vault.fingerprints),)])
        places = [access_token("new", "http://g"), refresh_token("new", "http://g"), access_token("old", "http://g")]
        self.assertTrue(all(text.startswith("fernet:2:") for text in stored), stored)
        self.assertEqual(list(map(vault.decrypt, stored, places)), ["new-1", "r", "old-1"])
        crawler = await TestCrawler.connect(server.socket_path)
        self.addCleanup(crawler.hang_up)
        self.assertEqual((await crawler.take_job())["accessToken"], "old-1")
        self.assertEqual(await server.stop(), 0)
