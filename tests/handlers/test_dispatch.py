"""Dispatch: turns of accounts, a plain crawler's next job, room, and requests that must not get lost."""

import json

from copilot_socket import periodic
from copilot_socket.core.jobs import Event, Loss
from copilot_socket.handlers import messages
from copilot_socket.handlers.dispatch import planner as planner_module
from copilot_socket.node import Node
from tests.handlers.support import PROGRESS, Crawler, NodeTestCase
from tests.support.crawler import until
from tests.support.locks import until_waiting
from tests.support.postgres import admin


class TurnTests(NodeTestCase):
    """Turns of accounts."""

    async def in_turn(self, crawler: Crawler, jobs: int) -> str:
        """The first letters of the paths of the next jobs, requested one by one."""
        paths = []
        for _ in range(jobs):
            crawler.say("job_request")
            job = await crawler.job()
            paths.append(job["fullPath"] or "")
            crawler.say("job_completed", job["id"], success=True, finalCounts={})
        return "".join(path[:1] for path in paths)

    async def test_accounts_take_turns(self) -> None:
        """A single job of a new account is next, whatever the others have queued and however high its priority is."""
        self.add_account("b")
        self.add_account("new")
        self.add_jobs(*(f"a{n}" for n in range(30)), priority=9)
        self.add_jobs(*(f"b{n}" for n in range(3)), account_id="b")
        await self.node()
        crawler = await self.crawler(maxJobs=1)
        first = await self.in_turn(crawler, 4)
        self.assertIn(first, ("abab", "baba"))
        self.add_jobs("new", account_id="new", priority=-9)
        self.assertEqual((await self.in_turn(crawler, 1)), "n")
        self.assertEqual(sorted(await self.in_turn(crawler, 2)), ["a", "b"])
        self.assertEqual(await self.in_turn(crawler, 3), "aaa")

    async def test_by_weight(self) -> None:
        """An account with weight 3 gets three jobs for another's one."""
        self.add_account("heavy", weight=3)
        self.add_jobs(*(f"a{n}" for n in range(9)))
        self.add_jobs(*(f"h{n}" for n in range(9)), account_id="heavy")
        await self.node()
        crawler = await self.crawler(maxJobs=1)
        self.assertEqual(sorted(await self.in_turn(crawler, 8)), list("aahhhhhh"))

    async def test_turns_go_on(self) -> None:
        """Turns do not start again when all lanes are read while no request is pending."""
        for name in "bcd":
            self.add_account(name)
            self.add_jobs(*(f"{name}{n}" for n in range(9)), account_id=name)
        self.add_jobs(*(f"a{n}" for n in range(9)))
        node = await self.node()
        crawler = await self.crawler(maxJobs=1)
        served = ""
        for _ in range(8):
            served += await self.in_turn(crawler, 1)
            await node.dispatcher.read_lanes()
        self.assertEqual(sorted(served), list("aabbccdd"))

    async def test_discoveries_first(self) -> None:
        """Within an account, then by priority."""
        self.add_jobs("i", priority=9)
        self.add_jobs("c", command="commits", priority=10)
        self.add_jobs("d", command="GROUP_PROJECT_DISCOVERY", priority=-9)
        await self.node()
        self.assertEqual(await self.in_turn(await self.crawler(maxJobs=1), 3), "dci")


