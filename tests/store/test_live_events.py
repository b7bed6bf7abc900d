"""Live events in the database: who stores them, and how they are numbered."""

import contextlib
from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from copilot_socket.core.jobs import Event
from copilot_socket.core.live_events import LiveEvent, Lost, Position, decoded, encoded
from copilot_socket.core.reports import Completed, Progressed, Started
from copilot_socket.store import live_events
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.live_events import SETTINGS, SLOTS, LiveEventReader, Numbering
from copilot_socket.store.sql import sql
from tests.support.store import StoreTestCase

CHANGE = encoded(LiveEvent("host", {"event": "held"}))


class LiveEventsTestCase(StoreTestCase):
    """A database whose events are numbered by the first of two nodes."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Begin."""
        super().setUp()
        self.reader = LiveEventReader(self.database)
        self.first, self.second = self.numbering(), self.numbering()
        await self.first.run([])
        self.begun = (await self.reader.last() or Position(0)).number - 1

    def numbering(self) -> Numbering:
        """That of one more node."""
        made = Numbering(self.database.dedicated(settings=SETTINGS), reactor)
        self.addCleanup(made.close)
        return made

    async def told(self) -> list[dict[str, Any]]:
        """The data of all events that have numbers by now, whose numbers follow each other."""
        await self.first.run([])
        rows = page = await self.reader.after(self.begun, 1000)
        while page:
            page = await self.reader.after(rows[-1].number, 1000)
            rows += page
        self.assertEqual([row.number for row in rows], list(range(self.begun + 1, self.begun + len(rows) + 1)))
        return [event.data for row in rows for event in decoded(row.changes or "")]


class JobTests(LiveEventsTestCase):
    """Whatever changes jobs is told of in the transaction that does it."""

    async def test_a_life(self) -> None:
        """From its creation to its deletion, whoever does what."""
        insert = "INSERT INTO jobs (account_id, command, full_path, user_id) VALUES ('acct', 'issues', 'g/p', 'ann')"
        [(job,)] = self.query(f"{insert} RETURNING id")
        await self.present("c1")
        [assignment] = await self.claim()
        await self.report(assignment, Started())
        await self.transitions.apply([job], Event.RELEASED)
        [again] = await self.claim()
        await self.report(again, Started(), Progressed({"processed": 3}), Completed({}))
        self.query("DELETE FROM jobs")
        told = await self.told()
        self.assertEqual(
            [(each["event"], each.get("status"), each.get("crawler_job_id")) for each in told],
            [
                ("created", "queued", None),
                ("claim", "assigned", assignment),
                ("job_started", "running", assignment),
                ("release", "queued", assignment),
                ("claim", "assigned", again),
                ("job_started", "running", again),
                ("job_progress", None, again),
                ("job_completed", "completed", again),
                ("deleted", None, None),
            ],
        )
        self.assertEqual({(each["id"], each["account_id"], each["user_id"]) for each in told}, {(job, "acct", "ann")})
        self.assertEqual(told[6]["progress"]["processed"], 3)
        self.assertEqual(told[1]["full_path"], "g/p")

    async def test_one_row_a_commit(self) -> None:
        """However many jobs a transaction changes."""
        jobs = self.add_jobs(*(f"g/{n}" for n in range(20)))
        await self.transitions.apply(jobs, Event.CANCELLED)
        await self.told()
        rows = await self.reader.after(self.begun, 100)
        self.assertEqual([len(list(decoded(row.changes or ""))) for row in rows[-1:]], [20])

    async def test_rolled_back(self) -> None:
        """What was not committed is not told."""
        with psycopg2.connect(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/p')")
            connection.rollback()
        self.assertEqual(await self.told(), [])

    async def test_very_many(self) -> None:
        """More than 10,000 jobs in one statement are not told one by one: whoever follows must look again."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'acct', 'issues', 'g/' || n FROM generate_series(1, 10001) n"
        )
        with self.assertRaises(Lost):
            await self.told()

    async def test_rows_of_500(self) -> None:
        """A row has at most 500 jobs, so that no node is busy with one for long."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'acct', 'issues', 'g/' || n FROM generate_series(1, 1201) n"
        )
        self.query("DELETE FROM jobs")
        told = await self.told()
        self.assertEqual([each["event"] for each in told], ["created"] * 1201 + ["deleted"] * 1201)
        self.assertEqual([each["id"] for each in told[:1201]], sorted({each["id"] for each in told}))
        rows = await self.reader.after(self.begun, 100)
        self.assertEqual(len(rows), 6)

    async def test_truncated(self) -> None:
        """Whoever follows must look again; also where triggers are off for others."""
        self.query("SET session_replication_role = replica; TRUNCATE jobs CASCADE; RESET session_replication_role")
        with self.assertRaises(Lost):
            await self.told()

    async def test_large_progress(self) -> None:
        """It is stored with the job, and not told."""
        assignment = await self.assigned()
        await self.report(assignment, Progressed({"x": "y" * 20_000}))
        self.assertEqual([each["event"] for each in await self.told()], ["created", "claim"])


