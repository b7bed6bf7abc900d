"""Entity tags of single objects, and requests that depend on them."""

from typing import Any
from urllib.parse import quote

import attrs
import psycopg2
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.http.compression import SMALLEST
from tests.http.harness import ACCOUNT, Answer
from tests.http.test_audit import TABLES
from tests.http.test_compression import ExchangeTestCase
from tests.support.locks import until_waiting

API, HOST = "/api/v1", "https://gitlab.example"
ACME, HOSTS = f"{API}/accounts/acme", f"{API}/hosts/{quote(HOST, safe='')}"
BUDGETS = f"{API}/budgets"
BUDGET = f"{BUDGETS}/{quote(HOST, safe='')}?account_id=acme&name=throttle"


@attrs.frozen
class Change:
    """A request that changes the object that *shown* shows."""

    method: str
    path: str
    shown: str
    body: Any = None


LEFT = {"gitlab_origin": HOST, "account_id": "acme", "name": "throttle", "remaining": 5}
CHANGES = (
    Change("PUT", ACME, ACME, ACCOUNT),
    Change("PATCH", ACME, ACME, {"weight": 7}),
    Change("PATCH", ACME, ACME, {"max_running": 7}),
    Change("PATCH", HOSTS, HOSTS, {"max_running": 7}),
    Change("PUT", BUDGETS, BUDGET, LEFT),
    Change("DELETE", f"{API}/pauses/{{pause}}", f"{API}/pauses/{{pause}}"),
)


class ConditionTestCase(ExchangeTestCase):
    """An object of each kind."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Make them."""
        super().setUp()
        await self.account()
        self.job_id = await self.job()
        self.assertEqual((await self.request("PUT", BUDGETS, json={**LEFT, "remaining": 9})).status, 200)
        self.assertEqual((await self.request("PATCH", HOSTS, json={"max_running": 9})).status, 200)
        self.pause = (await self.post(f"{API}/pauses", {"scope": "account", "target": "acme"})).document["id"]

    def path(self, of: str) -> str:
        """*of* with the id of the pause."""
        return of.replace("{pause}", self.pause)

    async def tag(self, path: str) -> str:
        """The entity tag of what *path* shows."""
        answer = await self.get(self.path(path))
        self.assertEqual(answer.status, 200, answer.body)
        tag = answer.header("ETag")
        assert tag is not None
        return tag

    async def change(self, change: Change, **headers: str | None) -> Answer:
        """Send *change*."""
        body = {} if change.body is None else {"json": change.body}
        return await self.request(change.method, self.path(change.path), headers=headers, **body)

    def everything(self) -> list[Any]:
        """What a change would show in."""
        return [self.query(f"SELECT t::text FROM {table} t ORDER BY 1") for table in (*TABLES, "audit_log")]


