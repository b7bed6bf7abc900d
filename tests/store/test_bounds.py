"""Bounds of what tables accept; an upgrade repairs the rows that earlier versions accepted, and reports it."""

from collections.abc import Mapping
from typing import Any

import psycopg2
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import migrate
from tests.support.acts import ACT
from tests.support.postgres import SynchronousDatabaseTestCase, admin, copy_of, drop_database
from tests.support.revisions import upgrade_to

DEEP = '{"a":' * 200 + "1" + "}" * 200
HUGE = '{"a": 1e5000}'
ACCOUNT = {"provider": "gitlab-onprem", "gitlab_url": "https://gitlab.test/sub", "access_token": "t"}

URLS = {
    "https://gitlab.test:8443/sub/": "https://gitlab.test:8443/sub/",
    "https://gitlab.müller.test": "https://gitlab.müller.test",
    "https://gitlab.test\r\n": "https://gitlab.test",
    "https://user:word@gitlab.test/sub": "https://gitlab.test/sub",
    "https://gitlab.test/sub?a=b#c": "https://gitlab.test/sub",
    "https://gitlab.test/sub#c": "https://gitlab.test/sub",
    "https://gitlab.test\n.elsewhere.test": "https://gitlab.invalid",
    "https://gitlab .test": "https://gitlab.invalid",
    "https://": "https://gitlab.invalid",
    "https://x" + "x" * 2048: "https://gitlab.invalid",
}
"""URLs and their repaired form, which is never that of another server: tokens are sent there."""


def _of_the_first_release(url: str) -> None:
    upgrade_to(url, "0001")


