"""Idempotency-Key: a request is carried out once, whatever becomes of it and however often it is sent."""

from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import globalLogPublisher

from copilot_socket.http import idempotency
from copilot_socket.http.messages import Problem
from copilot_socket.store import idempotency as store
from copilot_socket.store import migrate
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.connection import Limits
from copilot_socket.store.database import Database, DatabaseAway
from tests.http.harness import Answer, SiteTestCase
from tests.http.test_audit import API, CRAWLER, ERRORS, REFUSE_COMMITS, STEPS, TABLES, _filled, ids_of_webhooks
from tests.support.acts import ACT
from tests.support.crawler import until
from tests.support.locks import until_waiting
from tests.support.postgres import drop_database, fresh_database
from tests.support.revisions import upgrade_to

JOBS, PAUSES, TOKENS = f"{API}/jobs", f"{API}/pauses", f"{API}/tokens"
JOB = {"account_id": "acme", "command": "issues", "full_path": "g/p"}
PAUSE = {"scope": "account", "target": "acme"}
SECRET = ("/tokens", "/session", "/session/links", "/webhooks", "/webhooks/{id}/rotate")
MADE_EARLIER = """
INSERT INTO idempotency_keys (key, fingerprint, status, answer) VALUES
  ('k', 'f', 201, '{"ids": ["01K"], "created": [true]}'),
  ('other', 'f', 201, '{"ids": ["01K"], "created": [true]}'),
  ('token:limited k', 'f', 200, '{"ids": ["a", "b"], "created": [false, false]}')
"""


class KeyTestCase(SiteTestCase):
    """Sends requests with keys."""

    async def keyed(self, path: str, json: Any = None, key: str = "k", **headers: str | None) -> Answer:
        """POST with a key."""
        return await self.post(path, json, headers={"Idempotency-Key": key, **headers})

    def assert_replayed(self, answer: Answer, first: Answer) -> None:
        """*answer* is the one to the *first* request."""
        self.assertEqual((answer.status, answer.body), (first.status, first.body))
        for name in ("Location", "ETag"):
            self.assertEqual(answer.header(name), first.header(name))
        self.assertEqual(answer.header("Idempotency-Replayed"), "true")
        self.assertIsNone(first.header("Idempotency-Replayed"))

    def everything(self) -> list[Any]:
        """What changes leave."""
        return [self.query(f"SELECT t::text FROM {table} t ORDER BY 1") for table in (*TABLES, "audit_log")]

    def taken(self) -> list[Any]:
        """All that are taken."""
        return self.query("SELECT key, status FROM idempotency_keys ORDER BY 1")

    async def limited(self) -> dict[str, str | None]:
        """The header of a token that is limited to the account."""
        made = await self.post(TOKENS, {"name": "limited", "role": "app", "accounts": ["acme"]})
        return {"Authorization": f"Bearer {made.document['token']}"}


