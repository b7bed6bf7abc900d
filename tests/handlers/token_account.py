"""What tests of tokens share: an account at a small fake GitLab."""

from datetime import UTC, datetime
from typing import Any

from copilot_socket.core.vault import Vault
from copilot_socket.node import Node
from copilot_socket.store.accounts import Accounts, Credential
from tests.handlers.gitlab import FakeGitLab
from tests.handlers.support import Crawler, NodeTestCase
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
        """What a crawler is answered when it asks for a new token."""
        crawler.say("token_refresh_request", job, current_token_expired=True)
        answer = await crawler.expect("token_refresh_response")
        self.assertEqual(answer["jobId"], job)
        self.assertEqual(set(answer["data"]), {"accessToken", "expiresAt", "refreshSuccessful"})
        data: Message = answer["data"]
        return data

    def granted(self, data: Message, token: str) -> None:
        """*data* gives *token*, for about the lifetime that GitLab said."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), (token, True))
        self.assertLess(abs(until_(data) - 7200), 10)

    def refused(self, data: Message) -> None:
        """*data* says that there is no new token."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), ("", False))
        self.assertLess(abs(until_(data)), 10)

    def account(self, *columns: str) -> tuple[Any, ...]:
        """Columns of the account's row."""
        return self.query(f"SELECT {', '.join(columns)} FROM accounts WHERE id = 'lab'")[0]

    def expires(self, seconds: float) -> None:
        """The account's token expires in so many seconds."""
        self.query("UPDATE accounts SET token_expires_at = now() + %s * interval '1 s' WHERE id = 'lab'", seconds)

    def at_once(self) -> None:
        """Let GitLab be asked again at once."""
        self.query("UPDATE accounts SET refresh_after = NULL WHERE id = 'lab'")

    def wait(self) -> float:
        """Seconds until GitLab may be asked again."""
        return float(self.account("extract(epoch FROM refresh_after - now())::float8")[0])

    async def renew(self, node: Node, token: str = "renewed") -> None:
        """Someone renews the account's credential."""
        accounts = Accounts(node.database, Vault(), node.transitions)
        self.assertTrue(await accounts.renew("lab", Credential(token, "refresh-renewed")))


def until_(data: Message) -> float:
    """Seconds until the answer's token expires."""
    return (datetime.fromisoformat(data["expiresAt"]) - datetime.now(UTC)).total_seconds()