class ReadTests(ConditionTestCase):
    """If-None-Match with GET and HEAD."""

    async def test_every_object(self) -> None:
        """Whoever has it is told so, without it; whoever has another, or none, gets it."""
        for path in (ACME, HOSTS, BUDGET, f"{API}/pauses/{self.pause}", f"{API}/jobs/{self.job_id}"):
            _, [tag], whole = await self._read(path)
            self.assertRegex(tag, r'^"[0-9a-f]{32}"$')
            for given in (tag, f'"x", W/{tag}', f'W/"", {tag} ,', "*", f'{tag[:-1]}-gzip"'):
                for method in ("GET", "HEAD"):
                    status, headers, body = await self.exchange(path, "br", method, **{"If-None-Match": given})
                    self.assertEqual((status, body), (304, b""), given)
                    self.assertEqual(headers["etag"], [given if "-gzip" in given else tag])
                    self.assertEqual(headers["vary"], ["Accept-Encoding"])
                    self.assertEqual(headers.keys() & {"content-length", "content-type", "content-encoding"}, set())
            for given in ('"x"', '"*"', f'"{tag[1:-2]}"', '""'):
                status, etag, body = await self._read(path, given)
                self.assertEqual((status, etag, body), (200, [tag], whole), given)
        for path in (f"{API}/accounts", f"{API}/stats", "/health/live", f"{API}/jobs/none"):
            _, headers, _ = await self.exchange(path, **{"If-None-Match": "*"})
            self.assertNotIn("etag", headers)

    async def _read(self, path: str, known: str = '"other"') -> tuple[int, list[str], bytes]:
        status, headers, body = await self.exchange(path, "br", **{"If-None-Match": known})
        return status, headers["etag"], body

    async def test_malformed(self) -> None:
        """Tags without quotes are no tags."""
        for given in ("", ", ,", "x", '"', '"a" b', 'w/"a"', "*, *", '"a b"', "W/*", '"' * 5):
            self.assertEqual((await self.get(ACME, headers={"If-None-Match": given})).status, 400, given)
            for header in ("If-Match", "If-None-Match"):
                answer = await self.request("PUT", ACME, json=ACCOUNT, headers={header: given})
                self.assertEqual(answer.status, 400, given)
                self.assertIn(header, answer.document["detail"])

    async def test_repeated_headers(self) -> None:
        """Several headers are one list."""
        for before, after in (([], ['"other"']), (['"other"'], []), (['"other", "another"'], [])):
            tags = [*before, await self.tag(ACME), *after]
            self.assertEqual((await self.get(ACME, headers={"If-None-Match": tags})).status, 304, tags)
            answer = await self.request("PUT", ACME, json=ACCOUNT, headers={"If-Match": tags})
            self.assertEqual(answer.status, 200, tags)
        for tags, status in ((['"other"', '"another"'], 412), (['"other"', "*"], 400), (['"other"', "x"], 400)):
            answer = await self.request("PUT", ACME, json=ACCOUNT, headers={"If-Match": tags})
            self.assertEqual(answer.status, status, tags)

    async def test_in_gzip(self) -> None:
        """It has another tag, for other bytes; the object is the same."""
        long = {**ACCOUNT, "gitlab_url": f"{HOST}/{'x' * SMALLEST}"}
        self.assertEqual((await self.request("PUT", ACME, json=long)).status, 200)
        _, plain, _ = await self.exchange(ACME, "identity")
        _, packed, _ = await self.exchange(ACME, "gzip")
        [tag], [in_gzip] = plain["etag"], packed["etag"]
        self.assertEqual((packed["content-encoding"], in_gzip), (["gzip"], f'{tag[:-1]}-gzip"'))
        for known in (tag, in_gzip):
            status, headers, _ = await self.exchange(ACME, "gzip", **{"If-None-Match": known})
            self.assertEqual((status, headers["etag"]), (304, [known]))
        changed = await self.request("PATCH", ACME, json={"weight": 3}, headers={"If-Match": in_gzip})
        self.assertEqual((changed.status, changed.document["weight"]), (200, 3))

    async def test_of_others(self) -> None:
        """Nobody is told about an object that is not theirs to see."""
        for token in ("wrong", None):
            headers = {"Authorization": token and f"Bearer {token}", "If-None-Match": "*"}
            self.assertEqual((await self.get(ACME, headers=headers)).status, 401)


