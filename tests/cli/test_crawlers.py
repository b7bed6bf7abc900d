"""``copilot-socket crawlers`` against a real site."""

import json

from copilot_socket.cli import crawlers
from copilot_socket.cli.errors import CommandError
from tests.cli.support import SiteCommandTestCase


class CrawlersCommandTests(SiteCommandTestCase):
    """For people and for programs."""

    def setUp(self) -> None:
        super().setUp()
        for number in (1, 2):
            self.query(
                "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
                " VALUES (%s, %s, 'n1', now() + interval '1 hour', 5, '{issue}', false)",
                f"key{number}",
                f"crawler\x1b-{number}",
            )

    async def test_list(self) -> None:
        """One line per crawler, with control characters escaped; pages continue from a cursor."""
        lines = (await self.call(crawlers)).splitlines()
        self.assertEqual(
            " ".join(lines[0].split()),
            "id connected mode jobs failed status last_heartbeat version plain owner node_id",
        )
        self.assertEqual(" ".join(lines[1].split()), "crawler\\x1b-1 yes serving 0/5 0/0 - - - no - n1")
        self.assertEqual(len(lines), 3)
        *_, more = (await self.call(crawlers, "--limit", "1")).splitlines()
        self.assertIn("crawler\\x1b-2", await self.call(crawlers, "--cursor", more.removeprefix("more: --cursor ")))

    async def test_show(self) -> None:
        """What a crawler holds, and how its attempts ended; of several one after the other."""
        self.query("UPDATE crawlers SET crawler_id = key")
        self.query("INSERT INTO crawler_ends VALUES ('key1', now(), 'n1', 'timed_out', 3, 3, 7.5)")
        shown = await self.call(crawlers, "show", "key1", "key2")
        self.assertIn("    timed_out: 3\n", shown)
        self.assertIn("  seconds: 2.5\n", shown)
        self.assertIn("id: key2\n", shown)
        self.assertIn("3/3", await self.call(crawlers))
        with self.assertRaisesRegex(CommandError, "No such crawler: nobody"):
            await self.call(crawlers, "show", "nobody")

    async def test_modes(self) -> None:
        """A crawler is drained and released; an action without an id is a mistake."""
        self.query("UPDATE crawlers SET crawler_id = 'one' WHERE key = (SELECT min(key) FROM crawlers)")
        self.assertEqual(await self.call(crawlers, "drain", "one"), "crawler one: draining\n")
        self.assertEqual(await self.call(crawlers, "release", "one"), "crawler one: serving\n")
        self.assertIn("asked to exit", await self.call(crawlers, "shutdown", "one"))

    async def test_nothing_to_list(self) -> None:
        """For an empty list the command says where crawlers connect."""
        self.query("DELETE FROM crawlers")
        self.assertIn("SOCKET_PATH", await self.call(crawlers))

    async def test_json(self) -> None:
        """With --json, the node's response."""
        answer = json.loads(await self.call(crawlers, "--json"))
        self.assertEqual([crawler["key"] for crawler in answer["crawlers"]], ["key1", "key2"])

    async def test_no_node(self) -> None:
        """Without a node the message names the address."""
        with self.assertRaisesRegex(CommandError, "no answer from http://127.0.0.1:1"):
            await self.call(crawlers, url="http://127.0.0.1:1")
