"""Live events over HTTP: requests for streams, and what is in them."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from copilot_socket.core.live_events import LiveEvent
from copilot_socket.http.feed import KEEP_ALIVE
from copilot_socket.http.streams import GREETING, MAX_STALLED
from tests.http.harness import EventsTestCase, SiteTestCase
from tests.support.crawler import until
from tests.support.events import EventReader

EVENTS = "/api/v1/events"


def beat(name: str, **details: Any) -> LiveEvent:
    """A heartbeat."""
    return LiveEvent("heartbeat", {"id": "k1", "crawler_id": name, "metadata": details})


class FeedTests(EventsTestCase):
    """The feed of a real site."""

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
        self.assertTrue(reader.raw.startswith(GREETING))

    async def test_snapshot(self) -> None:
        """It has counts of all jobs, the queue and the connected crawlers; of a user, counts of their jobs."""
        await self.account()
        await self.job(user_id="ann")
        await self.job(full_path="x")
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, max_jobs, plain, entity_types, lease_expires_at)"
            " VALUES ('hello:c1', 'c1', 'n1', 1, false, '{issue}', now() + interval '1 hour')"
        )
        seen = await (await self.watch()).next()
        stats = (await self.get("/api/v1/stats")).document
        crawlers = (await self.get("/api/v1/crawlers")).document["crawlers"]
        self.assertEqual((seen.type, seen.data["counts"]["queued"]), ("snapshot", 2))
        self.assertEqual(seen.data["counts"], stats["jobs"])
        self.assertEqual(seen.data["queue"].keys(), stats["queue"].keys())
        self.assertEqual([each["id"] for each in seen.data["crawlers"]], [each["id"] for each in crawlers])
        for query, queued in (("?user_id=ann", 1), ("?account_id=acme", 2), ("?account_id=acme&user_id=bob", 0)):
            seen = await (await self.watch(query)).next()
            self.assertEqual((seen.data.keys(), seen.data["counts"]["queued"]), ({"counts"}, queued), query)

    async def test_counts(self) -> None:
        """They come every two seconds, if anything has happened."""
        await self.account()
        reader = await self.watch("?types=counts")
        await until(lambda: reader.blocks, "the greeting is there")
        await self.job()
        await self.tell()
        await until(lambda: self.feed._summaries.eventful, "the event was sent")
        self.clock.advance(2.1)
        seen = await reader.next()
        self.assertEqual((seen.type, seen.id, seen.data["counts"]["queued"]), ("counts", None, 1))

    async def test_replay(self) -> None:
        """A client that comes back with the id of its last event gets what it has missed; else a snapshot."""
        await self.account()
        first = await self.watch("?types=heartbeat")
        await until(lambda: first.blocks, "the greeting is there")
        await self.tell(beat("c1"), beat("c2"))
        last = await first.next()
        await first.leave()
        await self.tell(beat("c3"))
        assert last.id is not None
        again = await self.watch("?types=heartbeat,snapshot", **{"Last-Event-ID": last.id})
        self.assertEqual([(await again.next()).data["crawler_id"] for _ in range(2)], ["c2", "c3"])
        for unknown in ("node-7", "7.0", ""):
            anew = await self.watch("?types=heartbeat,snapshot", **{"Last-Event-ID": unknown})
            self.assertEqual([(await anew.next()).type for _ in range(2)], ["lost", "snapshot"], unknown)

    async def test_jobs_over_http(self) -> None:
        """Jobs created, cancelled and retried over HTTP are published; a live twin or a repetition is no new job."""
        await self.account()
        reader = await self.watch("?types=job&account_id=acme&user_id=ann")
        await until(lambda: reader.blocks, "the greeting is there")
        job = {"account_id": "acme", "command": "issues", "full_path": "g/p", "user_id": "ann"}
        for key in ("k1", "k1", "k2"):
            answer = await self.post("/api/v1/jobs", job, headers={"Idempotency-Key": key})
        job_id = answer.document["id"]
        await self.job(full_path="other")
        await self.post(f"/api/v1/jobs/{job_id}/cancel")
        await self.post(f"/api/v1/jobs/{job_id}/retry")
        await self.tell()
        seen = [await reader.next() for _ in range(3)]
        self.assertEqual([event.data["event"] for event in seen], ["created", "cancel", "retry"])
        self.assertEqual([event.data["status"] for event in seen], ["queued", "cancelled", "queued"])
        self.assertEqual({(event.data["id"], event.data["user_id"]) for event in seen}, {(job_id, "ann")})
        self.assertEqual(seen[0].data["full_path"], "g/p")
        self.assertTrue(seen[0].data["timestamp"].endswith("Z"))

    async def test_limited_tokens(self) -> None:
        """A token that is limited to users or accounts may watch these, and nothing else."""
        await self.account()
        cases = (
            ({"users": ["ann"]}, "?user_id=ann", 200),
            ({"users": ["ann"]}, "?user_id=bob", 403),
            ({"users": ["ann"]}, "", 403),
            ({"accounts": ["acme"]}, "?account_id=acme", 200),
            ({"accounts": ["acme"]}, "?user_id=ann", 403),
        )
        for number, (limits, query, status) in enumerate(cases):
            made = await self.post("/api/v1/tokens", {"name": f"t{number}", "role": "app", **limits})
            reader = await self.watch(query, Authorization=f"Bearer {made.document['token']}")
            self.assertEqual(reader.status, status, (limits, query))
            if status == 200:
                self.assertNotIn("crawlers", (await reader.next()).data)
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
        reader = await self.watch("?types=host")
        await until(lambda: reader.blocks, "the greeting is there")
        self.clock.advance(KEEP_ALIVE - 0.1)
        self.clock.advance(0.2)
        await until(lambda: len(reader.blocks) == 2, "a comment has come")
        self.assertEqual(reader.blocks[1], ": keep-alive")
        self.clock.advance(KEEP_ALIVE)
        await until(lambda: len(reader.blocks) == 3, "another one has come")

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
            await self.tell(beat("c1", memoryUsage="x" * size))
            await _turn()
        return reader

    async def test_client_that_never_reads(self) -> None:
        """It is cut off after a few keep-alives, and its place is free."""
        reader = await self.stalled(1024 * 1024, 12)
        for _ in range(MAX_STALLED):
            self.assertEqual(self.feed.streams, 1)
            self.clock.advance(KEEP_ALIVE)
            await _turn()
        await until(lambda: self.feed.streams == 0, "it is cut off")
        reader.transport.resumeProducing()  # type: ignore[union-attr]
        await reader.ended

    async def test_close(self) -> None:
        """A node that stops ends all streams, also those of clients that do not read, and opens no others."""
        good = await self.watch()
        slow = await self.stalled(1024 * 1024, 12)
        self.feed.close()
        await good.ended
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        await slow.ended
        answer = await self.get(EVENTS)
        self.assertEqual((answer.status, answer.document["detail"]), (503, "Node is stopping"))


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