class EveryRouteTests(KeyTestCase):
    """All that can be sent by POST."""

    async def test_repeated(self) -> None:
        """What has succeeded is not done again, and answered in the same way unless the answer had a secret."""
        self.query(CRAWLER)
        self.query(ERRORS)
        ids: dict[str, str] = {}
        repeated = set()
        for number, step in enumerate(STEPS):
            method, _, pattern = step.route.partition(" ")
            path, body = API + _filled(step.path, ids), {} if step.body is None else {"json": step.body}
            headers = {"Idempotency-Key": f"k{number}"}
            first = await self.request(method, path, headers=headers, **body)
            if first.status == 201 and "ids" in first.document:
                ids["job"] = first.document["ids"][0]
            if first.status == 201 and "pause" in step.path:
                ids["pause"] = first.document["id"]
            ids |= ids_of_webhooks(step, first)
            if first.status == 202 and step.rows[-1][0] == "operation.start":
                ids["operation"] = first.document["id"]
            if method != "POST":
                continue
            before = self.everything()
            again = await self.request(method, path, headers=headers, **body)
            if first.status >= 300:
                self.assertEqual(again.document, first.document)
                continue
            self.assertEqual(self.everything(), before, step)
            if pattern in SECRET:
                self.assertEqual(again.status, 409)
                self.assertIn("secret", again.document["detail"])
                kept = self.query("SELECT answer, headers FROM idempotency_keys WHERE key ~ %s", f" k{number}$")
                self.assertEqual(kept, [(None, {})])
            else:
                self.assert_replayed(again, first)
                repeated.add(pattern)
        posted = {step.route.removeprefix("POST ") for step in STEPS if step.route.startswith("POST ")}
        self.assertEqual(repeated, posted - set(SECRET))

    async def test_not_committed(self) -> None:
        """While a change can't be committed, its key is not taken; then it can be made with it."""
        await self.account()
        job = await self.job()
        for path, body in (
            (JOBS, {**JOB, "full_path": "new"}),
            (f"{JOBS}/{job}/cancel", None),
            (f"{JOBS}/{job}/retry", None),
            (f"{API}/accounts/acme/credential", {"access_token": "new"}),
            (PAUSES, PAUSE),
            (TOKENS, {"name": "new", "role": "read"}),
        ):
            self.query(REFUSE_COMMITS)
            self.assertEqual((await self.keyed(path, body, path)).status, 500, path)
            self.assertEqual(len(self.flushLoggedErrors(psycopg2.Error)), 1)
            self.query("DROP FUNCTION refuse CASCADE")
            self.assertNotIn(path, str(self.taken()))
            self.assertIn((await self.keyed(path, body, path)).status, (200, 201), path)


class KeyTests(KeyTestCase):
    """Whose a key is, of what, and for how long."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Have an account."""
        super().setUp()
        await self.account()

    async def test_of_a_request(self) -> None:
        """Another path, query or body, down to a blank, is another request: 422."""
        body = b'{"scope": "account", "target": "acme"}'
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        self.assertEqual((await self.post(PAUSES, data=body, headers=headers)).status, 201)
        for path, other in (
            (PAUSES, body + b" "),
            (PAUSES + "?a=b", body),
            (f"{API}/queue/pause", body),
            (JOBS, b""),
        ):
            answer = await self.post(path, data=other, headers=headers)
            self.assertEqual(answer.status, 422, path)
            self.assertIn("Idempotency-Key", answer.document["detail"])

    async def test_several(self) -> None:
        """One that is sent twice is one; two are refused, with nothing done."""
        for keys, status in ((["k", "k"], 201), (["k", "other"], 400), (["other", "k"], 400)):
            answer = await self.post(PAUSES, PAUSE, headers={"Idempotency-Key": keys})
            self.assertEqual(answer.status, status, keys)
        self.assertEqual([key for key, _ in self.taken()], ["token:COPILOT_HTTP_TOKEN k"])

    async def test_of_its_actor(self) -> None:
        """Nobody finds, or takes, the keys of others."""
        limited = await self.limited()
        first = await self.keyed(JOBS, JOB)
        for again in (False, True):
            answer = await self.keyed(JOBS, JOB, **limited)
            self.assertEqual((answer.status, answer.document["created"]), (200, [False]))
            self.assertEqual(answer.header("Idempotency-Replayed"), "true" if again else None)
        self.assert_replayed(await self.keyed(JOBS, JOB), first)

    async def test_a_day(self) -> None:
        """After a day a key is as good as new."""
        await self.keyed(PAUSES, PAUSE)
        cleanup = Cleanup(self.database, reactor, max_job_age=9e9, max_error_age=9e9, max_audit_age=9e9)
        for hours, status in ((23, 201), (24, 409)):  # there is such a pause already
            self.query(f"UPDATE idempotency_keys SET created_at = now() - interval '{hours} hours'")
            await cleanup.run()
            self.assertEqual((await self.keyed(PAUSES, PAUSE)).status, status)

    async def test_large_bodies(self) -> None:
        """They are compared to the last byte, in slices."""
        jobs = [{**JOB, "full_path": f"g/{number}", "resume_state": {"x": "y" * 60_000}} for number in range(50)]
        first = await self.keyed(JOBS, jobs)
        self.assertEqual(first.status, 201)
        before = self.slices.count
        self.assert_replayed(await self.keyed(JOBS, jobs), first)
        self.assertEqual(self.slices.count - before, 2)
        jobs[-1]["resume_state"] = {"x": "y" * 59_999 + "z"}
        self.assertEqual((await self.keyed(JOBS, jobs)).status, 422)


