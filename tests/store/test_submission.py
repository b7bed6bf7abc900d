"""Submission in the store: concurrency, and the order of ids."""

import json
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http.slices import Slices
from copilot_socket.store.connection import Limits, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.submission import (
    CHUNK_CHARACTERS,
    CHUNK_ROWS,
    NewJob,
    Submission,
    UnknownAccounts,
)
from copilot_socket.store.ulids import ulids
from tests.support.acts import ACT
from tests.support.locks import until_waiting
from tests.support.postgres import DatabaseTestCase


class StoreTestCase(DatabaseTestCase):
    """A database with one account."""

    def setUp(self) -> None:
        """Make the store."""
        super().setUp()
        self.database = Database(self.database_url, reactor, Limits(), 4)
        self.addCleanup(self.database.close)
        self.submission = Submission(self.database, 3, Slices(reactor).next)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('acme', 'gitlab-cloud', 'https://gitlab.example', 'x')"
        )


def job(path: str = "g/p", **fields: Any) -> NewJob:
    """A job for *path*."""
    return cast(NewJob, {"account_id": "acme", "command": "issues", "full_path": path, **fields})


class SubmissionTests(StoreTestCase):
    """Submissions, alone and beside other transactions."""

    async def test_order(self) -> None:
        """The ids of a list ascend in its order, whatever the order of insertion."""
        answer = await self.submission.submit([job(f"g/{i * 7919 % 1000}") for i in range(1000)], ACT)
        self.assertEqual(answer.ids, sorted(answer.ids))
        self.assertTrue(all(answer.created))
        stored = self.query("SELECT full_path FROM jobs ORDER BY id LIMIT 2")
        self.assertEqual(stored, [("g/0",), ("g/919",)])

    async def test_missing_branch_is_a_value(self) -> None:
        """A missing branch differs from any branch, and equals a missing branch."""
        answer = await self.submission.submit([job(), job(branch="b"), job()], ACT)
        self.assertEqual(answer.created, [True, True, False])
        self.assertEqual(answer.ids[0], answer.ids[2])

    async def test_scheduled(self) -> None:
        """A job for later is not ready, a due one is."""
        await self.submission.submit([job("a", scheduled_at="2090-01-01T00:00:00+00:00")], ACT)
        await self.submission.submit([job("b", scheduled_at="2020-01-01T00:00:00+00:00")], ACT)
        self.assertEqual(self.query("SELECT ready FROM jobs ORDER BY full_path"), [(False,), (True,)])

    async def test_all_or_nothing(self) -> None:
        """With one unknown account nothing is stored."""
        jobs = [job(), NewJob(account_id="nobody", command="users")]
        error = await self.assertFailure(Deferred.fromCoroutine(self.submission.submit(jobs, ACT)), UnknownAccounts)
        self.assertEqual(error.accounts, {"nobody"})
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(0,)])

    async def test_twin_ends_meanwhile(self) -> None:
        """Where a conflicting twin ends before its id is read, the job is inserted."""
        [old] = (await self.submission.submit([job()], ACT)).ids
        self.meanwhile("CROSS JOIN LATERAL", lambda: self.query("UPDATE jobs SET status = 'completed'"))
        answer = await self.submission.submit([job(), job("g/q")], ACT)
        self.assertEqual(answer.created, [True, True])
        self.assertNotIn(old, answer.ids)
        self.assertEqual(answer.ids, sorted(answer.ids))

    async def test_twin_comes_meanwhile(self) -> None:
        """The insertion waits for a twin of another transaction, and returns its id."""
        holding, release = Deferred[None](), Deferred[None]()

        async def other(tx: Transaction) -> str:
            [(twin,)] = await tx.query(
                "INSERT INTO jobs (account_id, command, full_path) VALUES ('acme', 'issues', 'g/p') RETURNING id"
            )
            holding.callback(None)
            await release
            return str(twin)

        first = Deferred.fromCoroutine(self.database.transaction(other))
        await holding
        second = Deferred.fromCoroutine(self.submission.submit([job("g/a"), job()], ACT))
        await until_waiting(self)
        self.assertNoResult(second)
        release.callback(None)
        answer = await second
        self.assertEqual((answer.ids[1], answer.created), (await first, [True, False]))

    async def test_bulk_in_both_directions(self) -> None:
        """Lists with the same jobs in opposite orders do not deadlock."""
        jobs = [job(f"g/{i}") for i in range(2000)]
        answers = await gatherResults(
            [
                Deferred.fromCoroutine(self.submission.submit(order, ACT))
                for order in (jobs, jobs[::-1], jobs, jobs[::-1])
            ]
        )
        for answer, order in zip(answers, (1, -1, 1, -1), strict=True):
            self.assertEqual(list(answer.ids)[::order], list(answers[0].ids))
        [(deadlocks,)] = self.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        self.assertEqual(deadlocks, 0)

    async def test_slices(self) -> None:
        """A long list is checked and stored in chunks, each in a slice of its own."""
        log: list[tuple[str, int, int]] = []
        original = Transaction.query

        def query(tx: Transaction, sql: str, params: Any = None) -> Awaitable[Any]:
            if params and "jobs" in params:
                log.append(("rows", len(json.loads(params["jobs"])), len(params["jobs"])))
            elif params and "ids" in params:
                log.append(("accounts", len(params["ids"]), 0))
            return original(tx, sql, params)

        async def next_slice() -> None:
            log.append(("slice", 0, 0))

        self.patch(Transaction, "query", query)
        submission = Submission(self.database, 3, next_slice)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " SELECT 'acme' || i, 'gitlab-cloud', 'https://gitlab.example', 'x' FROM generate_series(1, 2500) i"
        )
        small = [job(f"g/{i}", account_id=f"acme{i}") for i in range(1, 2501)]
        large = [job(f"h/{i}", resume_state=b'{"x":"%s"}' % (b"y" * 60_000)) for i in range(10)]
        again = await submission.submit(small + large + small, ACT)
        self.assertEqual(sum(again.created), 2510)
        steps = [list(step) for slice_, step in groupby(log, lambda entry: entry[0] == "slice") if not slice_]
        kinds = {
            kind: [mine for step in steps if (mine := [entry for entry in step if entry[0] == kind])]
            for kind in ("accounts", "rows")
        }
        self.assertEqual([step[0][1] for step in kinds["accounts"]], [1000, 1000, 501])
        self.assertGreaterEqual(len(kinds["rows"]), 5 + 3)
        for [(_, rows, characters), *twins] in kinds["rows"]:
            self.assertLessEqual(rows, CHUNK_ROWS)
            self.assertLessEqual(characters, CHUNK_CHARACTERS + 2 * CHUNK_ROWS)
            self.assertLessEqual(len(twins), 1)

    async def test_a_single_job_takes_no_slice(self) -> None:
        """A single job does not wait for a slice."""

        async def next_slice() -> None:
            raise AssertionError

        submission = Submission(self.database, 3, next_slice)
        self.assertEqual((await submission.submit([job()], ACT)).created, [True])

    def meanwhile(self, before: str, act: Callable[[], object]) -> None:
        """Call *act* once, right before the first statement that contains *before*."""
        original = Transaction.query
        pending = [act]

        def query(tx: Transaction, sql: str, params: Any = None) -> Awaitable[Any]:
            if before in sql and pending:
                pending.pop()()
            return original(tx, sql, params)

        self.patch(Transaction, "query", query)


class UlidTests(SynchronousTestCase):
    """ULIDs."""

    @given(st.integers(0, 2**48 - 1), st.integers(0, 50))
    def test_shape(self, milliseconds: int, count: int) -> None:
        """The requested number of distinct ULIDs, in ascending order, for the given time."""
        made = ulids(milliseconds, count)
        self.assertEqual(made, sorted(set(made)))
        self.assertEqual(len(made), count)
        for ulid in made:
            self.assertRegex(ulid, r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
        if made:
            self.assertEqual(int(_decimal(made[0][:10]), 32), milliseconds)


def _decimal(digits: str) -> str:
    return digits.translate(str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv"))
