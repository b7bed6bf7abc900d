"""Live events of whole nodes: those of a crawl, and the end of streams with their node."""

import os
from urllib.parse import quote

import psycopg2
from twisted.internet.task import deferLater

from tests.support.crawler import in_reactor, reactor
from tests.support.events import EventReader
from tests.support.server import NodeTestCase, get_json


class NodeTests(NodeTestCase):
    """The feed of a whole node."""

    async def watch(self, port: int, query: str = "", last: str | None = None) -> EventReader:
        """A stream of the node at *port*, behind the event with the id *last*."""
        reader = await EventReader.watch(port, query, **({} if last is None else {"Last-Event-ID": last}))
        self.addCleanup(reader.leave)
        return reader

    def insert(self, count: int) -> list[str]:
        """Jobs that another program inserts one by one."""
        insert = "INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', gen_random_uuid())"
        return [str(self.query(f"{insert} RETURNING id")[0][0]) for _ in range(count)]

    @in_reactor()
    async def test_a_crawl(self) -> None:
        """All events from a crawler's connection to the end of its job arrive in order, with the account."""
        node = await self.node()
        everything = await self.watch(node.port)
        jobs = await self.watch(node.port, "?types=job&account_id=acct&crawler=c1")
        crawler = await self.greeted(node, "c1")
        [job_id] = self.add_jobs(1)
        job = (await crawler.take_job())["id"]
        crawler.heartbeat()
        await crawler.told("job_started", job)
        await crawler.answer(crawler.progress(job, 7))
        await crawler.answer(crawler.complete(job))
        await crawler.hang_up()
        seen = [await jobs.next() for _ in range(5)]
        self.assertEqual(
            [event.data["event"] for event in seen],
            ["claim", "job_started", "job_progress", "job_progress", "job_completed"],
        )
        self.assertEqual({(event.data["id"], event.data["crawler_job_id"]) for event in seen}, {(job_id, job)})
        self.assertEqual(seen[2].data["progress"]["processed"], 7)
        self.assertEqual(seen[3].data["progress"]["finalCounts"], {"issue": 1})
        everyone = await everything.until("left")
        self.assertEqual(
            [event.data["event"] for event in everyone if event.type == "connection"],
            ["opened", "identified", "came", "closed", "left"],
        )
        [beat] = [event for event in everyone if event.type == "heartbeat"]
        self.assertEqual((beat.data["crawler_id"], beat.data["system_status"]), ("c1", "idle"))
        self.assertEqual(everyone[0].type, "snapshot")
        positions = [event.position for event in everyone if event.type != "counts"]
        self.assertEqual(positions, sorted(set(positions)))

    @in_reactor()
    async def test_a_plain_crawler(self) -> None:
        """A crawler has the same name in events of all parts as in lists."""
        node = await self.node()
        name = f"pid {os.getpid()} (uid {os.getuid()})"
        reader = await self.watch(node.port, f"?crawler={quote(name)}")
        crawler = await self.crawler(node)
        self.add_jobs(1)
        job = (await crawler.take_job())["id"]
        crawler.say("job_failed", job, error="no", isRecoverable=True)
        seen = await reader.until("job_failed")
        # Connections are told of by the node, some milliseconds later: only events of one kind are in order.
        for kind, expected in (("connection", ["opened", "came"]), ("job", ["claim", "job_failed"])):
            self.assertEqual([event.data["event"] for event in seen if event.type == kind], expected)
        self.assertEqual({event.data["crawler_id"] for event in seen}, {name})
        self.assertEqual(
            (seen[-1].data["account_id"], seen[-1].data["reason"]), ("acct", "queued again, attempt 2 of 3")
        )
        self.assertEqual(seen[-1].data["failures"], 1)

    @in_reactor()
    async def test_what_is_found(self) -> None:
        """Jobs created by a discovery are published once."""
        node = await self.node()
        reader = await self.watch(node.port, "?status=queued")
        crawler = await self.greeted(node, "c1", entityTypes=["areas"])
        self.add_jobs(1, command="GROUP_PROJECT_DISCOVERY")
        job = (await crawler.take_job())["id"]
        group = {"job_type": "crawl_group", "entity_id": "7", "namespace_path": "g", "entity_name": "G"}
        for _ in range(2):
            await crawler.told("jobs_discovered", job, discovered_jobs=[group])
        await crawler.told("job_failed", job, error="no", isRecoverable=True)
        seen = await reader.until("job_failed")
        self.assertEqual(
            [(event.data["event"], event.data.get("command")) for event in seen[:-1]],
            [
                ("created", "GROUP_PROJECT_DISCOVERY"),
                ("created", "epics"),
                ("created", "group"),
                ("created", "groupMilestones"),
            ],
        )
        self.assertEqual({event.data["account_id"] for event in seen}, {"acct"})

    @in_reactor()
    async def test_gauge(self) -> None:
        """How many streams are open is a metric."""
        node = await self.node()
        await self.watch(node.port)
        value = node.node.metrics.registry.get_sample_value("copilot_event_streams")
        self.assertEqual(value, 1.0)

    @in_reactor()
    async def test_stop(self) -> None:
        """A node that stops does not wait for streams; at the next one they go on behind their last event."""
        first = await self.node()
        reader = await self.watch(first.port, "?types=job")
        created = self.insert(3)
        seen = [await reader.next() for _ in range(2)]
        await first.stop()
        await reader.ended
        created += self.insert(2)
        second = await self.node()
        again = await self.watch(second.port, "?types=job", seen[-1].id)
        seen += [await again.next() for _ in range(3)]
        self.assertEqual([event.data["id"] for event in seen], created)
        self.assertEqual((await get_json(second.port, "/health/live"))[0], 200)

    @in_reactor()
    async def test_failover(self) -> None:
        """After kill -9 of the node that numbers events, its clients miss nothing at another one."""
        dying = self.process()
        await dying.start()
        other = await self.node()
        reader = await self.watch(dying.port, "?types=job")
        created = self.insert(10)
        seen = [await reader.next() for _ in range(5)]
        created += self.insert(5)
        await dying.kill()
        created += self.insert(5)
        again = await self.watch(other.port, "?types=job", seen[-1].id)
        while len(seen) < len(created):
            seen.append(await again.next())
        self.assertEqual([event.data["id"] for event in seen], created)
        self.assertEqual({event.type for event in seen}, {"job"})

    @in_reactor()
    async def test_delayed_commit(self) -> None:
        """A change that is committed two seconds late is sent then; those in between do not wait for it."""
        node = await self.node()
        reader = await self.watch(node.port, "?types=job")
        with psycopg2.connect(self.database_url) as late, late.cursor() as cursor:
            insert = "INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'epics', 'late')"
            cursor.execute(f"{insert} RETURNING id")
            [(delayed,)] = cursor.fetchall()
            between = self.insert(3)
            self.assertEqual([(await reader.next()).data["id"] for _ in between], between)
            await deferLater(reactor, 2.0)
            late.commit()
        after = self.insert(1)
        self.assertEqual([(await reader.next()).data["id"] for _ in range(2)], [delayed, *after])

    @in_reactor()
    async def test_all_nodes(self) -> None:
        """A stream has what every node does, once, with the same ids."""
        nodes = await self.node(), await self.node()
        readers = [await self.watch(node.port, "?types=job") for node in nodes]
        crawlers = [await self.greeted(node, f"c{number}") for number, node in enumerate(nodes)]
        self.add_jobs(2)
        for crawler in crawlers:
            job = (await crawler.take_job())["id"]
            await crawler.answer(crawler.complete(job))
        here, there = [[await reader.next() for _ in range(8)] for reader in readers]
        self.assertEqual(here, there)
        self.assertEqual({event.data.get("crawler_id") for event in here}, {None, "c0", "c1"})
