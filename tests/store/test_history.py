"""The table of history: minutes, samples of the jobs, hours, and what is deleted."""

from functools import reduce

from twisted.internet import reactor

from copilot_socket.core.ends import Cause
from copilot_socket.core.history import STATUSES, Interval
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.reports import Completed, Started
from copilot_socket.recorder import Recorder
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.history import History
from tests.support.postgres import admin
from tests.support.store import StoreTestCase

MIDNIGHT = 1_767_225_600
"""2026-01-01T00:00:00Z."""


def interval(completed: int, crawlers: int = 0, seconds: float = 1.0) -> Interval:
    """One in which so many jobs were completed, each after *seconds*."""
    made = Interval(completed=completed, crawlers=crawlers)
    for _ in range(completed):
        made.attempt_ended(Cause.COMPLETED, seconds)
        made.dispatch.add(seconds / 10)
    return made


class HistoryTests(StoreTestCase):
    """History."""

    def setUp(self) -> None:
        super().setUp()
        self.history = History(self.database)

    async def hours(self) -> list[tuple[float, Interval]]:
        """All hours."""
        return await self.history.read("hour", 0, 2e9)

    async def test_what_nodes_have_seen(self) -> None:
        """A minute is the sum of what all nodes have seen; writing it again replaces what the node wrote before."""
        now = await self.history.record("a", {MIDNIGHT: interval(1, 2)})
        [(expected,)] = self.query("SELECT extract(epoch FROM now())::float8")
        self.assertApproximates(now, float(str(expected)), 60)
        await self.history.record("a", {MIDNIGHT: interval(3, 2, 9.0), MIDNIGHT + 60: interval(1)})
        await self.history.record("b", {MIDNIGHT: interval(4, 5)})
        [(at, first)] = await self.history.read("minute", MIDNIGHT, MIDNIGHT + 60)
        self.assertEqual((at, first.completed, first.crawlers, first.jobs), (MIDNIGHT, 7, 7, None))
        self.assertEqual((sum(first.ended), sum(first.run.counts)), (7, 7))
        self.assertEqual((first.run.seconds, first.run.longest), (31.0, 9.0))
        self.assertEqual(len(await self.history.read("minute", MIDNIGHT, MIDNIGHT + 61)), 2)
        self.assertEqual(await self.history.read("hour", MIDNIGHT, MIDNIGHT + 3600), [])

    async def test_over_midnight(self) -> None:
        """Minutes are summed up by hours; what comes later is added as long as their hour is open."""
        self.add_jobs("g/1")
        minutes = {MIDNIGHT + 60 * number: interval(1, number + 5) for number in range(-3, 2)}
        await self.history.record("a", minutes)
        await self.history.record("b", {MIDNIGHT: interval(5, 1)})
        await self.history.sample()
        shown = [(at, each.completed, each.crawlers) for at, each in await self.hours()]
        self.assertEqual(shown[:2], [(MIDNIGHT - 3600, 3, 4), (MIDNIGHT, 7, 6)])
        self.assertEqual([each.run.seconds for _, each in await self.hours()][:2], [3.0, 7.0])
        [(began,)] = self.query("SELECT extract(epoch FROM date_trunc('hour', now()))::int")
        self.assertEqual([at for at, _ in (await self.hours())[2:]], [began])
        # A minute of the present hour, and of one that was summed up for good.
        await self.history.record("c", {int(str(began)): interval(2), MIDNIGHT: interval(100)})
        self.query("UPDATE job_history SET jobs = NULL WHERE resolution = 'minute'")
        await self.history.sample()
        self.assertEqual([each.completed for _, each in await self.hours()], [3, 7, 2])

    async def test_samples(self) -> None:
        """The jobs of a minute are counted once, whoever does; of an hour those at its beginning are shown."""
        await self.in_status(Status.RUNNING, "g/r")
        self.add_jobs("g/1", "g/2")
        self.query("UPDATE jobs SET ready = false WHERE full_path = 'g/1'")
        await self.history.sample()
        self.add_jobs("g/3")
        self.query("UPDATE job_history SET at = at - interval '1 minute' WHERE resolution = 'minute'")
        await self.history.sample()
        await History(self.database).sample()
        minutes = await self.history.read("minute", 0, 2e9)
        queued = [each.jobs[STATUSES.index(Status.QUEUED)] for _, each in minutes if each.jobs is not None]
        self.assertEqual(queued, [2, 3])
        first = minutes[0][1].jobs
        assert first is not None
        self.assertEqual((len(first), sum(first)), (len(STATUSES), 3))
        self.assertEqual((await self.hours())[0][1].jobs, first)

    async def test_days(self) -> None:
        """A day is the sum of its hours: the same as adding them up one by one, also where rows are incomplete."""
        hours = {MIDNIGHT + 3600 * number: interval(number, number % 7, 0.3 * number) for number in range(1, 30)}
        await self.history.record("", hours)
        self.query("UPDATE job_history SET resolution = 'hour', cancelled = 2")
        self.query(
            "UPDATE job_history SET jobs = CASE extract(hour FROM at) WHEN 3 THEN '{1,2}'::bigint[] WHEN 9 THEN '{4}'"
            " END, run = CASE WHEN extract(hour FROM at) = 20 THEN '{1,1}'::bigint[] ELSE run END,"
            " ended = CASE WHEN extract(hour FROM at) <> 21 THEN ended END"
        )
        for since, until, days in ((0, 2e9, (0, 1)), (MIDNIGHT, MIDNIGHT + 1, (0,)), (MIDNIGHT + 1, 2e9, (1,))):
            read = await self.history.read("day", since, until)
            self.assertEqual([at for at, _ in read], [MIDNIGHT + 86_400 * day for day in days])
            for at, day in read:
                expected = reduce(
                    Interval.before, [one for _, one in await self.history.read("hour", at, at + 86_400)]
                )
                for histogram in (day.dispatch, day.run, expected.dispatch, expected.run):
                    histogram.seconds = round(histogram.seconds, 6)
                self.assertEqual(day, expected)

    async def test_one_node_at_a_time(self) -> None:
        """A sample that another node is taking is left to it."""
        with admin(self.database_url) as other, other.cursor() as cursor:
            other.autocommit = False
            cursor.execute("SELECT pg_advisory_xact_lock(x'636F70696C6F78'::bigint)")
            await self.history.sample()
            self.assertEqual(self.query("SELECT at FROM job_history"), [])

    async def test_what_is_deleted(self) -> None:
        """Minutes after a day, but not before their hours are summed up; hours after 90 days."""
        cleanup = Cleanup(self.database, reactor, max_job_age=3600.0, max_error_age=7200.0, max_audit_age=10800.0)
        self.query(
            "INSERT INTO job_history (resolution, at, node_id) SELECT r, now() - d * interval '1 hour', 'x'"
            " FROM (VALUES ('minute', 1), ('minute', 23), ('minute', 25), ('minute', 27), ('hour', 2159),"
            " ('hour', 2161)) AS rows (r, d)"
        )
        left = "SELECT resolution, round(extract(epoch FROM now() - at) / 3600)::int FROM job_history ORDER BY 1, 2"
        await cleanup.run()
        self.assertEqual(
            self.query(left), [("hour", 2159), ("minute", 1), ("minute", 23), ("minute", 25), ("minute", 27)]
        )
        self.query("INSERT INTO job_history (resolution, at) VALUES ('hour', now() - interval '25 hours')")
        await cleanup.run()
        self.assertEqual([row for row in self.query(left) if row[0] == "minute"][-1], ("minute", 25))
        self.query("INSERT INTO job_history (resolution, at) VALUES ('hour', now())")
        await cleanup.run()
        self.assertEqual([row for row in self.query(left) if row[0] == "minute"][-1], ("minute", 23))

    async def test_what_the_store_publishes(self) -> None:
        """Reports and transitions say how long their attempts ran, from the claim to the end."""
        recorder = Recorder(self.history, "node", lambda: 3, reactor)
        self.bus.subscribe_by_type(recorder.subscriptions)
        done, failed, cancelled = [await self.assigned(path) for path in ("g/1", "g/2", "g/3")]
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '100 seconds'")
        await self.report(done, Started(), Completed({}))
        await self.transitions.apply([failed[:26]], Event.FAILED_FOR_GOOD)
        await self.transitions.apply([cancelled[:26]], Event.CANCELLED)
        await recorder.store()
        minutes = await self.history.read("minute", 0, 2e9)
        [seen] = [each for _, each in minutes if each.completed]
        self.assertEqual((seen.completed, seen.failed, seen.cancelled, seen.crawlers), (1, 1, 1, 3))
        self.assertEqual((sum(seen.ended), sum(seen.run.counts)), (3, 3))
        self.assertApproximates(seen.run.seconds, 300, 30)
