"""Groups of errors, as people see and change them."""

from datetime import UTC, datetime, timedelta

import orjson

from copilot_socket.core import cursor
from copilot_socket.core.acts import Act
from copilot_socket.core.error_groups import GroupStatus, status_of
from copilot_socket.core.reports import Failed
from copilot_socket.store.errors import MOST_JOBS, TOP
from copilot_socket.store.listing import Page
from tests.support.acts import ACT
from tests.support.errors import ALL, ErrorsTestCase


class StatusTests(ErrorsTestCase):
    """What people do about groups, and what comes of it."""

    async def test_every_status(self) -> None:
        """Lists find the groups whose status is the one asked for, in every combination."""
        now = datetime.now(UTC)
        expected: dict[str, GroupStatus] = {}
        for number, (ignored, at_retry) in enumerate((i, r) for i in (None, now) for r in (None, 5, 4)):
            fingerprint = f"{number:016x}"
            self.add_group(fingerprint, errors=5, ignored_at=ignored, errors_at_retry=at_retry)
            since = None if at_retry is None else 5 - at_retry
            expected[fingerprint] = status_of(ignored=ignored is not None, errors_since_retry=since)
        for status in GroupStatus:
            found = {row["fingerprint"] for row in await self.groups(status={status})}
            self.assertEqual(found, {each for each in expected if expected[each] is status}, status)
        both = await self.groups(status={GroupStatus.OPEN, GroupStatus.IGNORED})
        self.assertEqual({row["status"] for row in both}, {GroupStatus.OPEN, GroupStatus.IGNORED})
        shown = {row["fingerprint"]: row["status"] for row in await self.groups(**ALL)}
        self.assertEqual(shown, expected)
        unignored = {each for each in expected if expected[each] is not GroupStatus.IGNORED}
        self.assertEqual({row["fingerprint"] for row in await self.groups()}, unignored)

    async def test_regression(self) -> None:
        """Errors after the retry are counted from there; another retry begins anew."""
        await self.failed("g/1")
        [group] = await self.groups()
        fingerprint = group["fingerprint"]
        self.assertEqual((group["status"], group["errors_since_retry"]), ("open", None))
        for _ in range(2):
            self.assertTrue(await self.retried(fingerprint))
            [group] = await self.groups(status={"retried"})
            self.assertEqual((group["errors_since_retry"], group["retried_by"]), (0, ACT.actor.name))
            self.assertIsNotNone(group["retried_at"])
            for number in (1, 2):
                await self.failed(f"g/{number}{group['errors']}")
                [group] = await self.groups(status={"regressed"})
                self.assertEqual(group["errors_since_retry"], number)
        self.assertEqual(group["errors"], 5)
        self.assertEqual(await self.errors.ignore(fingerprint, ACT), GroupStatus.IGNORED)
        self.assertEqual(await self.groups(), [])
        self.assertEqual(await self.errors.unignore(fingerprint, ACT), GroupStatus.REGRESSED)

    async def test_recorded(self) -> None:
        """Each change is recorded once, in its transaction; one that changes nothing is not."""
        self.add_group("a" * 16)
        for _ in range(2):
            self.assertEqual(await self.errors.ignore("a" * 16, ACT), "ignored")
        [row] = await self.groups(**ALL)
        self.assertEqual((row["ignored_by"], row["ignored_at"] is None), (ACT.actor.name, False))
        for _ in range(2):
            self.assertEqual(await self.errors.unignore("a" * 16, ACT), "open")
        await self.retried("a" * 16, Act(ACT.door, ACT.actor, "error.retry", details={"operation": "7"}))
        recorded = self.query("SELECT target, action, details FROM audit_log ORDER BY id")
        self.assertEqual(
            recorded,
            [("a" * 16, "test", {}), ("a" * 16, "test", {}), ("a" * 16, "error.retry", {"operation": "7"})],
        )

    async def test_unknown(self) -> None:
        """No such group."""
        self.assertIsNone(await self.errors.ignore("b" * 16, ACT))
        self.assertIsNone(await self.errors.unignore("b" * 16, ACT))
        self.assertIsNone(await self.errors.group("b" * 16, {}))
        self.assertFalse(await self.retried("b" * 16))
        self.assertEqual(self.query("SELECT count(*) FROM audit_log"), [(0,)])