class ChangeTests(ConditionTestCase):
    """If-Match, and If-None-Match: * with PUT."""

    async def test_in_turn(self) -> None:
        """A change of what the client has seen is made; one of something else is not, and leaves nothing."""
        for change in CHANGES:
            tag = await self.tag(change.shown)
            before = self.everything()
            for other in ('"x"', f"W/{tag}", '"x", "y"', '"*"'):
                refused = await self.change(change, **{"If-Match": other})
                self.assertEqual((refused.status, refused.document["etag"]), (412, tag), change)
                self.assertIn(tag, refused.document["detail"])
            self.assertEqual(self.everything(), before)
            made = await self.change(change, **{"If-Match": f'"x", {tag}'})
            self.assertEqual(made.status, 200, made.body)
            if change.method == "DELETE":
                continue
            new = made.header("ETag")
            self.assertEqual(new, await self.tag(change.shown))
            self.assertNotEqual(new, tag)
            self.assertEqual((await self.change(change, **{"If-Match": tag})).status, 412)
            self.assertEqual((await self.change(change, **{"If-Match": "*"})).status, 200)
            self.assertEqual((await self.change(change)).status, 200)

    async def test_nothing_there(self) -> None:
        """What there is not is 404, and can't be replaced."""
        elsewhere = quote("https://none.example", safe="")
        for method, path, body, status in (
            ("PATCH", f"{API}/accounts/none", {"weight": 1}, 404),
            ("PATCH", f"{API}/hosts/{elsewhere}", {"max_running": 1}, 404),
            ("DELETE", f"{API}/pauses/01JD0000000000000000000000", None, 404),
            ("PUT", f"{API}/accounts/none", ACCOUNT, 412),
            ("PUT", BUDGETS, {**LEFT, "name": "other"}, 412),
        ):
            for tag in ("*", '"x"'):
                answer = await self.change(Change(method, path, path, body), **{"If-Match": tag})
                self.assertEqual(answer.status, status, path)
                self.assertIsNone(answer.document.get("etag"))
        self.assertEqual(self.query("SELECT id FROM accounts"), [("acme",)])
        self.assertEqual(self.query("SELECT count(*) FROM budgets"), [(1,)])
        self.assertEqual((await self.get(f"{API}/hosts/{elsewhere}")).status, 404)
        self.assertEqual((await self.get(f"{API}/hosts/x")).status, 404)
        self.assertEqual((await self.get(f"{BUDGETS}/{elsewhere}")).status, 404)

    async def test_create_only(self) -> None:
        """With If-None-Match: * an account is created, never replaced."""
        only = {"If-None-Match": "*"}
        refused = await self.change(CHANGES[0], **only)
        self.assertEqual((refused.status, refused.document["etag"]), (412, await self.tag(ACME)))
        path = f"{API}/accounts/new"
        made = await self.request("PUT", path, json=ACCOUNT, headers=only)
        self.assertEqual((made.status, made.header("ETag")), (201, await self.tag(path)))
        self.assertEqual((await self.request("PUT", path, json=ACCOUNT, headers=only)).status, 412)

    async def test_a_host_at_work(self) -> None:
        """What jobs do meanwhile does not come between."""
        tag = await self.tag(HOSTS)
        self.query("UPDATE hosts SET last_success_at = now()")
        self.assertEqual(await self.tag(HOSTS), tag)
        self.assertIn("last_success_at", (await self.get(f"{API}/hosts")).document["hosts"][0])


class TogetherTests(ConditionTestCase):
    """Two at a time, on two connections to the database."""

    async def together(self, *requests: Any) -> list[Answer]:
        """The answers to *requests*, which are all in their transactions before the first one is committed."""
        with psycopg2.connect(self.database_url) as holding, holding.cursor() as cursor:
            cursor.execute("LOCK TABLE audit_log IN SHARE MODE")  # which each change writes to at its end
            sent = [Deferred.fromCoroutine(request) for request in requests]
            await until_waiting(self, len(requests))
            holding.rollback()
        return await gatherResults(sent)

    async def test_same_tag(self) -> None:
        """One is made; the other one, which has not seen that, is refused."""
        for change in CHANGES:
            tag = await self.tag(change.shown)
            answers = await self.together(*[self.change(change, **{"If-Match": tag}) for _ in range(2)])
            statuses = sorted(answer.status for answer in answers)
            self.assertEqual(statuses, [200, 404] if change.method == "DELETE" else [200, 412], change)
            made, refused = sorted(answers, key=lambda answer: answer.status)
            if change.method != "DELETE":
                self.assertEqual(refused.document["etag"], made.header("ETag"))

    async def test_different_changes(self) -> None:
        """Two changes of one account by different methods likewise."""
        tag = await self.tag(ACME)
        answers = await self.together(*[self.change(change, **{"If-Match": tag}) for change in CHANGES[:3]])
        self.assertEqual(sorted(answer.status for answer in answers), [200, 412, 412])

    async def test_both_create(self) -> None:
        """One creates the account; the other does not replace it."""
        path, only = f"{API}/accounts/new", {"If-None-Match": "*"}
        sent = [
            self.request("PUT", path, json={**ACCOUNT, "gitlab_url": f"{HOST}/{number}"}, headers=only)
            for number in range(2)
        ]
        made, refused = sorted(await self.together(*sent), key=lambda answer: answer.status)
        self.assertEqual((made.status, refused.status), (201, 412))
        self.assertEqual(refused.document["etag"], made.header("ETag"))
        self.assertEqual((await self.get(path)).document, made.document)
