"""Pauses and limits at nodes: nothing goes out that they keep back, whichever node was asked."""

import itertools
from typing import Any

from twisted.internet.defer import Deferred, succeed

from copilot_socket.core.jobs import Event
from copilot_socket.core.pauses import Scope
from copilot_socket.core.vault import Vault
from copilot_socket.event_bus import PauseChanged
from copilot_socket.handlers.dispatch import planner
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.database import DatabaseAway
from copilot_socket.store.restrictions import NewPause, Restrictions, RestrictionStore
from tests.handlers.support import NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import until

HOST = "http://127.0.0.1:9"


class RestrictionTestCase(NodeTestCase):
    """``await self.pause(...)`` as HTTP does it."""

    def store(self, node: int = 0) -> RestrictionStore:
        """Of a node."""
        return self.nodes[node].restrictions

    async def pause(self, scope: Scope, target: str | None = None, ends_at: str | None = None) -> str:
        """Add a pause, and wait until all nodes act on it; its id."""
        added = await self.store().pause(NewPause(scope, target, None, "me", ends_at), ACT)
        self.assertEqual(await self.acted_on(added.revision), [])
        return str(added.record["id"])

    async def acted_on(self, revision: int, patience: float = 10.0) -> list[str]:
        """The nodes that do not act on the change."""
        return await self.store().acted_on(revision, patience)


