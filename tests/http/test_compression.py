"""Answers in gzip."""

import gzip
import re
import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Gauge
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.http.compression import CONCURRENTLY, SLICE, SMALLEST, Compressor, accepts_gzip
from tests.http.connection_harness import AUTHORIZATION, ConnectionTestCase
from tests.http.harness import ACCOUNT, SiteTestCase
from tests.http.test_worst import WorstTestCase
from tests.support.crawler import until

JOBS = "/api/v1/jobs"
HUGE = b"GET /health/socket HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n" + AUTHORIZATION + b"\r\n"


class AcceptTests(SynchronousTestCase):
    """accepts_gzip()."""

    def test_weights(self) -> None:
        """Weights are honoured, also those of identity and of all others; what is malformed is not accepted."""
        for header, accepted in {
            "gzip": True,
            "GZIP;Q=0.5": True,
            "x-gzip": True,
            "deflate, gzip ;q=1.000 , br": True,
            "*": True,
            "*;q=0.1": True,
            "identity;q=0.5, gzip;q=0.5": True,
            "identity;q=0": False,
            "identity;q=0, *;q=0.1": True,
            "": False,
            "br, deflate": False,
            "gzip;q=0": False,
            "gzip;q=0.000, *": False,
            "gzip;q=0, x-gzip;q=0": False,
            "*;q=0": False,
            "identity, gzip;q=0.9": False,
            "identity": False,
            "*, gzip;q=0.5": False,
            "gzip;q=2": False,
            "gzip;q=x": False,
            "gzip;q=": False,
            "gzip2": False,
        }.items():
            self.assertEqual(accepts_gzip([header]), accepted, header)
        self.assertTrue(accepts_gzip(["br", "gzip"]))

    @given(st.text())
    def test_anything(self, header: str) -> None:
        """Any header is read."""
        accepts_gzip([header])