class PlainTests(NodeTestCase):
    """A plain crawler's report of an end is its next request."""

    async def plain(self) -> Crawler:
        """A plain crawler that sends messages without delimiters."""
        return await self.connect(delimiter=b"")

    async def test_the_next_job_follows(self) -> None:
        """Jobs are pushed one at a time, on one request, over the connection of the last job's end."""
        await self.node()
        self.add_jobs(*(f"g/{n}" for n in range(6)))
        crawler, sibling = await self.plain(), await self.plain()
        crawler.say("job_request")
        paths, given_to = [], crawler
        for reporting in (crawler, sibling, crawler, sibling, crawler, sibling):
            job = await given_to.job()
            paths.append(job["fullPath"])
            reporting.say("job_started", job["id"])
            reporting.say("job_completed", job["id"], success=True, finalCounts={})
            given_to = reporting
        self.assertEqual(paths, [f"g/{n}" for n in range(6)])
        await until(lambda: self.query("SELECT DISTINCT status FROM jobs") == [("completed",)])
        self.assertEqual(len(crawler.of_type("job_response")) + len(sibling.of_type("job_response")), 6)

    async def test_after_a_failure(self) -> None:
        """Any end is a request; a job that is queued later is pushed."""
        await self.node()
        [job] = self.add_jobs("g/1")
        crawler = await self.plain()
        crawler.say("job_request")
        first = await crawler.job()
        crawler.say("job_failed", first["id"], error="no", isRecoverable=False)
        await self.becomes(job, "failed")
        self.add_jobs("g/2")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")

    async def test_an_attempt_that_was_ended_here(self) -> None:
        """It may still run a cancelled job: it gets no other one before it has reported the end."""
        node = await self.node()
        crawler, job = await self.cancelled(node)
        await self.quiet(crawler)
        crawler.say("job_completed", job, success=True, finalCounts={})
        self.assertEqual((await crawler.error())["code"], "stale_assignment")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")

    async def test_a_reconnect_does_not_end_it(self) -> None:
        """An attempt that was ended here may still run after its crawler has reconnected."""
        node = await self.node()
        crawler, job = await self.cancelled(node)
        await crawler.leave()
        await until(lambda: not node.factory.connections)
        again = await self.plain()
        self.assertEqual(await again.ask(), [])
        again.say("job_completed", job, success=True, finalCounts={})
        self.assertEqual((await again.job())["fullPath"], "g/2")

    async def test_an_idle_poll(self) -> None:
        """Nor before a request shows that it runs nothing."""
        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        node = await self.node()
        crawler, job = await self.cancelled(node)
        crawler.say("job_progress", job, **PROGRESS)
        self.assertEqual((await crawler.error())["code"], "stale_assignment")
        self.assertEqual(await crawler.ask(), [])
        self.assertEqual([each["fullPath"] for each in await crawler.ask()], ["g/2"])

    async def cancelled(self, node: Node) -> tuple[Crawler, str]:
        """A plain crawler, and the assignment that was cancelled while it was at work; another job waits."""
        self.add_jobs("g/1")
        crawler = await self.plain()
        crawler.say("job_request")
        job = str((await crawler.job())["id"])
        crawler.say("job_started", job)
        await self.becomes(job, "running")
        await node.transitions.apply([job.partition(".")[0]], Event.CANCELLED)
        await until(lambda: any(each.fenced for each in node.registry), "the node has fenced it")
        self.add_jobs("g/2")
        return crawler, job


