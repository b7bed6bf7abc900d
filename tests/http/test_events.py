"""Live events: rendering, filters, how streams end, and that no client can harm the node."""

import re

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import (
    ON_DEMAND,
    BudgetChanged,
    ConnectionChanged,
    CrawlerChanged,
    EventBus,
    HeartbeatHeard,
    HostChanged,
    JobChanged,
    JobCreated,
    JobProgressed,
    JobSent,
    JobsReported,
    PauseChanged,
    TokenRefreshed,
)
from copilot_socket.http import feed as feed_module
from copilot_socket.http.events import KINDS, Filters, Renderer
from copilot_socket.http.feed import GREETING, KEEP_ALIVE, MAX_STALLED, MAX_WAITING, Feed, Stream
from tests.http.harness import SiteTestCase, Turns
from tests.support.crawler import until
from tests.support.events import EventReader

EVENTS = "/api/v1/events"
STATE_EVENTS = {
    "created": JobCreated("J1", "acme", "issues", "g/p"),
    "sent": JobSent("J1", "J1.1.x", "c1", 0.1, "acme", "issues", "g/p"),
    "running": JobsReported("running", "job_started", [("J1.1.x", "hello:c1", "acme")]),
    "progress": JobProgressed("J1", "J1.1.x", "hello:c1", "acme", {"processed": 3}),
    "failed": JobChanged(
        "J2", "failed", "job_failed", "J2.1.x", "hello:c2", "broke", "failed", "other", fingerprint="5f1c"
    ),
    "opened": ConnectionChanged("k1", "c1", "opened"),
    "closed": ConnectionChanged("k1", "c1", "closed", "bye"),
    "silent": CrawlerChanged("c2", "fell silent"),
    "beat": HeartbeatHeard("k1", "c1", "idle", {"activeJobs": 1, "uptime": None}),
    "refused": TokenRefreshed("acme", "refused"),
    "held": HostChanged("https://gitlab.test", "held"),
    "paused": PauseChanged("P1", "added", "account", "acme", "ann"),
    "throttled": BudgetChanged("https://gitlab.test", "acme", None, "throttled", 3, 1767225600.0),
}


def name_of(key: str) -> str:
    """As the registry has it."""
    return key.removeprefix("hello:")