class PauseTests(RestrictionTestCase):
    """Of every scope, on two nodes."""

    async def covers(self, scope: Scope, target: str | None, covered: dict[str, Any], free: dict[str, Any]) -> None:
        """Of two jobs only the one that is free goes out at either node; the other does when the pause ends."""
        for _ in range(2):
            await self.node()
        crawlers = [await self.crawler(f"c{number}", node, maxJobs=1) for number, node in enumerate(self.nodes)]
        for crawler in crawlers:
            self.assertEqual(await crawler.ask(), [])
        pause = await self.pause(scope, target)
        for number in range(2):
            self.add_jobs(f"a/b/{number}", **covered)
            self.add_jobs(f"x/{number}", **free)
        sent = [await crawler.job() for crawler in crawlers]
        self.assertEqual(sorted(job["fullPath"] for job in sent), ["x/0", "x/1"])
        for crawler, job in zip(crawlers, sent, strict=True):
            crawler.say("job_completed", job["id"], success=True, finalCounts={})
            self.assertEqual(await crawler.ask(), [])
        self.assertEqual(self.query("SELECT count(*) FROM jobs WHERE status = 'queued'"), [(2,)])
        await self.store(1).end(pause, ACT)
        for node in self.nodes:
            await node.dispatcher.restrictions.mark_slices()
        for crawler in crawlers:
            self.assertTrue((await crawler.job())["fullPath"].startswith("a/b"))

    async def test_accounts(self) -> None:
        """An account's."""
        self.add_account("other")
        await self.covers(Scope.ACCOUNT, "acct", {}, {"account_id": "other"})

    async def test_hosts(self) -> None:
        """All accounts of a host, also those that are new."""
        self.add_account("far", "http://far.test")
        await self.covers(Scope.HOST, HOST, {}, {"account_id": "far"})

    async def test_commands(self) -> None:
        """A command of all accounts."""
        await self.covers(Scope.COMMAND, "commits", {"command": "commits"}, {})

    async def test_paths(self) -> None:
        """All below a path."""
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, name, type)"
            " SELECT gitlab_origin, 'a/b', 'b', 'group' FROM accounts"
        )
        await self.covers(Scope.PATH_PREFIX, "a/b", {}, {})

    async def test_a_path_with_slashes(self) -> None:
        """It is the same path; a job that was not marked when it was inserted is when it is claimed."""
        await self.node()
        self.add_jobs("/acme/done/")
        self.query("UPDATE jobs SET status = 'completed', finished_at = now()")
        pause = await self.pause(Scope.PATH_PREFIX, "acme")
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        self.query("DELETE FROM jobs")
        self.add_jobs("/acme/shop/")
        await until(lambda: self.query("SELECT status, pause_id FROM jobs") == [("queued", pause)], "it is marked")
        await self.quiet(crawler)

    async def test_everything(self) -> None:
        """Nothing goes out; what runs is completed."""
        await self.node()
        crawler, job = await self.working(maxJobs=2)
        pause = await self.pause(Scope.EVERYTHING)
        self.add_jobs("g/2")
        self.assertEqual(await crawler.ask(), [])
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual(await crawler.acked(), "c")
        await self.quiet(crawler)
        await self.store().end(pause, ACT)
        await crawler.job()

    async def test_a_new_account_of_a_paused_host(self) -> None:
        """It is learned of when its first job is claimed, which is given back."""
        await self.node()
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        await self.pause(Scope.HOST, HOST)
        self.add_account("new")
        self.add_jobs("n/1", account_id="new")
        await until(lambda: "new" in self.nodes[0].dispatcher._scheduler._parked, "it is parked")
        given_back = [("queued", 0, 0)]
        await until(
            lambda: self.query("SELECT status, attempts, releases FROM jobs") == given_back, "it is given back"
        )
        await self.quiet(crawler)

    async def test_a_job_that_was_claimed_before(self) -> None:
        """It waits for a token, and is given back when it comes."""
        await self.node()
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        fresh: Deferred[str] = Deferred()

        async def refreshing(_account: str) -> str:
            return await fresh

        tokens = self.nodes[0]._tokens
        self.patch(tokens, "good", lambda _job: False)
        self.patch(tokens, "fresh", refreshing)
        for path, scope, target in (("g/1", Scope.ACCOUNT, "acct"), ("p/1", Scope.PATH_PREFIX, "p")):
            fresh = Deferred()
            [job] = self.add_jobs(path)
            await self.becomes(job, "assigned")
            pause = await self.pause(scope, target)
            fresh.callback("token")
            await self.becomes(job, "queued")
            await self.quiet(crawler)
            self.assertEqual(self.tries(job), ["returned"])
            self.assertEqual(self.row(job, "pause_id"), pause if scope is Scope.PATH_PREFIX else None)
            self.query("DELETE FROM pauses; DELETE FROM jobs")
            self.nodes[0].dispatcher.restrictions.changed()
            await until(lambda: not self.nodes[0].dispatcher.restrictions.pauses)

    async def test_overlapping(self) -> None:
        """What two pauses cover goes out when both have ended, in whatever order; no job is claimed meanwhile."""
        await self.node()
        crawler = await self.crawler(maxJobs=1)
        scopes = ((Scope.ACCOUNT, "acct"), (Scope.HOST, HOST), (Scope.COMMAND, "issues"), (Scope.PATH_PREFIX, "g"))
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, name, type)"
            " SELECT gitlab_origin, 'g', 'g', 'group' FROM accounts"
        )
        for first, second in itertools.permutations(scopes, 2):
            self.query("DELETE FROM job_assignments; DELETE FROM jobs")
            pauses = [await self.pause(*first), await self.pause(*second)]
            self.assertEqual(await crawler.ask(), [])
            [job] = self.add_jobs("g/1")
            for pause in pauses:
                await self.nodes[0].dispatcher.restrictions.mark_slices()
                await self.quiet(crawler)
                self.assertEqual(self.row(job, "tries"), 0, (first, second))
                await self.store().end(pause, ACT)
            await self.nodes[0].dispatcher.restrictions.mark_slices()
            given = await crawler.job()
            crawler.say("job_completed", given["id"], id="c", success=True, finalCounts={})
            self.assertEqual(await crawler.acked(), "c")

    async def test_while_the_database_is_away(self) -> None:
        """A look that fails at once is repeated until one succeeds."""
        node = await self.node()
        restrictions, store = node.dispatcher.restrictions, self.store()
        failures = [DatabaseAway("away")] * 3
        read = store.read

        async def fails_at_first() -> Restrictions:
            if failures:
                raise failures.pop()
            return await read()

        self.patch(store, "read", fails_at_first)
        self.patch(store, "expire", lambda: succeed([]))
        await self.pause(Scope.COMMAND, "commits")
        self.assertEqual(restrictions.pauses.commands, {"commits"})
        self.assertEqual(failures, [])

    async def test_the_end_comes_by_itself(self) -> None:
        """At its time, with an event; jobs go out within moments."""
        node = await self.node()
        events: list[str] = []
        node.bus.subscribe_by_type({PauseChanged: lambda change: events.append(change.event)})
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        soon = str(self.query("SELECT now() + interval '0.3 s'")[0][0])
        await self.pause(Scope.ACCOUNT, "acct", soon)
        self.add_jobs("g/1")
        await crawler.job()
        self.assertEqual(events, ["expired"])
        self.assertEqual(self.query("SELECT count(*) FROM pauses"), [(0,)])

    async def test_a_node_that_starts(self) -> None:
        """It acts on what is in force before it serves anybody."""
        await self.node()
        await self.pause(Scope.ACCOUNT, "acct")
        second = await self.node()
        self.add_jobs("g/1")
        crawler = await self.crawler(node=second)
        self.assertEqual(await crawler.ask(), [])
        await self.quiet(crawler)

    async def test_a_node_that_does_not_answer(self) -> None:
        """The answer names it; one whose lease is over does not count."""
        await self.node()
        self.query("INSERT INTO nodes (id, host, pid, lease_expires_at) VALUES ('gone', 'h', 1, now())")
        await self.pause(Scope.COMMAND, "users")
        self.query("UPDATE nodes SET lease_expires_at = now() + interval '1 min' WHERE id = 'gone'")
        revision = (await self.store().pause(NewPause(Scope.COMMAND, "commits", None, "me", None), ACT)).revision

        async def only_that() -> bool:
            return await self.acted_on(revision, 0.2) == ["gone"]

        await until(only_that, "the other one acts on it")