class ShownTests(ErrorsTestCase):
    """Lists, and single groups."""

    def setUp(self) -> None:
        super().setUp()
        self.hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    def hours(self, count: float) -> datetime:
        """The time so many hours before this one began."""
        return self.hour - timedelta(hours=count)

    async def test_filters(self) -> None:
        """By command and type; by account and time only groups with such errors, and these are counted."""
        self.add_group("a" * 16, error_type="TypeError", first_at=self.hours(50), last_at=self.hours(1))
        self.add_counts("a" * 16, ("x", self.hours(50), 1), ("y", self.hours(3), 10), ("x", self.hours(1), 100))
        self.add_group("b" * 16, command="epics", first_at=self.hours(9), last_at=self.hours(8))
        self.add_counts("b" * 16, ("x", self.hours(9), 1000))
        for filters, found in (
            ({}, {"a": (111, 2), "b": (1000, 1)}),
            ({"command": "epics"}, {"b": (1000, 1)}),
            ({"error_type": "TypeError"}, {"a": (111, 2)}),
            ({"account_id": "x"}, {"a": (101, 1), "b": (1000, 1)}),
            ({"account_id": "y"}, {"a": (10, 1)}),
            ({"since": self.hours(2.5)}, {"a": (110, 2)}),  # the hour that it touches
            ({"since": self.hours(3)}, {"a": (110, 2)}),
            ({"since": self.hours(2)}, {"a": (100, 1)}),
            ({"until": self.hours(9)}, {"a": (1, 1)}),
            ({"until": self.hours(8.5)}, {"a": (1, 1), "b": (1000, 1)}),
            ({"since": self.hours(20), "until": self.hours(1)}, {"a": (10, 1), "b": (1000, 1)}),
            ({"since": self.hours(20), "until": self.hours(4)}, {"b": (1000, 1)}),
            ({"since": self.hours(20), "account_id": "y"}, {"a": (10, 1)}),
            ({"since": self.hours(0)}, {}),
        ):
            given = {name: value if isinstance(value, str) else value.isoformat() for name, value in filters.items()}
            shown = {row["fingerprint"][0]: (row["errors"], row["accounts"]) for row in await self.groups(**given)}
            self.assertEqual(shown, found, filters)

    async def test_pages(self) -> None:
        """Those that occurred last come first; each page continues behind the one before."""
        names = [f"{number:016x}" for number in range(7)]
        for number, name in enumerate(names):
            self.add_group(name, last_at=self.hours(number // 2))
        seen, page = [], Page(2)
        while True:
            listing = await self.errors.groups(page, {})
            seen += [row["fingerprint"] for row in listing.rows]
            if listing.next is None:
                break
            page = Page(2, cursor.decode(listing.next))
        self.assertEqual(seen, [names[number] for number in (1, 0, 3, 2, 5, 4, 6)])

    async def test_failed_jobs(self) -> None:
        """Those that are failed now, up to a bound."""
        name = "a" * 16
        self.add_group(name)
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, error)"
            " SELECT 'acct', 'issues', 'g/' || n, CASE WHEN n %% 2 = 0 THEN 'failed' ELSE 'queued' END, %s"
            " FROM generate_series(1, %s) n",
            *(name, 2 * MOST_JOBS),
        )
        self.assertEqual([row["jobs_failed"] for row in await self.groups()], [MOST_JOBS])
        self.query("UPDATE jobs SET status = 'failed' WHERE status = 'queued'")
        self.assertEqual([row["jobs_failed"] for row in await self.groups()], [MOST_JOBS + 1])

    async def test_one_group(self) -> None:
        """Its history by hour, the accounts with most errors, and its latest error."""
        failure = Failed("GitLab answered 500", None, True, stack_trace="at x\n  at y", context=b'{"page": 7}')
        await self.failed("g/1", Failed("GitLab answered 500", None, True))
        job = await self.failed("g/2", failure)
        [group] = await self.groups()
        name = group["fingerprint"]
        self.query("UPDATE error_groups SET first_at = now() - interval '71 hours'")
        self.query("TRUNCATE error_counts")
        self.add_counts(name, ("acct", self.hour, 2))
        self.add_counts(name, *((f"a{number:02}", self.hours(5 + number % 2), number) for number in range(1, 13)))
        shown = await self.errors.group(name, {})
        assert shown is not None
        self.assertEqual((shown["errors"], shown["accounts"], shown["status"]), (80, 13, "open"))
        self.assertEqual(shown["history_unit"], "hour")
        self.assertEqual(
            shown["history"],
            [
                {"start": self.hours(6), "errors": 36},
                {"start": self.hours(5), "errors": 42},
                {"start": self.hour, "errors": 2},
            ],
        )
        self.assertEqual(len(shown["top_accounts"]), TOP)
        self.assertEqual(shown["top_accounts"][0], {"account_id": "a12", "errors": 12})
        sample = shown["sample"]
        self.assertEqual(
            [sample[each] for each in ("job_id", "error_message", "stack_trace", "truncated")],
            [job, "GitLab answered 500", "at x\n  at y", []],
        )
        self.assertEqual(orjson.dumps(sample["context"]), b'{"page": 7}')
        ranged = await self.errors.group(name, {"since": self.hours(5).isoformat(), "account_id": "a12"})
        assert ranged is not None
        self.assertEqual((ranged["errors"], ranged["accounts"]), (12, 1))
        self.assertEqual(ranged["history"], [{"start": self.hours(5), "errors": 12}])
        self.assertEqual(ranged["top_accounts"], [{"account_id": "a12", "errors": 12}])

    async def test_a_long_history(self) -> None:
        """By day; a part of it of three days or less by hour."""
        name, midnight = "a" * 16, self.hour.replace(hour=0)
        self.add_group(name, first_at=midnight - timedelta(days=5), last_at=midnight)
        self.add_counts(
            name, *(("x", midnight - timedelta(days=5, hours=-hour), 1) for hour in (0, 3, 23, 24, 40, 50))
        )
        shown = await self.errors.group(name, {})
        assert shown is not None
        self.assertEqual(shown["history_unit"], "day")
        self.assertEqual(
            shown["history"],
            [
                {"start": midnight - timedelta(days=days), "errors": errors}
                for days, errors in ((5, 3), (4, 2), (3, 1))
            ],
        )
        self.assertIsNone(shown["sample"])
        part = await self.errors.group(name, {"until": (midnight - timedelta(days=3)).isoformat()})
        assert part is not None
        self.assertEqual((part["history_unit"], len(part["history"])), ("hour", 5))

    async def test_enormous_errors(self) -> None:
        """Of what other programs have logged, the beginning is shown."""
        name = "a" * 16
        self.add_group(name)
        self.query(
            "INSERT INTO job_error_log (job_id, error_message, is_recoverable, stack_trace, context, fingerprint)"
            """ VALUES ('x', repeat('m', 1000000), true, repeat('s', 1000000),
                jsonb_build_object('x', repeat('c', 2000000)), %s)""",
            name,
        )
        shown = await self.errors.group(name, {})
        assert shown is not None
        sample = shown["sample"]
        self.assertEqual((len(sample["error_message"]), len(sample["stack_trace"])), (65536, 262144))
        self.assertEqual((sample["context"], sample["truncated"]), (None, ["context"]))