class RenderingTests(SynchronousTestCase):
    """Rendering of state events."""

    def test_each_kind(self) -> None:
        """Data has the names of columns, and nothing that does not apply."""
        render = Renderer(name_of)
        job = {"id": "J1", "crawler_job_id": "J1.1.x", "crawler_id": "c1", "account_id": "acme"}
        work = {"account_id": "acme", "command": "issues", "full_path": "g/p"}
        expected = {
            "created": ("job", {"id": "J1", "event": "created", "status": "queued", **work}),
            "sent": ("job", {**job, **work, "event": "sent", "status": "assigned"}),
            "running": ("job", {**job, "event": "job_started", "status": "running"}),
            "progress": ("job", {**job, "event": "job_progress", "progress": {"processed": 3}}),
            "failed": (
                "job",
                {
                    "id": "J2",
                    "event": "job_failed",
                    "status": "failed",
                    "crawler_job_id": "J2.1.x",
                    "crawler_id": "c2",
                    "account_id": "other",
                    "outcome": "failed",
                    "reason": "broke",
                    "error": "5f1c",
                },
            ),
            "opened": ("connection", {"id": "k1", "crawler_id": "c1", "event": "opened", "is_active": True}),
            "closed": (
                "connection",
                {"id": "k1", "crawler_id": "c1", "event": "closed", "is_active": False, "reason": "bye"},
            ),
            "silent": ("connection", {"crawler_id": "c2", "event": "fell silent"}),
            "beat": (
                "heartbeat",
                {"id": "k1", "crawler_id": "c1", "system_status": "idle", "metadata": {"activeJobs": 1}},
            ),
            "refused": ("account", {"account_id": "acme", "event": "refused"}),
            "held": ("host", {"gitlab_origin": "https://gitlab.test", "event": "held"}),
            "paused": (
                "pause",
                {"id": "P1", "event": "added", "scope": "account", "target": "acme", "author": "ann"},
            ),
            "throttled": (
                "budget",
                {
                    "gitlab_origin": "https://gitlab.test",
                    "account_id": "acme",
                    "event": "throttled",
                    "jobs_allowed": 3,
                    "until": "2026-01-01T00:00:00Z",
                },
            ),
        }
        for name, change in STATE_EVENTS.items():
            [event] = render(change)
            self.assertEqual((event.type, event.data), expected[name], name)

    def test_jobs_reported_together(self) -> None:
        """They are an event each."""
        tries = [("J1.1.x", "hello:c1", "acme"), ("J2.3.x", "hello:c2", "other")]
        events = Renderer(name_of)(JobsReported("completed", "job_completed", tries, "completed"))
        self.assertEqual([event.data["id"] for event in events], ["J1", "J2"])
        self.assertEqual(events[1].data["crawler_id"], "c2")
        self.assertEqual({event.data["outcome"] for event in events}, {"completed"})

    def test_every_kind_is_rendered(self) -> None:
        """Every kind that a stream may subscribe to is rendered; every on-demand kind is used by streams."""
        kinds = frozenset().union(*KINDS.values())
        self.assertEqual({type(change) for change in STATE_EVENTS.values()}, kinds)
        self.assertLessEqual(ON_DEMAND, kinds)

    def test_filters(self) -> None:
        """All filters must match; events without a filtered field are not sent, their state events not subscribed."""
        jobs = {"created", "sent", "running", "progress", "failed"}
        for wanted, expected in (
            (Filters(), set(STATE_EVENTS)),
            (Filters(types=frozenset({"job"})), jobs),
            (Filters(types=frozenset({"connection"})), {"opened", "closed", "silent"}),
            (Filters(types=frozenset({"heartbeat", "connection"})), {"opened", "closed", "silent", "beat"}),
            (Filters(job_id="J1"), jobs - {"failed"}),
            (Filters(job_id="k1"), set()),
            (Filters(account_id="other"), {"failed"}),
            (Filters(crawler="c2"), {"failed", "silent"}),
            (Filters(crawler="c1"), {"sent", "running", "progress", "opened", "closed", "beat"}),
            (Filters(statuses=frozenset({"failed", "queued"})), {"created", "failed"}),
            (Filters(job_id="J1", statuses=frozenset({"failed"})), set()),
            (Filters(types=frozenset({"heartbeat"}), job_id="J1"), set()),
        ):
            render = Renderer(name_of)
            taken = {name for name, change in STATE_EVENTS.items() if all(map(wanted.matches, render(change)))}
            self.assertEqual(taken, expected, wanted)
            self.assertLessEqual({type(STATE_EVENTS[name]) for name in taken}, wanted.kinds, wanted)
        self.assertEqual(Filters(types=frozenset({"heartbeat"}), job_id="J1").kinds, frozenset())
        self.assertNotIn(JobProgressed, Filters(statuses=frozenset({"failed"})).kinds)
        self.assertNotIn(HeartbeatHeard, Filters(job_id="J1").kinds)


