"""Base class of token tests: an account at a fake GitLab."""

from datetime import UTC, datetime
from typing import Any

from copilot_socket.core.vault import Vault
from copilot_socket.node import Node
from copilot_socket.store.accounts import Accounts, Credential
from tests.handlers.gitlab import FakeGitLab
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import Message

CLIENT = ("client_id", "client_secret", "redirect_uri")


class TokenTestCase(NodeTestCase):
    """An account ``lab`` at a fake GitLab, with the pair access-1 and refresh-1."""

    def setUp(self) -> None:
        super().setUp()
        self.gitlab = FakeGitLab()
        self.addCleanup(self.gitlab.stop)
        self.add_account("lab", self.gitlab.url + "/", access_token="access-1", refresh_token="refresh-1")

    async def at_work(self, name: str = "one", node: Node | None = None, path: str = "g/p") -> tuple[Crawler, str]:
        """A crawler with a job of the account."""
        crawler = await self.crawler(name, node)
        return crawler, await self.given(crawler, path, account_id="lab")

    async def refreshed(self, crawler: Crawler, job: str) -> Message:
        """Request a new token; the data of the answer."""
        crawler.say("token_refresh_request", job, current_token_expired=True)
        answer = await crawler.expect("token_refresh_response")
        self.assertEqual(answer["jobId"], job)
        self.assertEqual(set(answer["data"]), {"accessToken", "expiresAt", "refreshSuccessful"})
        data: Message = answer["data"]
        return data

    def granted(self, data: Message, token: str) -> None:
        """Assert that *data* contains *token*, with about GitLab's lifetime."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), (token, True))
        self.assertLess(abs(until_(data) - 7200), 10)

    def refused(self, data: Message) -> None:
        """Assert that *data* contains no new token."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), ("", False))
        self.assertLess(abs(until_(data)), 10)

    def account(self, *columns: str) -> tuple[Any, ...]:
        """Columns of the account's row."""
        return self.query(f"SELECT {', '.join(columns)} FROM accounts WHERE id = 'lab'")[0]

    def expires(self, seconds: float) -> None:
        """Have the account's token expire in *seconds*."""
        self.query("UPDATE accounts SET token_expires_at = now() + %s * interval '1 s' WHERE id = 'lab'", seconds)

    def at_once(self) -> None:
        """Allow the next refresh immediately."""
        self.query("UPDATE accounts SET refresh_after = NULL WHERE id = 'lab'")

    def wait(self) -> float:
        """Seconds until the next refresh is allowed."""
        return float(self.account("extract(epoch FROM refresh_after - now())::float8")[0])

    async def renew(self, node: Node, token: str = "renewed") -> None:
        """Renew the account's credential, as an operator would."""
        accounts = Accounts(node.database, Vault(), node.transitions)
        self.assertTrue(await accounts.renew("lab", Credential(token, "refresh-renewed"), ACT))


def until_(data: Message) -> float:
    """Seconds until the answer's token expires."""
    return (datetime.fromisoformat(data["expiresAt"]) - datetime.now(UTC)).total_seconds()