class PathTests(RestrictionTestCase):
    """Marks of jobs under paused paths."""

    async def test_queued_jobs_are_marked(self) -> None:
        """In slices, those that are not over; jobs beside the path are not."""
        await self.node()
        self.add_jobs(*(f"acme/{number}" for number in range(5)), "acme", "acme2", "z/acme", "acme/done")
        self.query("UPDATE jobs SET status = 'completed' WHERE full_path = 'acme/done'")
        pause = await self.pause(Scope.PATH_PREFIX, "acme")
        slices = 0
        while await self.store().mark(2):
            slices += 1
        self.assertGreaterEqual(slices, 5)
        marked = "SELECT full_path FROM jobs WHERE pause_id = %s AND NOT ready ORDER BY 1"
        self.assertEqual(
            [path for (path,) in self.query(marked, pause)],
            ["acme", "acme/0", "acme/1", "acme/2", "acme/3", "acme/4"],
        )

    async def test_new_jobs_are_marked(self) -> None:
        """As they are inserted."""
        await self.node()
        self.add_jobs("acme/0")
        pause = await self.pause(Scope.PATH_PREFIX, "acme")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'acme/new')")
        new = "SELECT pause_id, ready FROM jobs WHERE full_path = 'acme/new'"
        self.assertEqual(self.query(new), [(pause, False)])

    async def test_one_pause_of_two(self) -> None:
        """A job that another pause covers stays marked until that ends, too; a delayed one waits."""
        node = await self.node()
        self.add_jobs("acme/shop/1", "acme/2")
        self.query("UPDATE jobs SET scheduled_at = now() + interval '1 h' WHERE full_path = 'acme/2'")
        wide = await self.pause(Scope.PATH_PREFIX, "acme")
        await node.dispatcher.restrictions.mark_slices()
        narrow = await self.pause(Scope.PATH_PREFIX, "acme/shop")
        rows = "SELECT full_path, pause_id, ready FROM jobs ORDER BY 1"
        await self.store().end(wide, ACT)
        await node.dispatcher.restrictions.mark_slices()
        self.assertEqual(self.query(rows), [("acme/2", None, False), ("acme/shop/1", narrow, False)])
        await self.store().end(narrow, ACT)
        await node.dispatcher.restrictions.mark_slices()
        self.assertEqual(self.query(rows), [("acme/2", None, False), ("acme/shop/1", None, True)])

    async def test_a_marked_job_stays_so(self) -> None:
        """Whatever becomes of it: it runs on, fails, is due again, is retried."""
        node = await self.node()
        crawler, assignment = await self.working("acme/1")
        await self.pause(Scope.PATH_PREFIX, "acme")
        await node.dispatcher.restrictions.mark_slices()
        await crawler.fail(assignment)
        await node._due.look()
        self.assertEqual(await crawler.ask(), [])
        job = assignment.partition(".")[0]
        self.assertEqual(self.row(job, "status", "ready"), ("queued", False))
        await node.transitions.apply([job], Event.CANCELLED)
        await node.transitions.apply([job], Event.RETRIED)
        await self.quiet(crawler)
        self.assertEqual(self.row(job, "status", "ready"), ("queued", False))


