"""The store of accounts."""

from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from copilot_socket.core.jobs import Event
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.vault import Vault
from copilot_socket.event_bus import EventBus
from copilot_socket.store import accounts as module
from copilot_socket.store.accounts import Account, Accounts, Credential
from copilot_socket.store.connection import Limits
from copilot_socket.store.database import Database
from copilot_socket.store.transitions import Transitions
from tests.support.acts import ACT
from tests.support.postgres import DatabaseTestCase

PAIR = Credential("glpat-secret", "refresh-secret")


class AccountsTests(DatabaseTestCase):
    """Accounts.put() and renew()."""

    def setUp(self) -> None:
        """Make the store."""
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 2)
        self.addCleanup(self.database.close)
        self.events: list[object] = []
        bus = EventBus()
        bus.subscribe(self.events.append)
        transitions = Transitions(self.database, RetryPolicy(), bus)
        self.accounts = Accounts(self.database, Vault(), transitions)

    async def test_many_waiting(self) -> None:
        """Waiting jobs are queued a bounded number at a time, however many there are."""
        self.patch(module, "BATCH", 2)
        batches: list[int] = []
        apply = Transitions.apply

        def applied(transitions: Transitions, job_ids: Sequence[str], event: Event) -> Any:
            batches.append(len(job_ids))
            return apply(transitions, job_ids, event)

        self.patch(Transitions, "apply", applied)
        await self.accounts.put(Account("a", "gitlab-cloud", "https://g", PAIR), ACT)
        self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'a', 'epics', i::text FROM generate_series(1, 5) AS i"
        )
        self.query("UPDATE jobs SET status = 'waiting_credential'")
        self.assertTrue(await self.accounts.renew("a", Credential("new"), ACT))
        self.assertEqual(self.query("SELECT status, ready, count(*) FROM jobs GROUP BY 1, 2"), [("queued", True, 5)])
        self.assertEqual((len(self.events), batches), (5, [2, 2, 1]))

    async def test_whole_pair(self) -> None:
        """A renewal replaces the whole pair: a refresh token left out may have been another user's."""
        await self.accounts.put(Account("a", "gitlab-cloud", "https://g", PAIR), ACT)
        await self.accounts.renew("a", Credential("new"), ACT)
        self.assertEqual(self.query("SELECT access_token, refresh_token FROM accounts"), [("new", None)])

    async def test_last_generation(self) -> None:
        """The count of token pairs stops at its end; renewals and replacements go on."""
        await self.accounts.put(Account("a", "gitlab-cloud", "https://g", PAIR), ACT)
        self.query("UPDATE accounts SET token_generation = 1000000000")
        await self.accounts.renew("a", Credential("new"), ACT)
        await self.accounts.put(Account("a", "gitlab-cloud", "https://g", Credential("newer")), ACT)
        self.assertEqual(
            self.query("SELECT access_token, token_generation::int FROM accounts"), [("newer", 1_000_000_000)]
        )

    async def test_nobody(self) -> None:
        """The renewal of an unknown account returns False and publishes nothing."""
        self.assertFalse(await self.accounts.renew("nobody", PAIR, ACT))
        self.assertEqual(self.events, [])

    async def test_no_token_in_errors(self) -> None:
        """The error for a refused row omits the detail of PostgreSQL, which quotes the row."""
        wrong = Account("a", "github", "https://g", PAIR)
        error = await self.assertFailure(Deferred.fromCoroutine(self.accounts.put(wrong, ACT)), ValueError)
        self.assertIn("accounts_provider_check", str(error))
        self.assertNotIn("secret", str(error))
        self.assertTrue(error.__suppress_context__)
        self.assertNotIn("secret", repr(wrong))
