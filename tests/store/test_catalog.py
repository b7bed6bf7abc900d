"""Reading, at the level of the store."""

from typing import Any

import orjson
from twisted.internet import reactor

from copilot_socket.core.jobs import Status
from copilot_socket.store.catalog import Catalog, Page
from copilot_socket.store.connection import Limits
from copilot_socket.store.database import Database
from tests.support.postgres import DatabaseTestCase


class CatalogTests(DatabaseTestCase):
    """What a reader gets."""

    def setUp(self) -> None:
        """Connect."""
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 2)
        self.addCleanup(self.database.close)
        self.catalog = Catalog(self.database)

    def shown(self, record: Any) -> Any:
        """A record as a client reads it."""
        return orjson.loads(orjson.dumps(record, option=orjson.OPT_UTC_Z))

    async def test_empty(self) -> None:
        """A new database has empty lists, zero counts, and no such job or account."""
        for listing in (
            await self.catalog.jobs(Page(), {}),
            await self.catalog.accounts(Page()),
            await self.catalog.areas(Page(), {}),
            await self.catalog.crawlers(Page()),
        ):
            self.assertEqual((list(listing.rows), listing.next), ([], None))
        self.assertIsNone(await self.catalog.job("x"))
        self.assertIsNone(await self.catalog.account("x"))
        stats = await self.catalog.stats()
        self.assertEqual(stats["jobs"], dict.fromkeys(map(str, Status), 0))
        self.assertEqual(stats["queue"], {"ready": 0, "scheduled": 0, "oldest_seconds": 0.0, "unroutable": 0})

    async def test_no_token(self) -> None:
        """No record holds a token, encrypted or not; an expired credential is told."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, refresh_token, credential_status)"
            " VALUES ('a', 'gitlab-cloud', 'https://g', 'marked', 'fernet:marked', 'expired')"
        )
        self.query("INSERT INTO jobs (account_id, command) VALUES ('a', 'users')")
        jobs = await self.catalog.jobs(Page(), {})
        accounts = await self.catalog.accounts(Page())
        job = await self.catalog.job(jobs.rows[0]["id"])
        for record in (*jobs.rows, *accounts.rows, job, await self.catalog.account("a")):
            self.assertNotIn("marked", str(self.shown(record)))
        self.assertEqual(accounts.rows[0]["credential_status"], "expired")

    async def test_exact_page(self) -> None:
        """A list that ends with its page has no next one."""
        self.query(
            "INSERT INTO areas (full_path, name, type) SELECT i::text, 'n', 'group' FROM generate_series(1, 4) i"
        )
        first = await self.catalog.areas(Page(limit=2), {})
        self.assertIsNotNone(first.next)
        second = await self.catalog.areas(Page(limit=2, after="2"), {})
        self.assertEqual([row["full_path"] for row in second.rows], ["3", "4"])
        self.assertIsNone(second.next)

    async def test_latest_errors(self) -> None:
        """Of very many errors the latest are shown, oldest of these first."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-cloud', 'https://g', 't')"
        )
        [(job_id,)] = self.query("INSERT INTO jobs (account_id, command) VALUES ('a', 'users') RETURNING id")
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable)"
            " SELECT %s, i::text, true FROM generate_series(1, 150) i",
            job_id,
        )
        job = await self.catalog.job(str(job_id))
        assert job is not None
        self.assertEqual([error["error_message"] for error in job["errors"]], [str(i) for i in range(51, 151)])
