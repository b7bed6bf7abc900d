"""``copilot-socket crawlers`` against a real site."""

import io
import json
import os
import sys
from argparse import ArgumentParser

from twisted.internet.threads import deferToThread

from copilot_socket.cli import crawlers
from copilot_socket.cli.errors import CommandError
from tests.http.harness import TOKEN, SiteTestCase


class CrawlersCommandTests(SiteTestCase):
    """For people and for programs."""

    def setUp(self) -> None:
        super().setUp()
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(os, "environ", {"HOME": "/", "COPILOT_HTTP_TOKEN": TOKEN})
        for number in (1, 2):
            self.query(
                "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
                " VALUES (%s, %s, 'n1', now() + interval '1 hour', 5, '{issue}', false)",
                f"key{number}",
                f"crawler\x1b-{number}",
            )

    async def call(self, *words: str, url: str | None = None) -> str:
        """The output of the command, which must succeed."""
        parser = ArgumentParser()
        parser.set_defaults(json=False)
        crawlers.add_arguments(parser)
        args = parser.parse_args([*words, "--url", url or f"http://127.0.0.1:{self.number}/"])
        self.out.seek(0)
        self.out.truncate()
        self.assertEqual(await deferToThread(crawlers.run, args), 0)
        return self.out.getvalue()

    async def test_list(self) -> None:
        """One line per crawler, with control characters escaped; pages continue from a cursor."""
        lines = (await self.call()).splitlines()
        self.assertEqual(
            lines[0].split(), ["id", "connected", "plain", "mode", "status", "jobs", "last_heartbeat", "node_id"]
        )
        self.assertEqual(lines[1].split(), ["crawler\\x1b-1", "yes", "no", "serving", "-", "0/5", "-", "n1"])
        self.assertEqual(len(lines), 3)
        *_, more = (await self.call("--limit", "1")).splitlines()
        self.assertIn("crawler\\x1b-2", await self.call("--cursor", more.removeprefix("more: --cursor ")))

    async def test_modes(self) -> None:
        """A crawler is drained and released; an action without an id is a mistake."""
        self.query("UPDATE crawlers SET crawler_id = 'one' WHERE key = (SELECT min(key) FROM crawlers)")
        self.assertEqual(await self.call("drain", "one"), "crawler one: draining\n")
        self.assertEqual(await self.call("release", "one"), "crawler one: serving\n")
        self.assertIn("asked to exit", await self.call("shutdown", "one"))

    async def test_nothing_to_list(self) -> None:
        """For an empty list the command says where crawlers connect."""
        self.query("DELETE FROM crawlers")
        self.assertIn("SOCKET_PATH", await self.call())

    async def test_json(self) -> None:
        """With --json, the node's response."""
        answer = json.loads(await self.call("--json"))
        self.assertEqual([crawler["key"] for crawler in answer["crawlers"]], ["key1", "key2"])

    async def test_no_node(self) -> None:
        """Without a node the message names the address."""
        with self.assertRaisesRegex(CommandError, "no answer from http://127.0.0.1:1"):
            await self.call(url="http://127.0.0.1:1")
