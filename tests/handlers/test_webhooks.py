"""Webhooks are sent: to receivers of all kinds, by several nodes, with a real database."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import CLI, Act
from copilot_socket.core.jobs import Event
from copilot_socket.core.live_events import LiveEvent, encoded
from copilot_socket.core.vault import Vault, new_key
from copilot_socket.core.webhooks import Verdict
from copilot_socket.event_bus import WebhookTried
from copilot_socket.handlers import webhooks as sending
from copilot_socket.handlers.webhooks import WebhookSender
from copilot_socket.store import live_events, webhook_deliveries
from copilot_socket.store.database import Database
from copilot_socket.store.live_events import SETTINGS, Numbering
from copilot_socket.store.webhook_deliveries import WebhookDeliveries
from copilot_socket.store.webhooks import MadeSecret, NewWebhook, Webhooks
from tests.support.crawler import until
from tests.support.receiver import Receiver, answering, hanging
from tests.support.store import StoreTestCase

ACT = Act(CLI, Actor("test"), "webhook.add")
HELD = encoded(LiveEvent("host", {"gitlab_origin": "https://gitlab.test", "event": "held"}))
ALL = ("credential.expired", "crawler.quarantined", "host.held", "job.failed")
NOW = 1767607200.0


class SenderTestCase(StoreTestCase):
    """A node whose rounds the test runs, and a receiver."""

    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        """Begin."""
        super().setUp()
        self.vault = Vault([new_key()])
        self.numbering = Numbering(self.database.dedicated(settings=SETTINGS), reactor)
        self.addCleanup(self.numbering.close)
        await self.numbering.run([])
        self.webhooks = Webhooks(self.database, self.vault)
        self.receiver = self.listening()
        self.sender = self.node()

    def node(self, numbering: Any = None) -> WebhookSender:
        """A sender: of another node, if it has another *numbering*."""
        deliveries = WebhookDeliveries(self.database, self.vault)
        made = WebhookSender(deliveries, numbering or self.numbering, reactor, self.bus, lambda: NOW)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop(0.0)))
        return made

    def listening(self) -> Receiver:
        """One more receiver."""
        made = Receiver()
        self.addCleanup(made.close)
        return made

    async def webhook(self, receiver: Receiver | None = None, *events: str, url: str | None = None) -> MadeSecret:
        """A webhook that is told of *events*; without any, of all."""
        new = NewWebhook(url=url or (receiver or self.receiver).url, events=events or ALL)
        made = await self.webhooks.add(new, ACT)
        assert made is not None
        self.sender.changed()
        return made

    async def next_one(self) -> Numbering:
        """Another node numbers the events from now on."""
        self.numbering.close()
        self.patch(live_events, "TRY_EACH", 0.0)
        made = Numbering(self.database.dedicated(settings=SETTINGS), reactor)
        self.addCleanup(made.close)
        while not made.holds:
            await made.run([])
        return made

    async def happens(self, *changes: str) -> None:
        """Store live events, and number them."""
        await self.numbering.run(changes)

    async def sent(self, *senders: WebhookSender) -> None:
        """A round of each sender, at the same time, and the end of all that these have begun."""
        senders = senders or (self.sender,)
        await gatherResults([Deferred.fromCoroutine(each.run()) for each in senders])
        busy = [(each._sending, each._taking) for each in senders]
        await until(lambda: not any(sending or taking.locked for sending, taking in busy), "all attempts are over")

    def states(self) -> list[tuple[Any, ...]]:
        """Status, attempts, code and error of all deliveries."""
        return self.query("SELECT status, attempts, status_code, error FROM webhook_deliveries ORDER BY next_at, id")

    def due(self) -> None:
        """Let the waits be over."""
        self.query("UPDATE webhook_deliveries SET next_at = now() WHERE status = 'pending'")

    def outcomes(self) -> list[str]:
        """Of all attempts."""
        return [event.outcome for event in self.published if isinstance(event, WebhookTried)]


class SendingTests(SenderTestCase):
    """From what happens to the receiver."""

    async def test_a_message(self) -> None:
        """It is signed by the secret that was shown, and says what has happened when, under one id."""
        made = await self.webhook()
        await self.happens(HELD)
        await self.sent()
        [got] = self.receiver.received
        self.assertTrue(got.signed_by(made.secret))
        self.assertFalse(got.signed_by(made.secret.swapcase()))
        [(delivery, at)] = self.query("SELECT id, occurred_at FROM webhook_deliveries")
        self.assertEqual((got.id, got.timestamp), (delivery, str(int(NOW))))
        self.assertEqual(
            got.document,
            {
                "id": delivery,
                "event": "host.held",
                "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "data": {"gitlab_origin": "https://gitlab.test"},
            },
        )
        self.assertEqual(self.states(), [("delivered", 1, 204, None)])
        self.assertEqual(self.outcomes(), ["delivered"])

    async def test_each_once(self) -> None:
        """However many rounds there are; each webhook is told what it wants to hear."""
        other = self.listening()
        await self.webhook()
        await self.webhook(other, "job.failed")
        for _ in range(3):
            await self.happens(HELD, HELD)
            await self.sent()
        self.assertEqual(len(set(self.receiver.ids)), 6)
        self.assertEqual(len(self.receiver.ids), 6)
        self.assertEqual(other.ids, [])

    async def test_many(self) -> None:
        """More than is read at a time, from transactions that several rounds have numbered."""
        self.patch(webhook_deliveries, "ROWS", 3)
        await self.webhook()
        for count in (1, 5, 0, 2):
            for _ in range(count):
                self.query("INSERT INTO events (changes) VALUES (%s)", f"[{HELD},{HELD}]")
            await self.happens()
        await self.sent()
        self.assertEqual((len(self.receiver.ids), len(set(self.receiver.ids))), (16, 16))

    async def test_failed_for_good(self) -> None:
        """A job that fails for good is told of by the transaction that ends it."""
        await self.webhook()
        [job] = self.add_jobs("g/p")
        await self.present("c1")
        [assignment] = await self.claim()
        await self.transitions.apply([job], Event.FAILED_FOR_GOOD)
        await self.happens()
        await self.sent()
        [got] = self.receiver.received
        self.assertEqual(got.document["event"], "job.failed")
        self.assertEqual(got.document["data"]["id"], job)
        self.assertEqual(got.document["data"]["crawler_job_id"], assignment)

    async def test_before_it_was_made(self) -> None:
        """A webhook is not told what happened before it was, nor while it was inactive."""
        await self.happens(HELD)
        made = await self.webhook()
        await self.sent()
        self.assertEqual(self.receiver.ids, [])
        await self.webhooks.change(made.id, {"active": False}, ACT)
        await self.happens(HELD)
        await self.webhooks.change(made.id, {"active": True}, ACT)
        await self.happens(HELD)
        later = self.listening()
        await self.webhook(later)
        await self.sent()
        self.assertEqual((len(self.receiver.ids), later.ids), (1, []))

    async def test_nothing_without_a_webhook(self) -> None:
        """Then nothing is read: neither events nor deliveries."""
        await self.sender.run()
        asked: list[str] = []
        self.patch(Database, "query", lambda _self, text, *_: asked.append(text))
        self.patch(Database, "transaction", lambda _self, work: asked.append(repr(work)))
        for _ in range(5):
            await self.sender.run()
        self.assertEqual(asked, [])

    async def test_too_many(self) -> None:
        """What waits for a receiver is bounded; the rest is dropped, with a line in the log."""
        self.patch(webhook_deliveries, "MOST_PENDING", 3)
        self.receiver.answer = answering(500)
        await self.webhook()
        await self.happens(*[HELD] * 5)
        await self.sent()
        self.assertEqual(len(self.states()), 3)

    async def test_rotation(self) -> None:
        """While the former secret is valid, both sign; then only the new one."""
        old = await self.webhook()
        new = await self.webhooks.rotate(old.id, 3600.0, ACT)
        assert new is not None
        await self.happens(HELD)
        await self.sent()
        self.query("UPDATE webhooks SET former_secret_until = now()")
        await self.happens(HELD)
        await self.sent()
        both, alone = self.receiver.received
        self.assertEqual([both.signed_by(each.secret) for each in (new, old)], [True, True])
        self.assertEqual([alone.signed_by(each.secret) for each in (new, old)], [True, False])

    async def test_secrets_at_rest(self) -> None:
        """They are encrypted, and bound to their row; one that was copied there signs nothing."""
        one, other = await self.webhook(), await self.webhook()
        stored = self.query("SELECT secret FROM webhooks")
        self.assertNotIn(one.secret, str(stored))
        self.query(
            "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = %s) WHERE id = %s", one.id, other.id
        )
        await self.happens(HELD)
        await self.sent()
        self.assertEqual([got.signed_by(one.secret) for got in self.receiver.received], [True])
        [(status, error)] = self.query("SELECT status, error FROM webhook_deliveries WHERE webhook_id = %s", other.id)
        self.assertEqual(status, "pending")
        self.assertIn("COPILOT_SECRET_KEY", error)


class ReceiverTests(SenderTestCase):
    """Receivers that misbehave."""

    async def refused(self, answer: Callable[[Any], Any], code: int | None, error: str) -> None:
        """*answer* is no delivery: what is sent again has the same id."""
        self.receiver.answer = answer
        before = len(self.receiver.ids)
        self.due()
        await self.sent()
        self.assertEqual(len(self.receiver.ids), before + 1)
        [(status, _, got, why)] = self.states()
        self.assertEqual((status, got), ("pending", code))
        self.assertIn(error, why)

    async def test_each(self) -> None:
        """Errors, redirects, huge answers and silence are tried again, until it is delivered."""
        await self.webhook()
        await self.happens(HELD)
        elsewhere = self.listening()
        await self.refused(answering(500, b"secret words"), 500, "answered 500")
        await self.refused(answering(404), 404, "answered 404")
        await self.refused(answering(307, Location=elsewhere.url), 307, "answered 307")
        await self.refused(answering(200, b"x" * 1_000_000), None, "sent more than")
        soon = self.patch(sending, "TIME_LIMIT", 0.3)
        await self.refused(hanging, None, "did not answer within 0.3 s")
        soon.restore()
        self.receiver.answer = answering(200, b"ok")
        self.due()
        await self.sent()
        self.assertEqual(self.states(), [("delivered", 6, 200, None)])
        self.assertEqual((len(set(self.receiver.ids)), elsewhere.ids), (1, []))
        self.assertEqual(self.outcomes(), ["retried"] * 5 + ["delivered"])

    async def test_wait(self) -> None:
        """The next attempt is not before its time, which a receiver may put off."""
        self.receiver.answer = answering(503, Retry_After="600")
        await self.webhook()
        await self.happens(HELD)
        await self.sent()
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)
        [(wait,)] = self.query("SELECT extract(epoch FROM next_at - now())::float8 FROM webhook_deliveries")
        self.assertTrue(500 < wait <= 600, wait)

    async def test_given_up(self) -> None:
        """After a day a message is not sent again."""
        self.receiver.answer = answering(500)
        await self.webhook()
        await self.happens(HELD)
        await self.sent()
        self.query("UPDATE webhook_deliveries SET created_at = now() - interval '1 day'")
        self.due()
        await self.sent()
        await self.sent()
        self.assertEqual(self.states(), [("failed", 2, 500, "answered 500")])
        self.assertEqual(self.outcomes(), ["retried", "failed"])

    async def test_gone(self) -> None:
        """410 makes the webhook inactive; what else it was to be sent is given up."""
        await self.webhook()
        self.receiver.answer = answering(410)
        await self.happens(HELD, HELD, HELD)
        await self.sent()
        self.sender.changed()
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)
        self.assertEqual({status for status, *_ in self.states()}, {"failed"})
        self.assertEqual(self.query("SELECT active_since FROM webhooks"), [(None,)])
        self.assertEqual(self.outcomes(), ["gone"])

    async def test_slow(self) -> None:
        """One that hangs keeps no other waiting, and has one request at a time."""
        slow = self.listening()
        slow.answer = hanging
        await self.webhook(slow)
        await self.webhook()
        await self.happens(*[HELD] * 10)
        await self.sender.run()
        await until(lambda: len(self.receiver.ids) == 10, "the other one has all")
        await until(lambda: slow.ids, "the slow one has its request")
        await self.sender.run()
        self.assertEqual(len(slow.ids), 1)

    async def test_not_there(self) -> None:
        """Nobody listens, or the URL of another program's row leads nowhere."""
        self.patch(sending, "TIME_LIMIT", 0.3)
        made = await self.webhook(url="http://127.0.0.1:1/")
        await self.happens(HELD)
        for url in ("http://127.0.0.1:1/", "https://[::1", "http://x:99999/", f"https{self.receiver.url[4:]}"):
            self.query("UPDATE webhooks SET url = %s WHERE id = %s", url, made.id)
            self.due()
            await self.sent()
            [(status, _, code, error)] = self.states()
            self.assertEqual((status, code), ("pending", None), url)
            self.assertIn("did not answer", error)


