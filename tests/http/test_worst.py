"""The worst bodies and answers, and a neighbour that is served in between."""

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from copilot_socket.http.documents import MAX_VALUE, SLICE_CHARACTERS, SLICE_VALUES
from copilot_socket.http.events import Filters
from copilot_socket.http.messages import MAX_FAULTS
from copilot_socket.http.requests import MAX_BODY
from copilot_socket.store.submission import CHUNK_ROWS, MAX_JOBS
from tests.http.harness import Answer, EventsTestCase

JOBS = "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}
STATE = {"lastEntityId": "12345", "currentPage": 7, "pages": {str(page): page for page in range(20)}}


def job(number: int, **fields: Any) -> dict[str, Any]:
    """A job with every field."""
    return {
        "account_id": "acme",
        "command": "mergeRequests",
        "full_path": f"group/project-{number}",
        "branch": "main",
        "user_id": "u-17",
        "gitlab_url": "https://gitlab.example",
        "priority": 5,
        "scheduled_at": "2031-01-01T01:00:00+01:00",
        "max_attempts": 5,
        "resume_state": STATE,
    } | fields


def filled(piece: bytes) -> bytes:
    """A list of *piece* over and over, as large as a body may be."""
    return b"[" + piece * ((MAX_BODY - 4) // len(piece)) + b"1]"


class WorstTestCase(EventsTestCase):
    """Requests beside which others have their turns."""

    timeout = 300

    async def beside(self, answer: "Deferred[Answer]") -> tuple[Answer, int]:
        """*answer* when it comes, and how many turns of the reactor others had while it was worked on."""
        begun, turns = self.slices.count, 0
        while not answer.called:
            await deferLater(reactor, 0)
            if self.slices.count > begun and not answer.called:
                turns += 1
        self.assertEqual((await self.get("/health/live")).status, 200)
        return await answer, turns

    def submit(self, body: bytes, **headers: str) -> "Deferred[Answer]":
        """POST *body*."""
        return Deferred.fromCoroutine(self.post(JOBS, data=body, headers=JSON | headers))


class BodyTests(WorstTestCase):
    """POST /api/v1/jobs."""

    async def refused(self, body: bytes, status: int, least: int) -> Answer:
        """Post *body*, which is refused with *status*, after *least* slices and in an answer of a fair size."""
        before = self.slices.count
        answer, turns = await self.beside(self.submit(body))
        self.assertEqual(answer.status, status, answer.body[:500])
        self.assertGreaterEqual(self.slices.count - before, least)
        self.assertGreaterEqual(turns, least - 1)
        self.assertLess(len(answer.body), 64 * 1024)
        return answer

    async def test_millions_of_elements(self) -> None:
        """Of a list of millions no more is looked at than there may be jobs."""
        for piece in (b"[],", b"{},", b"1,", b'"",'):
            answer = await self.refused(filled(piece), 422, MAX_JOBS // SLICE_VALUES)
            self.assertEqual(self.paths(answer), [""])
            self.assertIn(str(MAX_JOBS), answer.document["errors"][0]["message"])

    async def test_a_fault_for_each(self) -> None:
        """Of ten thousand faulty jobs the first faults are listed and all are counted."""
        bad = {"command": "nonsense", "color": 1, "priority": "high", "full_path": "x" * 1100}
        body = json.dumps([bad] * MAX_JOBS).encode()
        answer = await self.refused(body, 422, MAX_JOBS // SLICE_VALUES)
        errors = answer.document["errors"]
        self.assertEqual(len(errors), MAX_FAULTS + 1)
        self.assertEqual(errors[5]["path"], "/1/command")
        self.assertIn(str(5 * MAX_JOBS - MAX_FAULTS), errors[-1]["message"])
        self.assertEqual(answer.document["detail"], f"Request is invalid: {5 * MAX_JOBS} errors")

    async def test_unknown_fields(self) -> None:
        """An object of a hundred thousand fields is too large; one that is not has few of them named."""
        fields = b"{" + b",".join(b'"f%d":0' % number for number in range(100_000)) + b"}"
        await self.refused(fields, 413, 0)
        fewer = b"{" + b",".join(b'"f%d":0' % number for number in range(20_000)) + b"}"
        self.assertLess(len(fewer), MAX_VALUE)
        answer = await self.refused(fewer, 422, 0)
        self.assertEqual(len(answer.document["errors"]), MAX_FAULTS + 1)
        answer = await self.refused(b"[" + b",".join([fewer] * 40) + b"]", 422, 39)
        self.assertEqual(len(answer.document["errors"]), MAX_FAULTS + 1)

    async def test_unknown_accounts(self) -> None:
        """Ten thousand accounts that there are not are looked up in several statements, and a few are named."""
        body = json.dumps([job(number, account_id=f"account-{number}") for number in range(MAX_JOBS)]).encode()
        answer = await self.refused(body, 422, MAX_JOBS // SLICE_VALUES + MAX_JOBS // CHUNK_ROWS)
        errors = answer.document["errors"]
        self.assertEqual((errors[7]["path"], len(errors)), ("/7/account_id", MAX_FAULTS + 1))
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(0,)])

    async def test_large_values(self) -> None:
        """Values as large as one may be, of the worst that can be in them, come one in a slice."""
        size = MAX_VALUE - 20
        for inside in (b"[],", b"{},", b'{"a":0},', b"1e5,", b"0.12345678901234567,"):
            element = b'{"x":[' + inside * (size // len(inside)) + b"1]}"
            count = MAX_BODY // 4 // len(element)
            answer = await self.refused(b"[" + b",".join([element] * count) + b"]", 422, count - 1)
            self.assertEqual(answer.document["errors"][0]["path"], "/0/x")

    async def test_text(self) -> None:
        """A single string, white space and nesting as large as a body are refused, or read, in slices."""
        await self.refused(b'{"account_id":"' + b"\\ud800" * (MAX_BODY // 6 - 10) + b'"}', 413, 0)
        await self.refused(b"[" * MAX_BODY, 400, 0)
        await self.refused(b'[{"a":' * (MAX_BODY // 6), 400, 0)
        await self.refused(b"[" + b" " * (MAX_BODY - 2) + b"1", 400, MAX_BODY // (MAX_VALUE + SLICE_CHARACTERS))

    async def test_large_states(self) -> None:
        """Resume states of the largest size are stored a few at a time; one that is larger, or deeper, is named."""
        await self.account()
        large = {"x": [[] for _ in range(21_500)]}
        body = json.dumps([job(number, resume_state=large) for number in range(60)], separators=(",", ":")).encode()
        answer, turns = await self.beside(self.submit(body))
        self.assertEqual(answer.status, 201, answer.body[:500])
        self.assertGreater(turns, 0)
        self.assertEqual(
            self.query("SELECT count(*), sum(jsonb_array_length(resume_state->'x')) FROM jobs"), [(60, 60 * 21_500)]
        )
        deep: Any = {}
        for _ in range(100):
            deep = {"x": deep}
        larger = {"x": [[] for _ in range(22_000)]}
        body = json.dumps([job(1, resume_state=larger), job(2, resume_state=deep)], separators=(",", ":")).encode()
        answer = await self.refused(body, 422, 0)
        self.assertEqual(self.paths(answer), ["/0/resume_state", "/1/resume_state"])
        self.assertIn("65536", answer.document["errors"][0]["message"])
        self.assertIn("100 levels", answer.document["errors"][1]["message"])

    async def test_all_that_there_may_be(self) -> None:
        """Ten thousand jobs with all fields are stored, announced and answered, and with their key once more."""
        await self.account()
        watcher = Watcher()
        self.feed.open(Filters(), watcher)
        await self.watched()
        body = json.dumps([job(number) for number in range(MAX_JOBS)]).encode()
        steps = MAX_JOBS // SLICE_VALUES + MAX_JOBS // CHUNK_ROWS
        first, turns = await self.beside(self.submit(body, **{"Idempotency-Key": "k"}))
        self.assertEqual((first.status, sum(first.document["created"])), (201, MAX_JOBS))
        self.assertGreaterEqual(self.slices.count, steps - 3)
        self.assertGreater(turns, MAX_JOBS // SLICE_VALUES)
        await self.tell()
        while watcher.events < MAX_JOBS:
            self.assertLess(watcher.events_in_a_turn(), 1000)
            await deferLater(reactor, 0)  # the database's part
            self.clock.turn()
        self.assertEqual((watcher.events, watcher.lost), (MAX_JOBS, 0))
        self.assertEqual(
            self.query("SELECT count(DISTINCT full_path), max(resume_state->>'currentPage') FROM jobs"),
            [(MAX_JOBS, "7")],
        )
        again, _ = await self.beside(self.submit(body, **{"Idempotency-Key": "k"}))
        self.assertEqual((again.status, again.document), (201, first.document))
        once_more, turns = await self.beside(self.submit(body))
        self.assertEqual((once_more.status, once_more.document["ids"]), (200, first.document["ids"]))
        self.assertEqual(sum(once_more.document["created"]), 0)
        self.assertGreater(turns, MAX_JOBS // SLICE_VALUES)

    async def test_twelve_at_once(self) -> None:
        """Twelve of the largest bodies are answered or get a 503, and another client is served meanwhile."""
        body = filled(b"[],")
        before = self.slices.count
        answers = [self.submit(body) for _ in range(12)]
        served = 0
        while not all(answer.called for answer in answers):
            await self.get("/health/live")
            served += 1
        statuses = sorted([(await answer).status for answer in answers])
        self.assertEqual(set(statuses) - {503}, {422})
        self.assertGreaterEqual(statuses.count(422), 4)
        # A request of the neighbour takes some turns itself.
        self.assertGreaterEqual(self.slices.count - before, 4 * MAX_JOBS // SLICE_VALUES)
        self.assertGreaterEqual(5 * served, self.slices.count - before)

    async def test_other_bodies(self) -> None:
        """Accounts, credentials and actions read no more of a body than they need."""
        await self.account()
        job_id = await self.job()
        for body, status in (
            (filled(b"[],"), 422),
            (b"[" * MAX_BODY, 400),
            (b'{"x":"' + b"y" * MAX_VALUE + b'"}', 413),
        ):
            for method, path in (
                ("PUT", "/api/v1/accounts/new"),
                ("POST", "/api/v1/accounts/acme/credential"),
                ("POST", f"{JOBS}/{job_id}/cancel"),
            ):
                before = self.slices.count
                answer = await self.request(method, path, data=body, headers=JSON)
                self.assertEqual(answer.status, status, (path, answer.body[:200]))
                self.assertLessEqual(self.slices.count - before, 2)


class Watcher:
    """Watches the events of jobs."""

    events = 0
    lost = 0
    _before = 0

    def events_in_a_turn(self) -> int:
        """How many arrived since the last call."""
        before, self._before = self._before, self.events
        return self.events - before

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """It is never slow."""

    def write(self, data: bytes) -> None:
        """Count."""
        self.events += data.count(b"event: job\n")
        self.lost += data.count(b"event: lost\n")

    def end(self) -> None:
        """The site stops."""

    def abort(self) -> None:
        """It is never slow."""


class AnswerTests(WorstTestCase):
    """Reading."""

    async def test_large_rows(self) -> None:
        """A list of jobs leaves out large columns, and is cut if these are included."""
        await self.account()
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, resume_state, progress)"
            " SELECT 'acme', 'epics', n::text, jsonb_build_object('s', repeat('x', 60000)),"
            " jsonb_build_object('p', repeat('y', 200000)) FROM generate_series(1, 100) n"
        )
        answer = await self.get(f"{JOBS}?limit=1000")
        self.assertLess(len(answer.body), 100_000)
        self.assertEqual((len(answer.document["jobs"]), answer.document["next"]), (100, None))
        self.assertFalse({"resume_state", "progress"} & set(answer.document["jobs"][0]))
        seen: list[str] = []
        query = "?limit=1000&include=resume_state,progress"
        while True:
            page = await self.get(JOBS + query)
            self.assertLess(len(page.body), 5 << 20)
            self.assertEqual(len(page.document["jobs"][0]["progress"]["p"]), 200_000)
            seen += [row["full_path"] for row in page.document["jobs"]]
            if page.document["next"] is None:
                break
            query = f"?limit=1000&include=progress,resume_state&cursor={page.document['next']}"
        self.assertEqual(sorted(map(int, seen)), list(range(1, 101)))
        self.assertEqual(self.paths(await self.get(f"{JOBS}?include=error")), ["?include"])

    async def test_many_at_once(self) -> None:
        """Many concurrent requests for the longest lists are all answered, and only a few are read at a time."""
        await self.account()
        self.query(
            "INSERT INTO jobs (account_id, command, full_path)"
            " SELECT 'acme', 'epics', n::text FROM generate_series(1, 1100) n"
        )
        running, most = 0, 0
        transaction = self.database.transaction

        async def counted(work: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await transaction(work)
            finally:
                running -= 1

        self.patch(self.database, "transaction", counted)
        answers = [Deferred.fromCoroutine(self.get(f"{JOBS}?limit=1000")) for _ in range(8)]
        for answer in answers:
            self.assertEqual(len((await answer).document["jobs"]), 1000)
        self.assertEqual(most, 2)

    async def test_absurd_requests(self) -> None:
        """Long paths, very many headers and parameters are refused, and shortly."""
        for head in (
            b"GET /" + b"a/" * 8000,
            b"GET /" + b"%41" * 5000,
            b"GET /api/v1/jobs?" + b"&".join([b"a=1"] * 4000),
            b"GET /api/v1/jobs?" + b"x" * 15000 + b"=1",
            b"GET /api/v1/jobs HTTP/1.1\r\n" + b"\r\n".join(b"X%d: 1" % number for number in range(600)) + b"\r\nY:",
            b"GET /api/v1/jobs HTTP/1.1\r\nX: " + b"y" * 20000,
            b"GET /api/v1/jobs HTTP/1.1\r\nX: y\r\n" + b" z\r\n" * 4000 + b"Y:",
        ):
            received = await self.raw(head + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            self.assertRegex(received, rb"^(HTTP/1.1 4\d\d |$)")
            self.assertLess(len(received), 5000)
