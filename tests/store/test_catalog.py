"""The read side of the HTTP API, in the store."""

from typing import Any

import orjson
from twisted.internet import reactor

from copilot_socket.core import cursor
from copilot_socket.core.jobs import Loss, Status
from copilot_socket.core.reports import Completed, Failed
from copilot_socket.store import catalog
from copilot_socket.store import listing as listing_module
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.connection import Limits
from copilot_socket.store.database import Database
from copilot_socket.store.job_filters import JobFilter
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.listing import Page
from tests.support.postgres import DatabaseTestCase
from tests.support.store import StoreTestCase


class CatalogTests(DatabaseTestCase):
    """Records and lists."""

    def setUp(self) -> None:
        """Make the catalog."""
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 2)
        self.addCleanup(self.database.close)
        self.catalog = Catalog(self.database)
        self.jobs = JobLists(self.database)

    def shown(self, record: Any) -> Any:
        """A record as a client reads it."""
        return orjson.loads(orjson.dumps(record, option=orjson.OPT_UTC_Z))

    async def test_empty(self) -> None:
        """A new database has empty lists, zero counts, and no such job or account."""
        for listing in (
            await self.jobs.page(Page(), JobFilter()),
            await self.catalog.accounts.page(Page(), {}),
            await self.catalog.areas.page(Page(), {}),
            await self.catalog.crawlers.page(Page(), {}),
        ):
            self.assertEqual((list(listing.rows), listing.next), ([], None))
        self.assertIsNone(await self.catalog.job("x"))
        self.assertIsNone(await self.catalog.accounts.one("x"))
        stats = await self.catalog.stats()
        self.assertEqual(stats["jobs"], dict.fromkeys(map(str, Status), 0))
        self.assertEqual(
            stats["queue"],
            {
                "ready": 0,
                "held_back": 0,
                "path_paused": 0,
                "scheduled": 0,
                "oldest_seconds": 0.0,
                "unroutable": 0,
                "unroutable_commands": {},
            },
        )

    async def test_no_token(self) -> None:
        """No record contains a token, encrypted or not; an expired credential is shown."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, refresh_token, credential_status)"
            " VALUES ('a', 'gitlab-cloud', 'https://g', 'marked', 'fernet:marked', 'expired')"
        )
        self.query("INSERT INTO jobs (account_id, command) VALUES ('a', 'users')")
        jobs = await self.jobs.page(Page(), JobFilter())
        accounts = await self.catalog.accounts.page(Page(), {})
        job = await self.catalog.job(jobs.rows[0]["id"])
        for record in (*jobs.rows, *accounts.rows, job, await self.catalog.accounts.one("a")):
            self.assertNotIn("marked", str(self.shown(record)))
        self.assertEqual(accounts.rows[0]["credential_status"], "expired")

    async def test_exact_page(self) -> None:
        """A list that ends with its page has no next page."""
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, name, type)"
            " SELECT 'https://' || (i + 1) / 2, i % 2, 'n', 'group' FROM generate_series(1, 4) i"
        )
        first = await self.catalog.areas.page(Page(limit=2), {})
        assert first.next is not None
        second = await self.catalog.areas.page(Page(limit=2, after=cursor.decode(first.next)), {})
        self.assertEqual(
            [(row["gitlab_origin"], row["full_path"]) for row in (*first.rows, *second.rows)],
            [(f"https://{n}", path) for n in (1, 2) for path in "01"],
        )
        self.assertIsNone(second.next)

    async def test_pages_by_bytes(self) -> None:
        """A page ends with the row that reaches its size in bytes; the next page continues without a gap."""
        self.patch(listing_module, "PAGE_BYTES", 5000)
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, name, type)"
            " SELECT 'https://g', i::text, repeat('\u0001', CASE i WHEN 3 THEN 4000 ELSE 100 END), 'group'"
            " FROM generate_series(1, 9) i"
        )
        pages, after = list[list[str]](), None
        while True:
            listing = await self.catalog.areas.page(Page(limit=6, after=after), {})
            pages.append([row["full_path"] for row in listing.rows])
            if listing.next is None:
                break
            after = cursor.decode(listing.next)
        # A control character takes six bytes of JSON; a row that is larger than a page is still returned.
        self.assertEqual(pages, [["1", "2", "3"], ["4", "5", "6", "7", "8", "9"]])

    async def test_every_list_by_bytes(self) -> None:
        """Pages of jobs, accounts and crawlers end in the same way."""
        self.patch(listing_module, "PAGE_BYTES", 1)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " SELECT i::text, 'gitlab-cloud', 'https://g', 't' FROM generate_series(1, 3) i"
        )
        self.query("INSERT INTO jobs (account_id, command) SELECT i::text, 'users' FROM generate_series(1, 3) i")
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
            " SELECT i::text, 'c', 'n', now(), 2, '{}', false FROM generate_series(1, 3) i"
        )
        for read in (
            lambda page: self.jobs.page(page, JobFilter()),
            lambda page: self.catalog.accounts.page(page, {}),
            lambda page: self.catalog.crawlers.page(page, {}),
        ):
            after, rows = None, 0
            for left in (2, 1, 0):
                listing = await read(Page(after=after))
                rows += len(listing.rows)
                self.assertEqual(listing.next is None, left == 0)
                after = listing.next and cursor.decode(listing.next)
            self.assertEqual(rows, 3)

    async def test_included(self) -> None:
        """Large columns of jobs are listed on request; values that are too large even so are named."""
        await self.a_job()
        self.query(
            "UPDATE jobs SET progress = jsonb_build_object('s', repeat('x', %s)), resume_state = '{\"p\": 1}'",
            listing_module.VALUE_BYTES,
        )
        [plain] = (await self.jobs.page(Page(), JobFilter())).rows
        [one] = (await self.jobs.page(Page(), JobFilter(), include={"resume_state"})).rows
        [both] = (await self.jobs.page(Page(), JobFilter(), include={"progress", "resume_state"})).rows
        self.assertFalse({"progress", "resume_state", "truncated"} & set(plain))
        self.assertEqual((self.shown(one)["resume_state"], one["truncated"]), ({"p": 1}, []))
        self.assertEqual((both["progress"], both["truncated"]), (None, ["progress"]))
        job = await self.catalog.job(plain["id"])
        assert job is not None
        self.assertEqual((job["progress"], job["truncated"]), (None, ["progress"]))

    async def test_latest_errors(self) -> None:
        """Of many errors the latest are shown, in ascending order, with the number of all."""
        job_id = await self.a_job()
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable)"
            " SELECT %s, i::text, true FROM generate_series(1, 150) i",
            job_id,
        )
        job = await self.catalog.job(job_id)
        assert job is not None
        self.assertEqual([error["error_message"] for error in job["errors"]], [str(i) for i in range(51, 151)])
        self.assertEqual((job["errors_total"], job["history_total"]), (150, 0))

    async def test_large_errors(self) -> None:
        """Of large errors the latest are complete; the others lack details, and name them."""
        job_id = await self.a_job()
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable, stack_trace, context)"
            " SELECT %s, repeat(i::text, 5000), true, repeat('s', 262000),"
            " CASE WHEN i %% 2 = 0 THEN jsonb_build_object('c', repeat('c', 250000)) END"
            " FROM generate_series(0, 9) i",
            job_id,
        )
        job = await self.catalog.job(job_id)
        assert job is not None
        complete = [not error["truncated"] for error in job["errors"]]
        self.assertEqual(complete, [False] * 7 + [True] * 3)
        self.assertLess(len(orjson.dumps(job)), catalog.ERROR_BYTES + 600_000)
        newest, older = self.shown(job["errors"][-2]), self.shown(job["errors"][0])
        self.assertEqual((newest["error_message"], len(newest["context"]["c"])), ("8" * 5000, 250_000))
        self.assertEqual((older["error_message"], older["stack_trace"], older["context"]), ("0" * 1000, None, None))
        self.assertEqual(older["truncated"], ["error_message", "stack_trace", "context"])
        self.assertEqual(job["errors"][1]["truncated"], ["error_message", "stack_trace"])

    async def test_one_enormous_error(self) -> None:
        """The newest error is complete at any size."""
        job_id = await self.a_job()
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable, stack_trace)"
            " VALUES (%s, 'old', true, 'trace'), (%s, 'new', true, repeat('s', 2000000))",
            job_id, job_id,
        )  # fmt: skip
        job = await self.catalog.job(job_id)
        assert job is not None
        self.assertEqual([error["truncated"] for error in job["errors"]], [["stack_trace"], []])

    async def test_many_tries(self) -> None:
        """Of many attempts the latest are shown, in ascending order, with the number of all."""
        job_id = await self.a_job()
        self.query(
            "INSERT INTO job_past_tries (job_id, try, crawler_job_id, crawler_key, assigned_at, outcome)"
            " SELECT %s, i, i::text, 'k', now(), 'released' FROM generate_series(1, 250) i",
            job_id,
        )
        job = await self.catalog.job(job_id)
        assert job is not None
        self.assertEqual([each["try"] for each in job["history"]], list(range(151, 251)))
        self.assertEqual(job["history_total"], 250)

    async def a_job(self) -> str:
        """Add a job; return its id."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-cloud', 'https://g', 't')"
        )
        [(job_id,)] = self.query("INSERT INTO jobs (account_id, command) VALUES ('a', 'users') RETURNING id")
        return str(job_id)