class NodesTests(SenderTestCase):
    """Several nodes."""

    async def test_two(self) -> None:
        """Each message is sent once, whoever sends it."""
        other = self.node()
        await self.webhook()
        other.changed()
        for _ in range(5):
            await self.happens(*[HELD] * 4)
            await self.sent(self.sender, other)
        await self.sent(self.sender, other)
        self.assertEqual(len(self.receiver.ids), 20)
        self.assertEqual(len(set(self.receiver.ids)), 20)

    async def test_change_of_node(self) -> None:
        """The next node that numbers events goes on where the last one was."""
        await self.webhook()
        await self.happens(HELD)
        await self.sent()
        await self.happens(HELD)
        other = self.node(await self.next_one())
        await self.sent(self.sender, other)
        self.assertEqual(len(set(self.receiver.ids)), 2)
        self.assertEqual(len(self.receiver.ids), 2)

    async def test_killed(self) -> None:
        """What a node had taken when it died is sent by another one once its lease is over, and not before."""
        await self.webhook()
        await self.happens(HELD)
        deliveries = WebhookDeliveries(self.database, self.vault)
        await deliveries.make()
        [taken] = await deliveries.take([hook for (hook,) in self.query("SELECT id FROM webhooks")])
        await self.sent()
        self.assertEqual(self.receiver.ids, [])
        self.query("UPDATE webhook_deliveries SET leased_until = now()")
        await self.sent()
        self.assertEqual(self.receiver.ids, [taken.id])
        self.assertEqual(self.states(), [("delivered", 2, 204, None)])

    async def test_late_outcome(self) -> None:
        """The outcome of an attempt whose lease is over does not undo that of the next one."""
        await self.webhook()
        await self.happens(HELD)
        deliveries = WebhookDeliveries(self.database, self.vault)
        await deliveries.make()
        hooks = [hook for (hook,) in self.query("SELECT id FROM webhooks")]
        [first] = await deliveries.take(hooks)
        self.query("UPDATE webhook_deliveries SET leased_until = now()")
        [second] = await deliveries.take(hooks)
        await deliveries.settle(first, Verdict("failed"), None, "late")
        self.assertEqual(self.states(), [("pending", 2, None, None)])
        await deliveries.settle(second, Verdict("delivered"), 200, None)
        await deliveries.settle(second, Verdict("failed"), None, "late")
        self.assertEqual(self.states(), [("delivered", 2, 200, None)])

    async def test_stopped(self) -> None:
        """A node that stops while it takes a delivery waits for that; what is not over then is anybody's at once."""
        self.receiver.answer = hanging
        await self.webhook()
        await self.happens(HELD)
        take, stopping = WebhookDeliveries.take, []

        def taking(deliveries: WebhookDeliveries, webhooks: Any) -> Any:
            stopping.append(Deferred.fromCoroutine(self.sender.stop(3.0)))
            return take(deliveries, webhooks)

        patch = self.patch(WebhookDeliveries, "take", taking)
        await self.sender.run()
        patch.restore()
        [stopped] = stopping
        await stopped
        self.assertEqual(len(self.receiver.ids), 1)
        self.assertEqual(self.query("SELECT status, leased_until FROM webhook_deliveries"), [("pending", None)])
        self.receiver.answer = answering(200)
        await self.sent(self.node())
        self.assertEqual(len(self.receiver.ids), 2)
        self.assertEqual(len(set(self.receiver.ids)), 1)