class NumberingTests(LiveEventsTestCase):
    """Numbers are given after the commit."""

    async def test_delayed_commit(self) -> None:
        """A transaction that commits late has a later number than those that began after it, and is not lost."""
        with psycopg2.connect(self.database_url) as late, late.cursor() as cursor:
            cursor.execute(sql("append_events"), {"changes": f"[{CHANGE},{CHANGE}]"})
            await self.first.run([CHANGE])
            self.assertEqual(len(await self.told()), 1)
            for _ in range(3):
                await self.first.run([CHANGE])
            self.assertEqual(len(await self.told()), 4)
            late.commit()
            self.assertEqual(len(await self.told()), 6)
            self.assertEqual(len(list(decoded((await self.reader.after(self.begun + 4, 1))[0].changes or ""))), 2)
        self.assertEqual(len(await self.told()), 6)

    async def test_in_the_order_of_commits(self) -> None:
        """Concurrent writers, some of whom roll back: each row has one number, and those of one job are in order."""
        self.add_jobs("g/p")
        self.query("CREATE SEQUENCE made")
        append = (
            "INSERT INTO events (changes) VALUES ("
            "json_build_array(json_build_array('event', 'job', json_build_object('id', %s, 'n', nextval('made')))))"
        )

        def write(writer: int) -> None:
            connection = psycopg2.connect(self.database_url)
            with connection.cursor() as cursor:
                for turn in range(40):
                    cursor.execute("SELECT FROM jobs FOR UPDATE" if turn % 3 else "SELECT pg_sleep(0.001)")
                    cursor.execute(append, ("shared" if turn % 3 else str(writer),))
                    connection.rollback() if turn % 5 == 4 else connection.commit()
            connection.close()

        writing = gatherResults([deferToThread(write, number) for number in range(6)])
        while not writing.called:
            await self.first.run([])
        await writing
        told = [each for each in await self.told() if "n" in each]
        self.assertEqual(len(told), len({each["n"] for each in told}))
        self.assertEqual(len(told), 6 * 32)
        shared = [each["n"] for each in told if each["id"] == "shared"]
        self.assertEqual(shared, sorted(shared))

    async def test_many_at_once(self) -> None:
        """What a single transaction has written many rows of is read in pages of few rows, and of few bytes."""
        self.query(
            "INSERT INTO events (changes)"
            ' SELECT \'[["event","host",{"n":\' || n || \'}]]\' FROM generate_series(1, 1700) n'
        )
        self.assertEqual([each["n"] for each in await self.told()], list(range(1, 1701)))
        self.assertEqual(len(await self.reader.after(self.begun, 10)), 10)
        self.query("INSERT INTO events (changes) SELECT repeat(' ', 100000) || '[]' FROM generate_series(1, 9)")
        self.assertEqual(len(await self.told()), 1700)
        self.assertEqual(len(await self.reader.after(self.begun + 1700, 10)), 3)
        self.patch(live_events, "READ_BYTES", 1)
        self.assertEqual(len(await self.reader.after(self.begun + 1700, 10)), 1)

    async def test_too_many_at_once(self) -> None:
        """More than a round can number are skipped: whoever follows sees a gap. Later ones have numbers again."""
        self.patch(live_events, "MOST_ROWS", 5)
        self.query("INSERT INTO events (changes) SELECT '[]' FROM generate_series(1, 6)")
        await self.first.run([])
        await self.first.run([CHANGE])
        [row] = await self.reader.after(self.begun, 10)
        self.assertGreater(row.number, self.begun + 1)

    async def test_one_node_numbers(self) -> None:
        """The others store their events; when that node is gone, another one goes on with its numbers."""
        await self.second.run([CHANGE])
        self.assertTrue(self.first.holds)
        self.assertFalse(self.second.holds)
        self.assertEqual(len(await self.told()), 1)
        self.first.close()
        self.patch(live_events, "TRY_EACH", 0.0)
        third = self.numbering()
        while not third.holds:
            await third.run([])
        await third.run([CHANGE])
        rows = await self.reader.after(self.begun, 10)
        self.assertEqual([row.number - self.begun for row in rows], [1, 2])

    async def test_a_node_that_stands_still(self) -> None:
        """The server ends its session, so that another node can take over."""
        self.assertIn("idle_session_timeout", SETTINGS)
        [(pid,)] = self.query("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        self.query("SELECT pg_terminate_backend(%s)", pid)
        self.patch(live_events, "TRY_EACH", 0.0)
        third = self.numbering()
        while not third.holds:
            await third.run([])
        with contextlib.suppress(DatabaseAway):
            await self.first.run([CHANGE])
        self.assertFalse(self.first.holds)

    async def test_lost_rows(self) -> None:
        """After a crash of the server the table is empty; numbers go on behind all that there were."""
        await self.first.run([CHANGE])
        last = await self.reader.last()
        self.query("TRUNCATE events, event_numbers")
        self.first.close()
        self.patch(live_events, "TRY_EACH", 0.0)
        third = self.numbering()
        while not third.holds:
            await third.run([])
        again = await self.reader.last()
        assert last is not None and again is not None
        self.assertGreater(again, last)

    async def test_lost_rows_that_somebody_reads(self) -> None:
        """Numbers begin anew although somebody holds a lock, as a dump does."""
        self.query("TRUNCATE events, event_numbers")
        with psycopg2.connect(self.database_url) as reading, reading.cursor() as cursor:
            cursor.execute("SELECT FROM events, event_numbers")
            await self.first.run([])
            await self.first.run([CHANGE])
            self.assertEqual(len(await self.reader.after(self.begun, 10)), 1)


class RingTests(LiveEventsTestCase):
    """Old rows go, a partition at a time."""

    def fill_all(self) -> None:
        """Put rows into every partition."""
        self.query(
            "INSERT INTO events (slot, changes) SELECT mod(n, %s), repeat('x', 8000) FROM generate_series(1, 160) n",
            SLOTS,
        )

    def filled(self) -> set[int]:
        """The slots that have rows."""
        return {slot for (slot,) in self.query("SELECT DISTINCT slot FROM events")}

    async def test_the_next_is_emptied(self) -> None:
        """Before its turn comes; the others are kept."""
        self.fill_all()
        [(present,)] = self.query("SELECT mod(date_part('epoch', now())::bigint / 120, 8)")
        await self.numbering_again()
        emptied = set(range(SLOTS)) - self.filled()
        self.assertEqual(emptied, {(present + 1) % SLOTS})

    async def numbering_again(self) -> None:
        """A round that looks at the ring."""
        self.first._look_at = float("-inf")
        await self.first.run([])

    async def test_too_large(self) -> None:
        """The oldest go first where all are too large."""
        self.fill_all()
        self.patch(live_events, "MOST_BYTES", 5 * 8192 * 22)
        await self.numbering_again()
        self.assertLess(len(self.filled()), SLOTS - 1)
        self.patch(live_events, "MOST_BYTES", 0)
        await self.numbering_again()
        self.assertEqual(self.filled(), set())
        for _ in range(2):  # the last numbers have gone with the rows: they begin anew
            await self.first.run([CHANGE])
        self.assertEqual(len(await self.reader.after(self.begun, 10)), 1)

    async def test_in_use(self) -> None:
        """A partition that somebody reads is emptied later; nobody waits for long."""
        self.fill_all()
        self.patch(live_events, "MOST_BYTES", 0)
        with psycopg2.connect(self.database_url) as reading, reading.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events")
            await self.numbering_again()
            self.assertEqual(self.filled(), set(range(SLOTS)))
        await self.numbering_again()
        self.assertEqual(self.filled(), set())

    async def test_numbers_outlive_their_slot(self) -> None:
        """Where nothing happens for long, the last number is written again."""
        await self.first.run([CHANGE])
        self.query("UPDATE event_numbers SET slot = mod(slot + 4, 8)")
        await self.first.run([])
        forget = (
            "SELECT copilot_forget_events('events', mod(date_part('epoch', now())::bigint / 120 + 4, 8)::integer)"
        )
        self.query(forget)
        self.assertEqual(await self.reader.last(), Position(self.begun + 2))
        await self.first.run([CHANGE])
        rows = await self.reader.after(self.begun + 1, 10)
        self.assertEqual([row.number for row in rows], [self.begun + 2])