class CompressorTests(SynchronousTestCase):
    """Compressor."""

    def setUp(self) -> None:
        self.slices = 0

    def next_slice(self) -> "Deferred[None]":
        """Count it."""
        self.slices += 1
        return succeed(None)

    @given(st.binary(max_size=300), st.integers(0, 900))
    def test_round(self, piece: bytes, times: int) -> None:
        """It is what it was, in as many slices as it is long, and always the same, whenever it is compressed."""
        self.slices, body = 0, piece * times
        made = [
            self.successResultOf(Deferred.fromCoroutine(Compressor().gzip(body, self.next_slice))) for _ in range(2)
        ]
        self.assertEqual([gzip.decompress(each) for each in made], [body] * 2)
        self.assertEqual(made[0], made[1])
        self.assertEqual(self.slices, 0 if len(body) <= SLICE else 2 * -(-len(body) // SLICE))

    def test_few_at_a_time(self) -> None:
        """Large ones wait for each other, small ones for nobody; one that fails makes room."""
        compressor, waiting = Compressor(), list[Deferred[None]]()

        def next_slice() -> "Deferred[None]":
            waiting.append(Deferred())
            return waiting[-1]

        large = [
            Deferred.fromCoroutine(compressor.gzip(bytes(SLICE + 1), next_slice)) for _ in range(CONCURRENTLY + 1)
        ]
        self.assertEqual(len(waiting), CONCURRENTLY)
        self.successResultOf(Deferred.fromCoroutine(compressor.gzip(bytes(SLICE), next_slice)))
        waiting[0].errback(ZeroDivisionError())
        self.failureResultOf(large[0], ZeroDivisionError)
        self.assertEqual(len(waiting), CONCURRENTLY + 1)
        for each in waiting[1:]:
            each.callback(None)
        for each in waiting[CONCURRENTLY + 1 :]:
            each.callback(None)
        for answer in large[1:]:
            self.assertEqual(gzip.decompress(self.successResultOf(answer)), bytes(SLICE + 1))


class ExchangeTestCase(SiteTestCase):
    """Sees answers as they are sent."""

    async def exchange(
        self, path: str, accepted: str = "gzip", method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, list[str]], bytes]:
        """Status, headers by lower-case name, and body of an answer."""
        lines = {"Authorization": f"Bearer {self.token}", "Accept-Encoding": accepted, "Host": "localhost", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        received = await self.raw(f"{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
        first, _, body = received.partition(b"\r\n\r\n")
        status, *rest = first.decode().split("\r\n")
        found: dict[str, list[str]] = {}
        for line in rest:
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return int(status.split()[1]), found, body


class SiteTests(ExchangeTestCase):
    """Which answers are compressed."""

    async def test_a_list(self) -> None:
        """One that is long is compressed for those who accept it; its length is that of what is sent, HEAD alike."""
        await self.account()
        for number in range(5):
            await self.job(full_path=f"g/{number}")
        _, plain, expected = await self.exchange(JOBS, "identity")
        self.assertGreater(len(expected), 1024)
        self.assertNotIn("content-encoding", plain)
        _, headers, body = await self.exchange(JOBS)
        self.assertEqual(gzip.decompress(body), expected)
        self.assertEqual((headers["content-encoding"], headers["vary"]), (["gzip"], ["Accept-Encoding"]))
        for accepted, length, sent in (("gzip", len(body), headers), ("identity", len(expected), plain)):
            self.assertEqual(sent["content-length"], [str(length)])
            _, of_head, nothing = await self.exchange(JOBS, accepted, "HEAD")
            of_head["date"] = sent["date"]
            self.assertEqual((of_head, nothing), (sent, b""))
        self.assertEqual(plain["vary"], ["Accept-Encoding"])

    async def test_short_ones(self) -> None:
        """Those of up to 1 KiB are sent as they are."""
        longer = 1
        for expected in (None, None, ["gzip"]):
            url = f"{ACCOUNT['gitlab_url']}/{'x' * longer}"
            await self.request("PUT", "/api/v1/accounts/acme", json={**ACCOUNT, "gitlab_url": url})
            _, headers, body = await self.exchange("/api/v1/accounts/acme")
            self.assertEqual(headers.get("content-encoding"), expected)
            longer += SMALLEST - len(body) or 1

    async def test_problems(self) -> None:
        """So is one that lists many errors; its type is that of the problem."""
        query = "&".join(f"nonsense{number}=1" for number in range(40))
        status, headers, body = await self.exchange(f"{JOBS}?{query}")
        self.assertEqual((status, headers["content-type"]), (422, ["application/problem+json"]))
        self.assertIn(b"nonsense39", gzip.decompress(body))

    async def test_metrics(self) -> None:
        """So are the metrics."""
        assert self.registry is not None
        for number in range(50):
            Gauge(f"gauge_{number}", "of a test", registry=self.registry)
        _, headers, body = await self.exchange("/metrics")
        self.assertIn(b"gauge_49 0.0", gzip.decompress(body))
        self.assertTrue(headers["content-type"][0].startswith("text/plain"))

    async def test_secrets(self) -> None:
        """An answer with a secret is not, however long: its length would tell how much of it a client has guessed."""
        accounts = [f"account-{number}" for number in range(100)]
        made = await self.post("/api/v1/tokens", {"name": "t", "role": "app", "accounts": accounts})
        token = f"Bearer {made.document['token']}"
        status, headers, body = await self.exchange("/api/v1/session", method="POST", Authorization=token)
        self.assertEqual(status, 201)
        self.assertIn("set-cookie", headers)
        self.assertIn(b"account-99", body)
        self.assertEqual(headers.keys() & {"content-encoding", "vary"}, set())
        _, headers, _ = await self.exchange("/api/v1/session", Authorization=token)
        self.assertEqual(headers["content-encoding"], ["gzip"])  # the same without a cookie

    async def test_streams(self) -> None:
        """Nor are live events."""
        stream = Deferred.fromCoroutine(self.exchange("/api/v1/events"))
        await until(lambda: self.feed.streams, "the stream is open")
        self.feed.close()
        _, headers, body = await stream
        self.assertEqual(headers.keys() & {"content-encoding", "vary"}, set())
        self.assertIn(b"live events", body)


class AllowedOriginTests(ExchangeTestCase):
    """Beside CORS."""

    origins = frozenset({"https://page.example"})

    async def test_a_list(self) -> None:
        """Both vary the answer."""
        _, headers, _ = await self.exchange(JOBS, Origin="https://page.example")
        self.assertEqual(headers["vary"], ["Origin", "Accept-Encoding"])


class LargeTests(WorstTestCase):
    """The largest answers."""

    async def test_a_page(self) -> None:
        """A page of 4 MiB is compressed a slice in a turn; others have their turns in between."""
        await self.account()
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, progress) SELECT 'acme', 'epics', n::text,"
            " jsonb_build_object('p', repeat(md5(n::text), 3000)) FROM generate_series(1, 60) n"
        )
        before = self.slices.count
        answer, turns = await self.beside(Deferred.fromCoroutine(self.get(f"{JOBS}?include=progress")))
        self.assertGreater(len(answer.body), 4 * 1024 * 1024)
        self.assertEqual(self.slices.count - before, -(-len(answer.body) // SLICE))
        self.assertGreater(turns, 60)


class GoneTests(ConnectionTestCase):
    """Clients that leave meanwhile."""

    def test_gone(self) -> None:
        """At any slice, nothing of the answer is left, and nothing is logged; what is left to do is not done."""
        self.health.database = {"x": "y" * 5 * SLICE}
        for turns in range(8):
            client = self.connect()
            client.send(HUGE)
            self.assertGreater(self.answer_bytes, 5 * SLICE)
            for _ in range(turns):
                self.reactor.turn()
            client.leave()
            self.reactor.turn()
            self.reactor.turn()
            self.assertEqual((self.answer_bytes, self.site.channels, self.reactor.getDelayedCalls()), (0, {}, []))

    def test_stays(self) -> None:
        """Whoever stays is answered, on the same connection one after the other."""
        self.health.database = {"x": "y" * 5 * SLICE}
        client = self.connect()
        client.send(HUGE * 2)
        for _ in range(20):
            self.reactor.turn()
        self.assertEqual(client.statuses, [200, 200])
        self.assertEqual(self.answer_bytes, 0)
        lengths = [int(length) for length in re.findall(rb"Content-Length: (\d+)", client.transport.value())]
        rest: Any = client.transport.value()
        for length in lengths:
            body = rest.partition(b"\r\n\r\n")[2]
            self.assertIn(b"y" * 5 * SLICE, zlib.decompress(body[:length], 31))
            rest = body[length:]
        self.assertEqual(rest, b"")