class LimitTests(RestrictionTestCase):
    """Limits of running jobs, on two nodes."""

    async def limit(self, scope: Scope, target: str, most: int | None) -> None:
        """Set it, and wait until all nodes act on it."""
        if scope is Scope.HOST:
            revision = await self.store().limit_host(target, most, ACT)
        else:
            accounts = Accounts(self.nodes[0].database, Vault(), self.nodes[0].transitions)
            revision = await accounts.change(target, {"max_running": most}, ACT)
        assert revision is not None
        self.assertEqual(await self.acted_on(revision), [])

    def running(self) -> int:
        """How many jobs run."""
        return int(self.query("SELECT count(*) FROM jobs WHERE status IN ('assigned', 'running')")[0][0])

    async def test_on_two_nodes(self) -> None:
        """Two jobs run at a time, whatever is asked for; each end makes room at once, at any node."""
        for _ in range(2):
            await self.node()
        for scope, target in ((Scope.ACCOUNT, "acct"), (Scope.HOST, HOST)):
            await self.limit(scope, target, 2)
            crawlers = [await self.crawler(f"c{number}", node, maxJobs=3) for number, node in enumerate(self.nodes)]
            self.add_jobs(*(f"{scope}/{number}" for number in range(8)))
            for crawler in crawlers:
                crawler.say("job_request")
            done = 0
            while done < 8:
                await until(lambda: self.running() == min(2, 8 - done), "it is full")  # noqa: B023
                await until(lambda: any(each.unread for each in crawlers), "a job is sent")  # noqa: B023
                for crawler in crawlers:
                    for message in crawler.unread:
                        crawler.forget()
                        for job in message["data"].get("jobs", ()):
                            self.assertLessEqual(self.running(), 2)
                            crawler.say("job_completed", job["id"], success=True, finalCounts={})
                            crawler.say("job_request")
                            done += 1
            for crawler in crawlers:
                await crawler.leave()
            await self.limit(scope, target, None)

    async def test_accounts_of_a_full_host(self) -> None:
        """They take turns in what room there is, and do not hold up other hosts."""
        self.patch(planner, "FULL_AGAIN", 60.0)  # only ends make room, however long a round takes
        await self.node()
        for account, url in (("two", HOST), ("far", "http://far.test")):
            self.add_account(account, url)
        await self.limit(Scope.HOST, HOST, 1)
        crawler = await self.crawler(maxJobs=9)
        for account in ("acct", "two", "far"):
            self.add_jobs(*(f"{account}/{number}" for number in range(6)), account_id=account)
        sent: list[str] = []
        held: dict[str, str] = {}
        while len(sent) < 18:
            crawler.say("job_request", limit=2)
            await until(lambda: crawler.unread, "jobs are sent")
            for message in crawler.unread:
                for job in message["data"].get("jobs", ()):
                    sent.append(job["fullPath"])
                    held[job["id"]] = job["fullPath"]
            crawler.forget()
            self.assertLessEqual(sum(not path.startswith("far") for path in held.values()), 1)
            for job in list(held):
                crawler.say("job_completed", job, success=True, finalCounts={})
                await self.becomes(job, "completed")
                del held[job]
        limited = "".join(path[0] for path in sent if not path.startswith("far"))
        self.assertIn(limited, ("at" * 6, "ta" * 6))

    async def test_beside_failures(self) -> None:
        """Claims under limits are made, too, where each batch has something else to store."""
        await self.node()
        await self.limit(Scope.ACCOUNT, "acct", 1)
        crawler = await self.crawler(maxJobs=1)
        for number in range(5):
            self.add_jobs(f"g/{number}")
        for number in range(5):
            crawler.say("job_request")
            job = await crawler.job()
            self.assertEqual(job["fullPath"], f"g/{number}")
            crawler.say("job_failed", job["id"], error="no", isRecoverable=False)

    async def test_others_go_on(self) -> None:
        """An account that has reached its limit does not hold up another one."""
        await self.node()
        self.add_account("other")
        await self.limit(Scope.ACCOUNT, "acct", 1)
        crawler = await self.crawler(maxJobs=5)
        self.add_jobs("g/1", "g/2", "g/3")
        self.assertEqual(len(await crawler.ask()), 1)
        crawler.say("job_request")
        self.add_jobs("o/1", account_id="other")
        self.assertEqual((await crawler.job())["fullPath"], "o/1")