class RepairTests(SynchronousTestCase):
    """Each test has a database as the first release left it, with one account and one job."""

    def setUp(self) -> None:
        """Make it."""
        self.url = copy_of(_of_the_first_release)
        self.addCleanup(drop_database, self.url)
        self.insert("accounts", id="acct", **ACCOUNT)
        self.insert("jobs", account_id="acct", command="issues", full_path="g/p")

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a statement, if any."""
        with admin(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, **row: object) -> None:
        """Insert *row*."""
        self.query(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())

    def repaired(self, table: str, before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
        """Set the columns *before* in the rows of *table*, upgrade, and expect *after*; return the notices."""
        self.query(f"UPDATE {table} SET {', '.join(f'{name} = %s' for name in before)}", *before.values())
        notices = migrate.upgrade(self.url, ACT).notices
        columns = ", ".join(f"{name}::text" for name in after)
        self.assertEqual(self.query(f"SELECT {columns} FROM {table}"), [tuple(after.values())])
        return notices

    def test_times(self) -> None:
        """Times out of range are set to the nearest bound; others, and NULL, stay."""
        notices = self.repaired(
            "jobs",
            {"scheduled_at": "-infinity", "created_at": "0044-03-15 BC", "started_at": "infinity",
             "updated_at": "2031-01-02 03:04:05+00"},
            {"date_part('year', scheduled_at)": "2000", "date_part('year', created_at)": "2000",
             "date_part('year', started_at)": "2199", "date_part('year', updated_at)": "2031", "finished_at": None},
        )  # fmt: skip
        self.assertEqual(
            sorted(notice.partition(":")[0] for notice in notices),
            ["jobs.created_at", "jobs.scheduled_at", "jobs.started_at"],
        )

    def test_objects(self) -> None:
        """JSON that is no object, or too large or deep, or has too large numbers, is dropped."""
        for resume_state in (HUGE, DEEP, f'{{"a": "{"a" * 140_000}"}}'):
            with self.subTest(resume_state[:20]):
                self.setUp()
                notices = self.repaired(
                    "jobs", {"resume_state": resume_state, "progress": HUGE}, {"resume_state": None, "progress": "{}"}
                )
                self.assertEqual(len(notices), 2)
                self.assertIn("jobs.resume_state: changed in 1 row(s), where it was out of bounds, to NULL", notices)

    def test_objects_that_stay(self) -> None:
        """Readable values are unchanged."""
        state = '{"a": [1, 1e+300, "{}"], "currentPage": 7}'
        self.assertEqual(self.repaired("jobs", {"resume_state": state}, {"resume_state->>'currentPage'": "7"}), ())

    def test_counters(self) -> None:
        """Counters are bounded so that one more fits."""
        self.repaired(
            "jobs",
            dict.fromkeys(("attempts", "tries"), 2**31 - 1),
            dict.fromkeys(("attempts", "tries"), "1000000000"),
        )

    def test_urls(self) -> None:
        """A repaired URL is still that of its server, or an invalid one, in accounts and in jobs."""
        for number, url in enumerate(URLS):
            self.insert("accounts", id=str(number), provider="gitlab-cloud", gitlab_url=url, access_token="t")
            self.insert("jobs", account_id=str(number), command="users")
        migrate.upgrade(self.url, ACT)
        for number, url in enumerate(URLS.values()):
            of_both = (
                "SELECT a.gitlab_url, j.gitlab_url FROM accounts a JOIN jobs j ON account_id = a.id WHERE a.id = %s"
            )
            self.assertEqual(self.query(of_both, str(number)), [(url, url)])

    def test_tokens(self) -> None:
        """Characters that are invalid in a header are removed from tokens; an empty token expires the account."""
        for name, access, refresh in (("1", "tok\n", " r "), ("2", "\r\n", "\t"), ("3", "fine", None)):
            self.insert("accounts", id=name, **ACCOUNT | {"access_token": access, "refresh_token": refresh})
        migrate.upgrade(self.url, ACT)
        rows = "SELECT access_token, refresh_token, credential_status FROM accounts WHERE id <= '9' ORDER BY id"
        self.assertEqual(
            self.query(rows), [("tok", "r", "valid"), ("none", None, "expired"), ("fine", None, "valid")]
        )

    def test_operations(self) -> None:
        """Operations with counts that are none, or with numbers that no node reads, are forgotten; others stay."""
        upgrade_to(self.url, "0029_dashboard")
        counts = ('{"failed": 7}', '{"failed": 1.5}', '{"failed": "x"}', '{"failed": [7]}', '{"failed": -1}', "{}")
        for number, changed in enumerate(counts):
            self.insert("operations", action="retry", created_by=str(number), changed=changed, skipped='{"twin": 1}')
        self.insert("operations", action="retry", created_by="7", filter='{"ids": [1e30]}')
        migrate.upgrade(self.url, ACT)
        self.assertEqual(
            self.query("SELECT changed, skipped FROM operations ORDER BY created_by"),
            [({"failed": 7}, {"twin": 1}), ({}, {"twin": 1})],
        )

    def test_nothing_to_repair(self) -> None:
        """The upgrade of ordinary rows gives no notice."""
        self.assertEqual(migrate.upgrade(self.url, ACT).notices, ())


class RefusalTests(SynchronousDatabaseTestCase):
    """Bounds are the same in all columns of a kind."""

    def test_every_time_is_bounded(self) -> None:
        """All columns of times and of JSON are bounded."""
        found = self.query(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND a.atttypid = ANY ('{timestamptz, timestamp, json, jsonb}'::regtype[])"
        )
        self.assertEqual(found, [])

    def test_first_and_last(self) -> None:
        """The least and the greatest value of each kind, and the values next to them."""
        for domain, good, bad in (
            ("bounded_timestamptz", "2000-01-01 00:00:00+00", "1999-12-31 23:59:59.999999+00"),
            ("bounded_timestamptz", "2199-12-31 23:59:59.999999+00", "2200-01-01 00:00:00+00"),
            ("resume_state", f'{{"a": "{"a" * (131072 - 9)}"}}', f'{{"a": "{"a" * (131072 - 8)}"}}'),
            ("resume_state", '{"a": 1.7976931348623157e308}', '{"a": -1.8e308}'),
            ("resume_state", '{"a":' * 99 + "[7]" + "}" * 99, '{"a":' * 100 + "[7]" + "}" * 100),
            ("jsonb_mapping", "{}", "[]"),
            ("jsonb_mapping", "{}", '"{}"'),
            ("natural_number", "1000000000", "1000000001"),
            ("natural_number", "0", "-1"),
            ("stored_token", "a" * 16384, "a" * 16385),
            ("stored_token", "!~", "! ~"),
            ("http_url", "http://x", "http://"),
            ("http_url", "https://[::1]:8080/a/b", "https://x/a?b"),
            ("http_url", "https://x/@", "https://x@y"),
            ("http_url", "http://" + "x" * 2041, "http://" + "x" * 2042),
        ):
            with self.subTest(f"{domain} {bad[-30:]}"):
                self.query(f"SELECT %s::{domain}", good)
                with self.assertRaises(psycopg2.errors.CheckViolation):
                    self.query(f"SELECT %s::{domain}", bad)