class RoomTests(NodeTestCase):
    """Room."""

    async def test_the_server_s_limit(self) -> None:
        """maxJobs is limited to SOCKET_MAX_JOBS_LIMIT, and welcome announces the result."""
        await self.node(SOCKET_MAX_JOBS_LIMIT=3)
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        crawler = await self.connect()
        crawler.say("hello", crawlerId="greedy", maxJobs=10_000)
        self.assertEqual((await crawler.expect("welcome"))["data"]["maxConcurrentJobs"], 3)
        self.assertEqual(len(await crawler.ask()), 3)

    async def test_two_nodes(self) -> None:
        """A crawler without room at one node gets no job from another."""
        first, second = await self.node(), await self.node()
        self.add_jobs("g/1", "g/2")
        one = await self.crawler("c", first, maxJobs=1)
        [job] = await one.ask()
        one.say("job_started", job["id"], id="s")
        self.assertEqual(await one.acked(), "s")
        other = await self.crawler("c", second, maxJobs=1)
        self.assertEqual(await other.ask(), [])
        one.say("job_completed", job["id"], id="e", success=True, finalCounts={})
        self.assertEqual(await one.acked(), "e")
        other.say("job_request")  # the next claim may be immediate or delayed
        self.assertEqual((await other.job())["fullPath"], "g/2")

    async def test_what_it_takes_over(self) -> None:
        """A crawler that adopts another's job and requests jobs in the same write does not exceed its room."""
        await self.node()
        gone, job = await self.working(path="g/1", name="gone")
        await gone.leave()
        leases = "SELECT bool_and(lease_expires_at <= now()) FROM crawlers"
        await until(lambda: self.query(leases) == [(True,)])
        self.add_jobs("g/2", "g/3")
        for kind, data, held in (("job_started", {}, 1), ("job_completed", {"success": True, "finalCounts": {}}, 1)):
            crawler = await self.crawler(kind, maxJobs=1)
            crawler.raw(crawler.form(kind, job, **data) + crawler.form("job_request"))
            await crawler.answered()
            live = "SELECT count(*) FROM job_assignments WHERE completed_at IS NULL AND crawler_key = %s"
            self.assertEqual(self.query(live, f"hello:{kind}"), [(held,)])
            await crawler.leave()
            await until(lambda: self.query(leases) == [(True,)])

    async def test_the_next_with_the_end(self) -> None:
        """A crawler that reports an end and requests work in one write gets the next job in that transaction."""
        await self.node()
        self.add_jobs("g/1", "g/2")
        crawler = await self.crawler(maxJobs=1)
        [job] = await crawler.ask()
        crawler.raw(
            crawler.form("job_completed", job["id"], success=True, finalCounts={}) + crawler.form("job_request")
        )
        self.assertEqual((await crawler.job())["fullPath"], "g/2")
        rows = self.query(
            "SELECT (SELECT finished_at FROM jobs WHERE status = 'completed') = assigned_at"
            " FROM job_assignments WHERE completed_at IS NULL"
        )
        self.assertEqual(rows, [(True,)])


