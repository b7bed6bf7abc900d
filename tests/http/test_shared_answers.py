"""Answers that clients share."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from copilot_socket.http import shared_answers
from copilot_socket.http.messages import Reply
from copilot_socket.http.shared_answers import SharedAnswers, max_age
from tests.http.harness import TOKEN, Answer, SiteTestCase

ACCOUNTS = "/api/v1/accounts"


class HeaderTests(TestCase):
    """Cache-Control of requests."""

    def test_max_age(self) -> None:
        """The seconds of max-age, among other directives; nothing else counts."""
        for header, seconds in (
            ("max-age=5", 5),
            ("no-transform, Max-Age=12", 12),
            ("max-age=0", 0),
            ("no-cache", 0),
            ("", 0),
            (None, 0),
            ("s-max-age=5", 0),
            ("max-age=x", 0),
            ("max-age=-1", 0),
            ("max-age=99999999", 0),
        ):
            self.assertEqual(max_age(header), seconds, header)


class KeepingTests(TestCase):
    """What is kept, and for how long."""

    def setUp(self) -> None:
        """Nothing is kept."""
        self.clock = Clock()
        self.answers = SharedAnswers(self.clock.seconds)

    def test_age(self) -> None:
        """An answer is as old as the beginning of its read; it serves who takes one of that age."""
        began = self.clock.seconds()
        self.clock.advance(1.5)
        self.answers.keep("a", began, Reply(200, b"x"))
        self.assertIsNone(self.answers.find("a", 1))
        self.assertIsNone(self.answers.find("b", 9))
        found = self.answers.find("a", 2)
        assert found is not None
        self.assertEqual((found.body, found.headers["Age"]), (b"x", "1"))
        self.clock.advance(0.5)
        self.assertIsNone(self.answers.find("a", 2))

    def test_not_kept(self) -> None:
        """Errors, secrets and large answers; what was kept before is forgotten."""
        for reply in (
            Reply(503, b"x"),
            Reply(200, b"x", secret=True),
            Reply(200, b"x" * shared_answers.MAX_SHARED),
        ):
            self.answers.keep("a", 0, Reply(200, b"x"))
            self.answers.keep("a", 0, reply)
            self.assertIsNone(self.answers.find("a", 9))

    def test_bound(self) -> None:
        """The oldest go where there are too many bytes."""
        size = shared_answers.MAX_SHARED // 8
        for number in range(9):
            self.answers.keep(number, 0, Reply(200, b"x" * size))
            self.answers.keep(number, 0, Reply(200, b"y" * size))  # counted once
        self.assertEqual([number for number in range(9) if self.answers.find(number, 9)], [*range(1, 9)])


class SharedTests(SiteTestCase):
    """At a site."""

    async def old(self, query: str = "", token: str = TOKEN) -> Answer:
        """The accounts, as they were in the last minute."""
        headers = {"Authorization": f"Bearer {token}", "Cache-Control": "max-age=60"}
        return await self.get(ACCOUNTS + query, headers=headers)

    async def test_shared(self) -> None:
        """Who takes an old answer gets it, for the same query; who does not gets what is true now."""
        await self.account("one")
        self.assertEqual(len((await self.old()).document["accounts"]), 1)
        await self.account("two")
        old = await self.old()
        self.assertEqual((len(old.document["accounts"]), old.headers.getRawHeaders("age")), (1, ["0"]))
        self.assertEqual(len((await self.old("?limit=5")).document["accounts"]), 2)
        new = await self.get(ACCOUNTS)
        self.assertEqual((len(new.document["accounts"]), new.headers.getRawHeaders("age")), (2, None))

    async def test_errors_are_not_shared(self) -> None:
        """A wrong request is wrong again."""
        for _ in range(2):
            self.assertEqual((await self.old("?limit=x")).status, 422)

    async def test_limits(self) -> None:
        """A limited token shares nothing with others, and one whose role is too low gets nothing."""
        for name in ("one", "two"):
            await self.account(name)
        body = {"name": "app", "role": "app", "accounts": ["two"]}
        limited = (await self.post("/api/v1/tokens", body)).document["token"]
        reader = (await self.post("/api/v1/tokens", {"name": "reader", "role": "read"})).document["token"]
        names = [
            [row["id"] for row in (await self.old(token=token)).document["accounts"]]
            for token in (TOKEN, limited, reader)
        ]
        self.assertEqual(names, [["one", "two"], ["two"], ["one", "two"]])
        audit = {"Cache-Control": "max-age=60"}
        self.assertEqual((await self.get("/api/v1/audit", headers=audit)).status, 200)
        refused = await self.get("/api/v1/audit", headers={**audit, "Authorization": f"Bearer {reader}"})
        self.assertEqual(refused.status, 403)

    async def test_own_operations(self) -> None:
        """Limited tokens see their own operations only, also where their limits are the same."""
        await self.account("one")
        tokens = []
        for name in ("app", "other"):
            body = {"name": name, "role": "app", "accounts": ["one"]}
            tokens.append((await self.post("/api/v1/tokens", body)).document["token"])
        started = {"action": "retry", "filter": {"account_id": "one", "status": ["failed"]}}
        first = {"Authorization": f"Bearer {tokens[0]}"}
        self.assertEqual((await self.post("/api/v1/jobs/bulk", started, headers=first)).status, 202)
        seen = []
        for token in tokens:
            headers = {"Authorization": f"Bearer {token}", "Cache-Control": "max-age=60"}
            seen.append(len((await self.get("/api/v1/operations", headers=headers)).document["operations"]))
        self.assertEqual(seen, [1, 0])

    async def test_who_asks(self) -> None:
        """What depends on who asks is shared with nobody."""
        reader = (await self.post("/api/v1/tokens", {"name": "reader", "role": "read"})).document["token"]
        for token, name in ((TOKEN, "token:COPILOT_HTTP_TOKEN"), (reader, "token:reader")):
            headers = {"Authorization": f"Bearer {token}", "Cache-Control": "max-age=60"}
            self.assertEqual((await self.get("/api/v1/session", headers=headers)).document["name"], name)
