"""Messages that depend on what their crawler holds wait until that is known, in order."""

from collections.abc import Callable
from typing import Any

from psycopg2 import OperationalError
from twisted.internet.defer import Deferred

from copilot_socket.handlers.crawlers import Held
from copilot_socket.store.faults import DatabaseAway
from tests.handlers.support import ALIVE, Crawler, NodeTestCase
from tests.support.crawler import until
from tests.support.postgres import admin


def areas(*paths: str) -> dict[str, Any]:
    """The data of a discovery."""
    return {"entityType": "group", "entities": [{"id": 1, "name": "n", "path": path} for path in paths]}


def failing(work: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """*work*, which fails with *error* the first two times."""
    left = [error, error]

    async def attempt(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return await work(*arguments)

    return attempt


class ArrivalTestCase(NodeTestCase):
    """Crawlers that come back, and areas."""

    def found(self) -> list[str]:
        """The paths of all stored areas."""
        return [path for (path,) in self.query("SELECT full_path FROM areas ORDER BY 1")]

    async def finds(self, *paths: str) -> None:
        """Wait until these are recorded."""
        await until(lambda: self.found() == sorted(paths), f"areas {paths}")

    async def left(self, *, name: str | None = None, jobs: int = 1) -> list[str]:
        """A crawler, plain unless it has a *name*, was given jobs, reported on them, and has gone."""
        crawler = await self.connect() if name is None else await self.crawler(name, maxJobs=jobs)
        self.add_jobs(*[f"g/{number}" for number in range(jobs)])
        given = [str(job["id"]) for job in await crawler.ask()]
        for job in given:
            crawler.say("job_started", job)
            await self.becomes(job, "running")
        await crawler.leave()
        await until(lambda: not self.nodes[0].factory.connections)
        return given


class DiscoveryTests(ArrivalTestCase):
    """``discovery`` without a jobId belongs to the only job that its crawler holds."""

    async def test_a_plain_crawler_comes_back(self) -> None:
        """In the first message of a new connection it belongs to the job held before."""
        await self.node()
        await self.left()
        (await self.connect()).say("discovery", **areas("a"))
        await self.finds("a")

    async def test_after_hello(self) -> None:
        """The same in one write with the hello, and with the job's end behind it."""
        await self.node()
        [job] = await self.left(name="one")
        again = await self.connect()
        again.raw(
            again.form("hello", crawlerId="one", capabilities=["ack"])
            + again.form("discovery", id="d", **areas("a"))
            + again.form("job_completed", job, id="c", success=True, finalCounts={})
            + again.form("heartbeat", id="h", **ALIVE)
        )
        self.assertEqual((await again.next())["type"], "welcome")
        self.assertEqual([await again.acked() for _ in range(3)], ["d", "c", "h"])
        self.assertEqual((self.found(), self.status(job)), (["a"], "completed"))

    async def test_one_of_two_has_ended(self) -> None:
        """Behind the end of one of two jobs in the same write, it belongs to the other."""
        await self.node()
        crawler = await self.crawler(maxJobs=2)
        self.add_jobs("g/1", "g/2")
        first, second = [job["id"] for job in await crawler.ask()]
        crawler.raw(
            crawler.form("job_completed", first, id="c", success=True, finalCounts={})
            + crawler.form("discovery", id="d", **areas("a"))
        )
        self.assertEqual([await crawler.acked() for _ in range(2)], ["c", "d"])
        self.assertEqual(self.status(second), "assigned")

    async def test_the_only_one_has_ended(self) -> None:
        """Behind the end of its crawler's only job it belongs to none."""
        await self.node()
        crawler, job = await self.working()
        crawler.raw(
            crawler.form("job_completed", job, id="c", success=True, finalCounts={})
            + crawler.form("discovery", id="d", **areas("a"))
        )
        self.assertEqual(await crawler.acked(), "c")
        error = await crawler.error()
        self.assertEqual((error["code"], error["path"], error["ref"]), ("invalid_message", "/jobId", "d"))

    async def test_of_a_job_that_it_takes_over(self) -> None:
        """It belongs to the job that a report in the same write names."""
        await self.node()
        self.each_its_own_process()
        [job] = await self.left()
        successor = await self.connect()
        successor.raw(successor.form("job_started", job) + successor.form("discovery", **areas("a")))
        await self.finds("a")

    async def test_nothing_to_wait_for(self) -> None:
        """It does not wait for reports on the job that its crawler holds, such as a slow discovery."""
        node = await self.node()
        crawler, job = await self.working()
        crawler.say("job_started", job, id="s")
        self.assertEqual(await crawler.acked(), "s")
        [link] = node.factory.connections.values()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE areas")
            for path in ("a", "b"):
                crawler.say("discovery", id=path, **areas(path))
            await until(lambda: link.crawler.pending == 2)
            self.assertFalse(link.held_back)
            cursor.execute("COMMIT")
        self.assertEqual([await crawler.acked() for _ in range(2)], ["a", "b"])


class OrderTests(ArrivalTestCase):
    """While the assignments of a crawler are being read."""

    def hold_up(self) -> "Deferred[None]":
        """From now on such reads wait for the returned Deferred."""
        release: Deferred[None] = Deferred()
        real = self.nodes[0].presence._leases.held_by

        async def held_by(key: str) -> Any:
            if not release.called:
                waits: Deferred[None] = Deferred()
                release.addCallback(waits.callback)
                await waits
            return await real(key)

        self.patch(self.nodes[0].presence._leases, "held_by", held_by)
        return release

    async def test_others_go_on(self) -> None:
        """Its messages wait; those of another crawler don't."""
        await self.node()
        [job] = await self.left(name="one")
        other = await self.crawler("other")
        release = self.hold_up()
        again: Crawler = await self.connect()
        again.raw(
            again.form("hello", crawlerId="one", capabilities=["ack"])
            + again.form("job_progress", job, id="p", stage="fetching", entityType="issue", processed=1)
        )
        await until(lambda: any(link.held_back for link in self.nodes[0].factory.connections.values()))
        await other.sync()
        self.assertEqual((again.unread, self.row(job, "progress")), ([], {}))
        release.callback(None)
        self.assertEqual((await again.next())["type"], "welcome")
        self.assertEqual(await again.acked(), "p")

    async def test_released_by_the_hello_before(self) -> None:
        """A report behind a hello that does not list its job is stale, as in a later write."""
        await self.node()
        [job] = await self.left(name="one")
        again = await self.connect()
        again.raw(
            again.form("hello", crawlerId="one", capabilities=["ack"], assignments=[])
            + again.form("job_completed", job, id="c", success=True, finalCounts={})
        )
        self.assertEqual((await again.next())["type"], "welcome")
        self.assertEqual((await again.error())["code"], "stale_assignment")
        self.assertEqual(self.tries(job), ["released"])

    async def test_two_hellos_at_once(self) -> None:
        """A job that one hello releases is not held because the other has read it before: all are sent again."""
        await self.node()
        await self.left(name="one", jobs=3)
        leases = self.nodes[0].presence._leases
        real, release = leases.held_by, leases.release
        begun: Deferred[None] = Deferred()
        answered: Deferred[None] = Deferred()

        async def held_by(key: str) -> Any:
            rows = await real(key)
            if begun.called:  # the second one's answer comes late
                await answered
            return rows

        async def slow_release(assignments: Any, reason: Any) -> Any:
            begun.callback(None)
            crawler = self.nodes[0].registry.get("hello:one")
            assert crawler is not None
            await until(lambda: bool(crawler.held_lock.waiting), "the second one's read waits")
            answers = await release(assignments, reason)
            answered.callback(None)
            return answers

        self.patch(leases, "held_by", held_by)
        self.patch(leases, "release", slow_release)
        first, second = await self.connect(), await self.connect()
        first.say("hello", crawlerId="one", maxJobs=3, capabilities=["ack"], assignments=[])
        await begun
        second.say("hello", crawlerId="one", maxJobs=3, capabilities=["ack"])
        for crawler in (first, second):
            self.assertEqual((await crawler.next())["type"], "welcome")
        self.assertEqual(len(await second.ask()), 3)

    async def test_a_claim_under_way(self) -> None:
        """What was claimed after the hello came can't be in its list, and stays."""
        node = await self.node()
        first = await self.crawler("one", maxJobs=1)
        self.assertEqual(await first.ask(), [])
        release = self.hold_up()
        second = await self.connect()
        second.say("hello", crawlerId="one", maxJobs=1, capabilities=["ack"], assignments=[])
        crawler = node.registry.get("hello:one")
        assert crawler is not None
        await until(lambda: crawler.arriving)
        [job] = self.add_jobs("g/1")
        self.query("UPDATE jobs SET status = 'assigned', tries = 1")
        self.query(
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, status, try, crawler_key)"
            " VALUES (%s, %s, 'acct', 'assigned', 1, 'hello:one')",
            job,
            f"{job}.1.x",
        )
        crawler.held[f"{job}.1.x"] = Held(None, reported=False, waits=True)
        release.callback(None)
        self.assertEqual((await second.next())["type"], "welcome")
        self.assertEqual((list(crawler.held), self.status(job)), ([f"{job}.1.x"], "assigned"))

    async def test_the_release_fails(self) -> None:
        """A crawler is welcomed once what it no longer holds is released, however often the database fails."""
        await self.node()
        [job] = await self.left(name="one")
        leases = self.nodes[0].presence._leases
        for name in ("held_by", "confirm", "release"):
            self.patch(leases, name, failing(getattr(leases, name), OperationalError("terminating connection")))
        again = await self.connect()
        again.say("hello", crawlerId="one", capabilities=["ack"], assignments=[])
        self.assertEqual((await again.next())["type"], "welcome")
        self.assertEqual((self.status(job), self.tries(job)), ("queued", ["released"]))

    async def test_its_token_is_known_after_a_failure(self) -> None:
        """Also where what a crawler holds could not be read at first."""
        self.query("UPDATE accounts SET access_token = 'a-token-of-no-known-form'")
        await self.node()
        [job] = await self.left(name="one")
        leases = self.nodes[0].presence._leases
        self.patch(leases, "held_by", failing(leases.held_by, OperationalError("canceling statement")))
        again = await self.connect()
        failed = again.form("job_failed", job, error="a-token-of-no-known-form!", isRecoverable=False)
        again.raw(again.form("hello", crawlerId="one") + failed)
        await self.becomes(job, "failed")
        self.assertEqual(self.query("SELECT error_message FROM job_error_log"), [("***!",)])

    async def test_gone_at_once(self) -> None:
        """The report of a crawler that comes back, reports an end and leaves immediately is stored."""
        await self.node()
        [job] = await self.left()
        release = self.hold_up()
        again = await self.connect()
        again.say("job_completed", job, success=True, finalCounts={})
        await again.leave()
        await until(lambda: any(link.held_back for link in self.nodes[0].factory.connections.values()))
        release.callback(None)
        await self.becomes(job, "completed")

    async def test_its_token_is_known(self) -> None:
        """The token of a job is masked in the first report of a crawler that came back, too."""
        self.query("UPDATE accounts SET access_token = 'a-token-of-no-known-form'")
        await self.node()
        for name in (None, "one"):
            [job] = await self.left(name=name)
            again = await self.connect()
            hello = b"" if name is None else again.form("hello", crawlerId=name)
            failed = again.form("job_failed", job, error="a-token-of-no-known-form!", isRecoverable=False)
            again.raw(hello + failed)
            await self.becomes(job, "failed")
            self.assertEqual(self.query("DELETE FROM job_error_log RETURNING error_message"), [("***!",)])
            await again.leave()
            self.query("DELETE FROM jobs")
            await until(lambda: not self.nodes[0].factory.connections)

    async def test_the_database_is_away(self) -> None:
        """The read of a crawler's assignments is repeated, and its messages wait for it."""
        await self.node()
        await self.left()
        real = self.nodes[0].presence._leases.held_by
        failures = [DatabaseAway("gone"), DatabaseAway("gone")]

        async def held_by(key: str) -> Any:
            if failures:
                raise failures.pop()
            return await real(key)

        self.patch(self.nodes[0].presence._leases, "held_by", held_by)
        (await self.connect()).say("discovery", **areas("a"))
        await self.finds("a")