class UpgradeTests(KeyTestCase):
    """Keys that the former version has stored."""

    def setUp(self) -> None:
        """Upgrade tables with some."""
        super().setUp()
        self.database_url = fresh_database(migrated=False)
        self.addCleanup(drop_database, self.database_url)
        upgrade_to(self.database_url, "0018")
        self.query(MADE_EARLIER)
        migrate.upgrade(self.database_url, ACT)
        self.database = Database(self.database_url, reactor, Limits(), 4)
        self.listen()

    async def test_honoured(self) -> None:
        """Of limited tokens they are their own, the others are of all tokens that are not limited; of submissions."""
        await self.account()
        answer = await self.keyed(JOBS, JOB)
        self.assertEqual((answer.status, answer.document), (201, {"id": "01K", "ids": ["01K"], "created": [True]}))
        limited = await self.limited()
        answer = await self.keyed(JOBS, JOB, **limited)
        self.assertEqual((answer.status, answer.document), (200, {"ids": ["a", "b"], "created": [False, False]}))
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(0,)])
        await self.keyed(JOBS, JOB, "other", **limited)
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(1,)])
        self.assertEqual((await self.keyed(PAUSES, PAUSE)).document["scope"], "account")


class FaultTests(KeyTestCase):
    """What may go wrong in between."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Have an account, and no patience."""
        super().setUp()
        self.patch(idempotency, "PATIENCE", 0.0)
        await self.account()

    def lose_answers(self) -> list[object]:
        """Nothing is stored behind a change, as if the node had died; the warnings of that."""
        lines: list[object] = []

        def observer(event: Any) -> None:
            lines.extend([event] if "with a key was not stored" in (event.get("log_format") or "") else [])

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        async def lost(*_args: object) -> None:
            raise DatabaseAway("killed")

        self.patch(store, "answer", lost)
        return lines

    async def test_lost_answer(self) -> None:
        """A change whose answer was not stored is answered, not made again, and the client is told so."""
        lines = self.lose_answers()
        self.assertEqual((await self.keyed(PAUSES, PAUSE)).status, 201)
        self.assertEqual(len(lines), 1)
        before = self.everything()
        again = await self.keyed(PAUSES, PAUSE)
        self.assertEqual(again.status, 409)
        self.assertIn("answer is not known", again.document["detail"])
        self.assertEqual(self.everything(), before)
        self.assertEqual((await self.keyed(PAUSES, {**PAUSE, "reason": "other"})).status, 422)

    async def test_lost_answer_without_a_change(self) -> None:
        """What has changed nothing is simply done again."""
        self.lose_answers()
        job = await self.job()
        for _ in range(2):
            self.assertEqual((await self.keyed(f"{JOBS}/{job}/resume")).status, 409)
            self.assertEqual((await self.keyed(f"{API}/crawlers/none/drain")).status, 404)
        self.query(CRAWLER)
        for _ in range(2):
            self.assertEqual((await self.keyed(f"{API}/crawlers/one/release")).status, 200)
        self.assertEqual(self.taken(), [])

    async def test_submissions_keep_theirs(self) -> None:
        """The answer to a submission is committed with its jobs, and so never lost."""
        lines = self.lose_answers()
        for body in (JOB, [JOB, {**JOB, "full_path": "new"}], [JOB], []):
            first = await self.keyed(JOBS, body, str(body))
            self.assert_replayed(await self.keyed(JOBS, body, str(body)), first)
        self.assertEqual(lines, [])

    async def test_refused(self) -> None:
        """What is refused leaves its key to what is right."""
        self.assertEqual((await self.keyed(JOBS, {**JOB, "account_id": "none"})).status, 422)
        self.assertEqual((await self.keyed(f"{JOBS}/01JD0000000000000000000000/cancel")).status, 404)
        self.assertEqual(self.taken(), [])
        self.assertEqual((await self.keyed(JOBS, JOB)).status, 201)
        for key in ("x" * 256, "ä", "a\tb"):
            self.assertEqual((await self.keyed(PAUSES, PAUSE, key)).status, 422)

    async def test_interrupted_after_a_part(self) -> None:
        """A request that fails behind its first change has taken its key with that."""
        path, body = f"{API}/accounts/acme/credential", {"access_token": "new"}
        for error, status in ((DatabaseAway("gone"), 503), (Problem(404, "gone"), 404)):

            async def fails(_account: str, error: Exception = error) -> None:
                raise error

            self.patch(self.parts.accounts, "_queue_waiting", fails)
            self.assertEqual((await self.keyed(path, body, str(status))).status, status)
            self.assertEqual((await self.keyed(path, body, str(status))).status, 409)