class GapTests(SenderTestCase):
    """Live events that are lost."""

    async def test_lost(self) -> None:
        """What comes behind them is told."""
        await self.webhook()
        await self.happens(HELD)
        self.query("TRUNCATE events")
        await self.happens('["lost"]')
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)

    async def test_numbers_lost(self) -> None:
        """Where the numbers are lower than the place, as after a clock was set back, it goes on at the present."""
        await self.webhook()
        self.query("UPDATE webhook_place SET number = number + 1000000")
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(self.receiver.ids, [])
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)

    async def test_place_lost(self) -> None:
        """Where somebody has deleted it, it goes on at the present."""
        await self.webhook()
        self.query("DELETE FROM webhook_place")
        for _ in range(2):
            await self.sent()
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)

    async def test_odd_rows(self) -> None:
        """Rows that no node has written keep nothing back."""
        await self.webhook()
        await self.happens('["event", "host", "failed"]', '["failed"]')
        await self.happens('["event", [], {"event": "held"}]')
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)

    async def test_crash_of_the_database(self) -> None:
        """Then the numbers begin anew, at higher ones."""
        await self.webhook()
        await self.happens(HELD)
        self.query("TRUNCATE events, event_numbers")
        self.numbering = await self.next_one()
        self.sender = self.node()
        await self.happens(HELD)
        await self.sent()
        self.assertEqual(len(self.receiver.ids), 1)
