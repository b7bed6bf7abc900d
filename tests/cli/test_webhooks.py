"""``copilot-socket webhooks`` against a real site."""

from copilot_socket.cli import webhooks
from copilot_socket.cli.errors import UsageError
from copilot_socket.cli.node import Refused
from copilot_socket.core.webhooks import WebhookEvent
from tests.cli.support import SiteCommandTestCase

URL = "https://example.org/hook"


class WebhookCommandTests(SiteCommandTestCase):
    """As people type them."""

    async def test_a_life(self) -> None:
        """Added with a secret that is printed once, tested, changed, rotated, retried and removed."""
        self.assertIn("nobody is told", await self.call(webhooks, "list"))
        added = await self.call(webhooks, "add", URL, "--event", "job.failed", "--event", "host.held")
        name, secret = added.split()[0], added.splitlines()[1]
        self.assertEqual((added.splitlines()[0], secret[:6]), (f"{name}  {URL}", "whsec_"))
        listed = await self.call(webhooks, "list")
        for word in (name, URL, "job.failed"):
            self.assertIn(word, listed)
        self.assertNotIn("whsec_", listed)
        sent = await self.call(webhooks, "test", name)
        self.assertIn("ping: is being sent", sent)
        delivery = sent.split()[0]
        self.assertIn(delivery, await self.call(webhooks, "deliveries", name, "--status", "pending"))
        self.assertIn("No messages", await self.call(webhooks, "deliveries", name, "--status", "failed"))
        self.assertIn("ping: is being sent", await self.call(webhooks, "retry", name, delivery))
        changed = await self.call(webhooks, "change", name, "--event", "host.held", "--description", "on call")
        self.assertEqual(changed, f"{name}  {URL}: told of host.held\n")
        self.assertIn("told of nothing", await self.call(webhooks, "change", name, "--inactive"))
        self.assertIn("told of host.held", await self.call(webhooks, "change", name, "--active"))
        rotated = await self.call(webhooks, "rotate", name, "--former-valid-hours", "2")
        self.assertNotEqual(rotated.splitlines()[1], secret)
        self.assertEqual(await self.call(webhooks, "remove", name), f"{name}: removed\n")
        with self.assertRaisesRegex(Refused, "No such webhook"):
            await self.call(webhooks, "remove", name)

    async def test_nothing_to_change(self) -> None:
        """It says what could be."""
        with self.assertRaisesRegex(UsageError, "--inactive"):
            await self.call(webhooks, "change", "0" * 26)

    def test_events(self) -> None:
        """All that webhooks can be told of can be chosen."""
        self.assertEqual(webhooks.EVENTS, tuple(map(str, WebhookEvent)))