class TwinTests(KeyTestCase):
    """Requests with one key at a time."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Have an account."""
        super().setUp()
        await self.account()

    async def together(self, *requests: tuple[str, Any]) -> list[Answer]:
        """The answers to *requests*, which all find the key free, and come to take it at the same time."""
        with psycopg2.connect(self.database_url) as holding, holding.cursor() as cursor:
            cursor.execute("LOCK TABLE idempotency_keys IN SHARE MODE")  # readers may, writers wait
            sent = [Deferred.fromCoroutine(self.keyed(path, body)) for path, body in requests]
            await until_waiting(self, len(requests))
            holding.rollback()
        return await gatherResults(sent)

    async def test_same(self) -> None:
        """One is carried out; the others are answered alike, by what would be refused a second time."""
        self.query(CRAWLER)
        job = await self.job()
        for path, body in ((f"{JOBS}/{job}/cancel", None), (PAUSES, PAUSE), (f"{API}/crawlers/one/drain", None)):
            self.query("TRUNCATE audit_log, idempotency_keys")
            answers = await self.together(*[(path, body)] * 3)
            first = next(each for each in answers if each.header("Idempotency-Replayed") is None)
            self.assertIn(first.status, (200, 201))
            for answer in answers:
                if answer is not first:
                    self.assert_replayed(answer, first)
            self.assertEqual(self.query("SELECT count(*) FROM audit_log"), [(1,)])

    async def test_different(self) -> None:
        """Of two requests one is carried out; the other changes nothing, and is refused."""
        for bodies in ([JOB, {**JOB, "full_path": "g/q"}], [[JOB], []]):
            self.query("TRUNCATE jobs, audit_log, idempotency_keys CASCADE")
            answers = await self.together(*[(JOBS, body) for body in bodies])
            self.assertEqual(sorted(each.status for each in answers)[-1], 422)
            self.assertIn(sorted(each.status for each in answers)[0], (200, 201))
            [(_, status)] = self.taken()
            self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(1 if status == 201 else 0,)])

    async def test_still_under_way(self) -> None:
        """A repetition waits for the answer of a request that has made its change."""
        held: Deferred[list[str]] = Deferred()
        self.patch(self.parts.restrictions, "acted_on", lambda _revision: held)
        first = Deferred.fromCoroutine(self.keyed(PAUSES, PAUSE))
        await until(self.taken, "the key is taken")
        find, found = store.find, list[object]()

        async def looks(*args: Any) -> Any:
            found.append(await find(*args))
            return found[-1]

        self.patch(store, "find", looks)
        second = Deferred.fromCoroutine(self.keyed(PAUSES, PAUSE))
        await until(lambda: len(found) > 1, "the second one looks again")
        self.assertNoResult(second)
        held.callback([])
        self.assert_replayed(await second, await first)