class RequestTests(NodeTestCase):
    """Requests stay pending in spite of locks, other nodes and slow reads."""

    async def test_a_hello_elsewhere(self) -> None:
        """Jobs are pushed over the connection of the last request."""
        first, second = await self.node(), await self.node()
        asked = await self.crawler("c", first)
        self.assertEqual(await asked.ask(), [])
        silent = await self.crawler("c", second)
        self.add_jobs("g/1")
        self.assertEqual((await asked.job())["fullPath"], "g/1")
        await self.quiet(silent)

    async def test_it_asks_elsewhere(self) -> None:
        """The last request counts."""
        first, second = await self.node(), await self.node()
        one, other = await self.crawler("c", first), await self.crawler("c", second)
        self.assertEqual(await one.ask(), [])
        self.assertEqual(await other.ask(), [])
        self.add_jobs("g/1")
        self.assertEqual((await other.job())["fullPath"], "g/1")
        await self.quiet(one)

    async def test_its_row_is_locked(self) -> None:
        """While another transaction locks the crawler's row its request waits, without an empty answer."""
        await self.node()
        crawler = await self.crawler()
        self.add_jobs("g/1")
        self.patch(planner_module, "PATIENCE", 60.0)
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM crawlers FOR UPDATE")
            crawler.say("job_request")
            await self.quiet(crawler)
            cursor.execute("COMMIT")
        self.assertEqual([job["fullPath"] for job in await crawler.answered()], ["g/1"])

    async def test_not_forgotten_before_it_is_taken_over(self) -> None:
        """A request of a crawler that another node serves is kept until this node takes it over."""
        first, second = await self.node(), await self.node()
        self.assertEqual(await (await self.crawler("c", first)).ask(), [])
        other = await self.crawler("c", second)
        self.add_jobs("g/1")
        self.patch(planner_module, "PATIENCE", 60.0)
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE jobs SET status = 'paused'; BEGIN; SELECT FROM crawlers FOR UPDATE")
            other.say("job_request")
            await until(lambda: second.dispatcher.pending_requests == 1, "it waits")
            await second.dispatcher.look_after()
            self.assertEqual(second.dispatcher.pending_requests, 1)
            cursor.execute("COMMIT")
        await until(lambda: not second.dispatcher._requests.taking_over, "it is served here")

    async def test_behind_jobs_that_are_locked(self) -> None:
        """A job behind any number of locked ones of the account is found soon."""
        await self.node()
        crawler = await self.crawler(maxJobs=1)
        self.add_jobs(*(f"g/{n}" for n in range(20)))
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM jobs ORDER BY id LIMIT 19 FOR UPDATE")
            crawler.say("job_request")
            self.assertEqual((await crawler.job())["fullPath"], "g/19")
            cursor.execute("COMMIT")

    async def test_jobs_that_are_locked(self) -> None:
        """An account whose jobs are locked does not block jobs of other accounts."""
        self.patch(planner_module, "PATIENCE", 0.0)
        await self.node()
        self.add_account("other")
        crawler = await self.crawler(maxJobs=1)
        self.add_jobs("g/locked")
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM jobs FOR UPDATE")
            self.assertEqual(await crawler.ask(), [])
            self.add_jobs("g/free", account_id="other")
            job = await crawler.job()
            self.assertEqual(job["fullPath"], "g/free")
            crawler.say("job_completed", job["id"], success=True, finalCounts={})
            crawler.say("job_request")
            cursor.execute("COMMIT")
        self.assertEqual((await crawler.job())["fullPath"], "g/locked")

    async def test_not_for_ever(self) -> None:
        """After some time the request is answered as empty, and the job is pushed later."""
        await self.node()
        crawler = await self.crawler()
        self.add_jobs("g/1")
        self.patch(planner_module, "PATIENCE", 0.0)
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM crawlers FOR UPDATE")
            self.assertEqual(await crawler.ask(), [])
            cursor.execute("COMMIT")
        self.assertEqual((await crawler.job())["fullPath"], "g/1")

    async def test_an_end_meanwhile(self) -> None:
        """A job whose end is reported while unreported jobs are read is not sent again."""
        await self.node()
        crawler, job = await self.working(maxJobs=1)
        await crawler.leave()
        self.add_jobs("g/next")
        again = await self.crawler(maxJobs=1)
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM job_assignments FOR UPDATE")
            again.say("job_request")
            await until_waiting(self)  # the look-up
            again.say("job_completed", job, id="e", success=True, finalCounts={})
            await until_waiting(self, 2)  # and the end
            cursor.execute("COMMIT")
        self.assertEqual((await again.job())["fullPath"], "g/next")

    async def test_the_work_went_to_others(self) -> None:
        """A request for which there was work when it came is answered, also if others were faster."""
        self.patch(planner_module, "PATIENCE", 1.5)
        await self.node()
        self.add_jobs("g/1", "g/2")
        waiting = []
        for number, types in enumerate((["issue"], ["issue", "commit"], ["issue", "branch"])):
            crawler = await self.crawler(f"c{number}", maxJobs=1, entityTypes=types)
            waiting.append(crawler)
        for crawler in waiting:
            crawler.say("job_request")
        self.assertEqual(sorted([len(await crawler.answered()) for crawler in waiting]), [0, 1, 1])

    async def test_overdue(self) -> None:
        """A request is answered soon, whatever keeps it from being planned; it waits for jobs all the same."""
        self.patch(planner_module, "PATIENCE", 0.0)
        node = await self.node()
        crawler = await self.crawler()
        node.dispatcher.planner.unknown_outcome.add("hello:one")
        self.add_jobs("g/1")
        self.assertEqual(await crawler.ask(), [])
        node.dispatcher.planner.unknown_outcome.clear()
        node.dispatcher.wake()
        self.assertEqual((await crawler.job())["fullPath"], "g/1")

    async def test_other_types_than_before(self) -> None:
        """A pending request follows what its crawler accepts by a later hello."""
        await self.node()
        crawler = await self.crawler(entityTypes=["issue"])
        self.assertEqual(await crawler.ask(), [])
        await self.crawler(entityTypes=["commit"])
        self.add_jobs("g/1")
        await self.quiet(crawler)
        self.add_jobs("g/2", command="commits")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")

    async def test_not_what_is_being_released(self) -> None:
        """What is on its way back to the queue is not read back as a claim that its crawler never got."""
        node = await self.node()
        crawler, job = await self.working()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM job_assignments FOR UPDATE")
            link = node.registry.get("hello:one")
            assert link is not None
            node.presence.background(node.presence.release(link, [job], Loss.WITHOUT_IT))
            await node.dispatcher.look_after()
            cursor.execute("COMMIT")
        await self.becomes(job, "queued")
        self.assertEqual(crawler.jobs(), [job])