class CountTests(StoreTestCase):
    """The counts ``tries`` and ``failures`` of a job."""

    async def test_apart(self) -> None:
        """Attempts after failures and lost crawlers count as tries; only failures count as failures."""
        catalog = Catalog(self.database)

        async def counts() -> tuple[int, int, int, list[str]]:
            job = await catalog.job(job_id)
            [listed] = (await JobLists(self.database).page(Page(), JobFilter())).rows
            assert job is not None
            self.assertEqual(
                [job[name] for name in ("tries", "failures", "attempts")],
                [listed[name] for name in ("tries", "failures", "attempts")],
            )
            return job["tries"], job["failures"], job["attempts"], [each["outcome"] for each in job["history"]]

        [job_id] = self.add_jobs("g/p")
        await self.present("c1")
        self.assertEqual(await counts(), (0, 0, 0, []))
        [first] = await self.claim()
        self.assertEqual(await counts(), (1, 0, 0, []))
        await self.report(first, Failed("no", None, True))
        self.query("UPDATE jobs SET ready = true")
        [second] = await self.claim()
        await self.leases.release([second], Loss.GONE)
        [third] = await self.claim()
        self.assertEqual(await counts(), (3, 1, 1, ["failed", "released"]))
        await self.report(third, Completed({}))
        self.assertEqual(await counts(), (3, 1, 1, ["failed", "released", "completed"]))