class FeedTests(SiteTestCase):
    """The feed of a real site."""

    timeout = 30

    async def watch(self, query: str = "", **headers: str) -> EventReader:
        """A stream that has begun."""
        reader = await EventReader.watch(self.number, query, **headers)
        self.addCleanup(reader.leave)
        return reader

    def publish(self, *names: str) -> None:
        """Publish events of the table, by name."""
        for name in names:
            self.bus.publish(STATE_EVENTS[name])

    async def test_headers(self) -> None:
        """Neither caches nor proxies hold a stream back, and the client gets its reconnection time."""
        reader = await self.watch()
        self.assertEqual(reader.status, 200)
        for name, value in (
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),
            ("x-content-type-options", "nosniff"),
        ):
            self.assertEqual(reader.headers[name], value)
        await until(lambda: reader.blocks, "the greeting is there")
        self.assertEqual(reader.raw, GREETING)
        self.assertTrue(reader.blocks[0].startswith("retry: "))

    async def test_ids(self) -> None:
        """Ids name the node and grow; an event has one id for all streams."""
        first = await self.watch()
        second = await self.watch("?types=heartbeat")
        self.publish("opened", "beat", "failed")
        seen = [await first.next() for _ in range(3)]
        self.assertEqual([event.type for event in seen], ["connection", "heartbeat", "job"])
        self.assertEqual([event.id for event in seen], ["node-1", "node-2", "node-3"])
        self.assertEqual(await second.next(), seen[1])
        self.assertEqual(seen[1].data["timestamp"], "2026-01-05T10:00:00.000Z")

    async def test_jobs_over_http(self) -> None:
        """Jobs created, cancelled and retried over HTTP are published; a live twin or a repetition is no new job."""
        await self.account()
        reader = await self.watch("?types=job&account_id=acme")
        job = {"account_id": "acme", "command": "issues", "full_path": "g/p"}
        for key in ("k1", "k1", "k2"):
            answer = await self.post("/api/v1/jobs", job, headers={"Idempotency-Key": key})
        job_id = answer.document["id"]
        await self.post(f"/api/v1/jobs/{job_id}/cancel")
        await self.post(f"/api/v1/jobs/{job_id}/retry")
        seen = [await reader.next() for _ in range(3)]
        self.assertEqual([event.data["event"] for event in seen], ["created", "cancel", "retry"])
        self.assertEqual([event.data["status"] for event in seen], ["queued", "cancelled", "queued"])
        self.assertEqual({event.data["id"] for event in seen}, {job_id})
        self.assertEqual(seen[0].data["full_path"], "g/p")

    async def test_filters(self) -> None:
        """The query says which events are wanted."""
        for query, expected in (
            ("?types=job,heartbeat", ["running", "beat", "failed"]),
            ("?crawler=HELLO:C2&types=job", ["failed"]),
            ("?status=running,failed&account_id=acme", ["running"]),
            ("?job_id=J2", ["failed"]),
        ):
            reader = await self.watch(query)
            self.publish("opened", "running", "beat", "failed")
            render = Renderer(str.upper)
            for name in expected:
                seen = await reader.next()
                data = {key: value for key, value in seen.data.items() if key != "timestamp"}
                [event] = render(STATE_EVENTS[name])
                self.assertEqual(data, event.data, query)
            await reader.leave()

    async def test_bad_queries(self) -> None:
        """Every error in the query is reported before the stream begins."""
        for query, path in (
            ("?types=jobs", "?types"),
            ("?types=job,", "?types"),
            ("?status=done", "?status"),
            ("?job_id=", "?job_id"),
            ("?limit=3", "?limit"),
            ("?types=job&types=job", "?types"),
        ):
            self.assertEqual(self.paths(await self.get(EVENTS + query)), [path])
        self.assertEqual(self.feed.streams, 0)

    async def test_methods(self) -> None:
        """Only GET and HEAD; HEAD ends with the headers."""
        answer = await self.post(EVENTS)
        self.assertEqual((answer.status, answer.header("Allow")), (405, "GET, HEAD"))
        answer = await self.request("HEAD", EVENTS)
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.header("content-type"), "text/event-stream")
        self.assertEqual(self.feed.streams, 0)

    async def test_keep_alive(self) -> None:
        """A comment every 15 s shows that the stream lives."""
        reader = await self.watch()
        self.clock.advance(KEEP_ALIVE - 0.1)
        self.clock.advance(0.2)
        await until(lambda: len(reader.blocks) == 2, "a comment has come")
        self.assertEqual(reader.blocks[1], ": keep-alive")
        self.clock.advance(KEEP_ALIVE)
        await until(lambda: len(reader.blocks) == 3, "another one has come")

    async def test_only_subscribed_kinds_are_published(self) -> None:
        """Frequent events are made only while a stream wants it, and no timer runs without one."""

        def subscribed() -> set[type]:
            return {kind for kind in ON_DEMAND if self.bus.subscribers(kind)}

        self.assertEqual(subscribed(), set())
        jobs = await self.watch("?types=job")
        self.assertEqual(subscribed(), {JobCreated, JobProgressed})
        beats = await self.watch("?types=heartbeat")
        self.assertEqual(subscribed(), ON_DEMAND)
        self.assertEqual(self.feed.streams, 2)
        await jobs.leave()
        await until(lambda: subscribed() == {HeartbeatHeard}, "the first has gone")
        await beats.leave()
        await until(lambda: subscribed() == set(), "the second has gone")
        self.assertEqual(self.feed.streams, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_limit(self) -> None:
        """Past the limit the answer says to come back, and who leaves makes room."""
        self.feed.max_streams = 1
        reader = await self.watch()
        answer = await self.get(EVENTS)
        self.assertEqual((answer.status, answer.header("Retry-After")), (503, "5"))
        self.assertIn("At most 1 event streams", answer.document["detail"])
        await reader.leave()
        await until(lambda: self.feed.refusal is None, "there is room")
        self.assertEqual((await self.watch()).status, 200)

    async def stalled(self, size: int, count: int) -> EventReader:
        """A stream whose client does not read, while *count* events of *size* bytes are published."""
        reader = await self.watch("?types=heartbeat")
        await until(lambda: reader.blocks, "the greeting is there")
        reader.transport.pauseProducing()  # type: ignore[union-attr]
        for _ in range(count):
            self.bus.publish(HeartbeatHeard("k", "c", "idle", {"memoryUsage": "x" * size}))
            await _turn()
        return reader

    async def test_slow_client(self) -> None:
        """Events beyond the buffer of a slow client are lost, and it receives their number; memory stays bounded."""
        count = 400
        reader = await self.stalled(64 * 1024, count)
        [stream] = self.feed._streams
        self.assertLessEqual(stream._size, MAX_WAITING)
        self.assertGreater(stream._lost, 0)
        other = await self.watch()
        self.publish("opened")
        self.assertEqual((await other.next()).type, "connection")
        reader.transport.resumeProducing()  # type: ignore[union-attr]
        numbers = []
        while (seen := await reader.next()).type == "heartbeat":
            numbers.append(seen.number)
        self.assertEqual(seen.type, "lost")
        self.assertIsNone(seen.id)
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(seen.data["lost"], count - len(numbers))
        self.publish("beat")
        self.assertEqual((await reader.next()).number, count + 2)

    async def test_client_that_never_reads(self) -> None:
        """It is cut off after a few keep-alives, and its place is free."""
        reader = await self.stalled(64 * 1024, 400)
        for _ in range(MAX_STALLED):
            self.assertEqual(self.feed.streams, 1)
            self.clock.advance(KEEP_ALIVE)
            await _turn()
        await until(lambda: self.feed.streams == 0, "it is cut off")
        reader.transport.resumeProducing()  # type: ignore[union-attr]
        await reader.ended

    async def test_one_large_event(self) -> None:
        """An event over the bound reaches a client that keeps up."""
        reader = await self.watch()
        self.bus.publish(HeartbeatHeard("k", "c", "idle", {"memoryUsage": "x" * 3 * MAX_WAITING}))
        self.assertEqual(len((await reader.next()).data["metadata"]["memoryUsage"]), 3 * MAX_WAITING)

    async def test_one_large_event_for_a_slow_client(self) -> None:
        """It is lost: what waits for a client is bounded, whatever the size of events."""
        reader = await self.stalled(64 * 1024, 400)
        [stream] = self.feed._streams
        stream._waiting.clear()
        stream._size = stream._lost = 0
        stream.send(b"x" * (MAX_WAITING + 1))
        self.assertEqual((stream._size, stream._lost), (0, 1))
        stream._lost = 0
        stream.send(b"x" * MAX_WAITING)
        self.assertEqual((stream._size, stream._lost), (MAX_WAITING, 0))
        await reader.leave()

    async def test_close(self) -> None:
        """A node that stops ends all streams, also those of clients that do not read, and opens no others."""
        good = await self.watch()
        slow = await self.stalled(64 * 1024, 400)
        self.feed.close()
        await good.ended
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        await slow.ended
        answer = await self.get(EVENTS)
        self.assertEqual((answer.status, answer.document["detail"]), (503, "Node is stopping"))


class BacklogTests(SynchronousTestCase):
    """Very many events in one turn of the reactor."""

    def setUp(self) -> None:
        """Have a feed that does three events of one stream in a turn, and keeps ten more."""
        self.patch(feed_module, "STEPS_PER_TURN", 3 * (feed_module.STEPS_PER_EVENT + 1))
        self.patch(feed_module, "MAX_BACKLOG", 10)
        self.clock, self.bus = Turns(), EventBus()
        self.feed = Feed(self.bus, self.clock, "node", str.upper)
        self.read: list[str] = []

    def registerProducer(self, producer: Stream, streaming: bool) -> None:
        """What comes first."""
        self.producer = producer

    def write(self, data: bytes) -> None:
        """Take note of what comes."""
        self.read += re.findall(r'"id":"(\w+)"|("lost":\d+)', data.decode())

    def end(self) -> None:
        """The feed closes."""

    abort = end

    def taken(self) -> str:
        """What was received since the last call."""
        read, self.read = self.read, []
        return " ".join("".join(each) for each in read)

    def publish(self, first: int, last: int) -> None:
        """Tell of jobs."""
        for number in range(first, last + 1):
            self.bus.publish(JobCreated(f"J{number}", "acme", "users", None))

    def test_turns(self) -> None:
        """It is sent a bounded part in a turn, and in its order, whatever comes meanwhile."""
        self.feed.open(Filters(), self)
        self.publish(1, 7)
        self.assertEqual(self.taken(), "J1 J2 J3")
        self.clock.turn()
        self.assertEqual(self.taken(), "J4 J5 J6")
        self.publish(8, 8)
        self.assertEqual(self.taken(), "")
        self.clock.turn()
        self.assertEqual(self.taken(), "J7 J8")
        self.clock.turn()
        self.publish(9, 9)
        self.assertEqual(self.taken(), "J9")

    def test_streams_count(self) -> None:
        """Many streams take as much time in a turn as few."""
        for _ in range(2 * feed_module.STEPS_PER_EVENT + 1):
            self.feed.open(Filters(job_id="J0"), self)
        self.feed.open(Filters(), self)
        self.publish(1, 3)
        self.assertEqual(self.taken(), "J1 J2")

    def test_too_much(self) -> None:
        """Events beyond the limit are lost, and each stream receives their number before further events."""
        self.feed.open(Filters(), self)
        self.publish(1, 15)
        for expected in ("J1 J2 J3", '"lost":2 J4 J5 J6', "J7 J8 J9", "J10 J11 J12", "J13", ""):
            self.assertEqual(self.taken(), expected)
            self.clock.turn()

    def test_nobody_left(self) -> None:
        """After the last client has disconnected no event is kept, and no timer runs."""
        self.feed.open(Filters(), self)
        self.publish(1, 8)
        self.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.feed.open(Filters(), self)
        self.taken()
        self.publish(9, 9)
        self.assertEqual(self.taken(), "J9")

    def test_close(self) -> None:
        """A feed that closes leaves nothing behind."""
        self.feed.open(Filters(), self)
        self.publish(1, 8)
        self.feed.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TokenTests(SiteTestCase):
    """With a token."""

    token = "s3cret"

    async def test_token(self) -> None:
        """It is needed, as everywhere else, and not taken from the query."""
        stranger = {"Authorization": None}
        self.assertEqual((await self.get(EVENTS, headers=stranger)).status, 401)
        self.assertEqual((await self.get(f"{EVENTS}?token=s3cret", headers=stranger)).status, 401)
        reader = await EventReader.watch(self.number, Authorization="Bearer s3cret")
        self.assertEqual(reader.status, 200)
        await reader.leave()


async def _turn() -> None:
    """Let the reactor do what is due."""
    await deferLater(reactor, 0)