class LaneTests(NodeTestCase):
    """Lanes."""

    async def test_notifications_name_lanes(self) -> None:
        """Lanes are read in pages, and only those with jobs that are due."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " SELECT repeat('é', 100) || n, 'gitlab-onprem', 'http://g', 't' FROM generate_series(1, 99) n"
        )
        with admin(self.database_url) as listening:
            listening.cursor().execute("LISTEN copilot_jobs")
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, scheduled_at)"
                " SELECT id, c, 'p', CASE c WHEN 'epics' THEN '2100-01-01' ELSE now() END"
                " FROM accounts, unnest('{issues,epics}'::text[]) c"
            )
            await until(
                lambda: (
                    listening.poll() or sum(notice.payload.count("[") - 1 for notice in listening.notifies) == 100
                ),
                "they are announced",
            )
            payloads = [notice.payload for notice in listening.notifies]
        self.assertTrue(len(payloads) > 1 and all(len(payload.encode()) < 8000 for payload in payloads))
        lanes = [tuple(lane) for payload in payloads for lane in json.loads(payload)]
        self.assertCountEqual(lanes, self.query("SELECT account_id, command FROM jobs WHERE ready"))

    async def test_found_by_another_node(self) -> None:
        """A job that another node finds due, or repairs, is sent at once where a crawler waits."""
        self.patch(periodic, "LANES", 3600.0)
        first, second = await self.node(), await self.node()
        crawler = await self.crawler(node=first)
        for path, spoilt, task in (
            ("g/due", "scheduled_at = now()", "poll"),
            ("g/held", "scheduled_at = now(), status = 'running'", "cleanup"),
        ):
            self.assertEqual(await crawler.ask(), [])
            [job] = self.add_jobs(path, scheduled_at="2100-01-01")
            self.query(f"UPDATE jobs SET {spoilt} WHERE id = %s", job)
            await second.timers.run_once(task)
            given = await crawler.job()
            self.assertEqual(given["fullPath"], path)
            crawler.complete(given["id"])

    async def test_whatever_is_announced(self) -> None:
        """A notification that names no lanes makes the node read all of them."""
        self.patch(periodic, "LANES", 3600.0)
        await self.node()
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        self.query("ALTER TABLE jobs DISABLE TRIGGER jobs_announce")
        self.query("INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/p')")
        for payload in ("", "]", "[1]", '{"a": 1}', '[["acct"]]', "[[1, 2, 3]]"):
            self.query("SELECT pg_notify('copilot_jobs', %s)", payload)
        self.assertEqual((await crawler.job())["fullPath"], "g/p")

    async def test_renewed_leases_lose_nothing(self) -> None:
        """A job that has just been claimed is not sent twice by the periodic read-back of claims."""
        node = await self.node()
        self.add_jobs(*(f"g/{n}" for n in range(40)))
        crawler = await self.crawler(maxJobs=1)
        for _ in range(40):
            crawler.say("job_request")
            job = await crawler.job()
            await node.dispatcher.look_after()
            crawler.say("job_completed", job["id"], success=True, finalCounts={})
        await until(lambda: self.query("SELECT DISTINCT status FROM jobs") == [("completed",)])
        self.assertEqual(self.query("SELECT DISTINCT tries FROM jobs"), [(1,)])
        self.assertEqual(len(crawler.jobs()), 40)
