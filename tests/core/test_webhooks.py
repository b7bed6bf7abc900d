"""Webhooks: of what they tell, signatures, and what answers mean."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core import webhooks
from copilot_socket.core.live_events import LiveEvent, encoded, job, joined
from copilot_socket.core.webhooks import (
    CAP,
    GIVE_UP,
    PATTERN,
    BadSecret,
    Notice,
    Verdict,
    WebhookEvent,
    headers,
    message,
    new_secret,
    notice_of,
    verdict,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = datetime(2026, 1, 5, 10, 0, 0, 123456, UTC)
_ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(), max_size=3))


class NoticeTests(SynchronousTestCase):
    """Which live events are told."""

    def test_each(self) -> None:
        """What each event is told as, with its data but without what the event's name says."""
        failed = job("J1", "job_failed", status="failed", account_id="acme", cause="not_found", reason="no attempts")
        whose, gitlab = {"account_id": "acme"}, {"gitlab_origin": "https://x"}
        for live, event, data in (
            (LiveEvent("account", {**whose, "event": "refused"}), "credential.expired", whose),
            (
                LiveEvent("connection", {"crawler_id": "c1", "event": "quarantined"}),
                "crawler.quarantined",
                {"crawler_id": "c1"},
            ),
            (LiveEvent("host", {**gitlab, "event": "held"}), "host.held", gitlab),
            (failed, "job.failed", {"id": "J1", **whose, "cause": "not_found", "reason": "no attempts"}),
        ):
            notice = notice_of(live)
            assert notice is not None
            self.assertEqual((notice.event, json.loads(notice.payload)), (event, data))
            self.assertRegex(joined([encoded(live)]), PATTERN)

    def test_others(self) -> None:
        """What has recovered, is tried again, or was inserted as it is, is not told."""
        for live in (
            LiveEvent("account", {"account_id": "acme", "event": "refreshed"}),
            LiveEvent("account", {"account_id": "acme", "event": "failed"}),
            LiveEvent("host", {"event": "released"}),
            LiveEvent("connection", {"event": "draining"}),
            LiveEvent("pause", {"event": "held"}),
            job("J1", "job_failed", status="queued"),
            job("J1", "created", status="failed"),
        ):
            self.assertIsNone(notice_of(live), live)

    @given(
        st.dictionaries(st.sampled_from(("id", "account_id", "cause", "progress", "x")), _ANY, max_size=5),
        st.text(max_size=3000),
    )
    def test_whatever_it_holds(self, data: dict[str, object], reason: str) -> None:
        """It is JSON that PostgreSQL stores, of bounded size."""
        live = LiveEvent("job", {**data, "status": "failed", "event": "job_failed", "reason": reason})
        notice = notice_of(live)
        assert notice is not None
        self.assertNotIn("\\u0000", notice.payload)
        self.assertTrue(all(len(value) <= webhooks.LONGEST for value in json.loads(notice.payload).values()))


class MessageTests(SynchronousTestCase):
    """Bodies and their signatures."""

    def test_specified(self) -> None:
        """The example of the specification."""
        body = b'{"test": 2432232314}'
        sent = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, [SECRET], 1614265330.9)
        self.assertEqual(sent["Webhook-Signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        self.assertEqual(sent["Webhook-Timestamp"], "1614265330")

    def test_body(self) -> None:
        """Its id, its event, when that was, and its data."""
        body = message("01J", WebhookEvent.HOST_HELD, AT, '{"gitlab_origin": "https://x"}')
        self.assertEqual(
            json.loads(body),
            {
                "id": "01J",
                "event": "host.held",
                "timestamp": "2026-01-05T10:00:00.123Z",
                "data": {"gitlab_origin": "https://x"},
            },
        )

    def test_two_secrets(self) -> None:
        """During a rotation there is a signature by each, the new one first."""
        secrets = [new_secret(), new_secret()]
        sent = headers("01J", b"{}", secrets, 7.0)
        expected = [
            "v1,"
            + base64.b64encode(hmac.new(base64.b64decode(secret[6:]), b"01J.7.{}", hashlib.sha256).digest()).decode()
            for secret in secrets
        ]
        self.assertEqual(sent["Webhook-Signature"].split(" "), expected)
        self.assertNotEqual(*expected)

    def test_secrets(self) -> None:
        """Of 32 bytes, as the specification wants them."""
        self.assertRegex(new_secret(), "^whsec_[A-Za-z0-9+/]{43}=$")
        self.assertNotEqual(new_secret(), new_secret())

    def test_bad_secret(self) -> None:
        """One that is none, or too short, signs nothing."""
        for secret in ("", "whsec_", "whsec_!", "none", "ü", "whsec_abc", SECRET[:-4]):
            self.assertRaises(BadSecret, headers, "01J", b"{}", [secret], 0.0)


class VerdictTests(SynchronousTestCase):
    """What an attempt means."""

    def test_examples(self) -> None:
        """2xx is delivered, 410 ends all, everything else is tried again, ever later."""
        for status, attempts, age, expected in (
            (200, 1, 0.0, Verdict("delivered")),
            (204, 30, 90000.0, Verdict("delivered")),
            (410, 1, 0.0, Verdict("failed", gone=True)),
            (None, 1, 0.0, Verdict("pending", 10.0)),
            (500, 2, 10.0, Verdict("pending", 20.0)),
            (302, 3, 30.0, Verdict("pending", 40.0)),
            (400, 20, 9000.0, Verdict("pending", 3600.0)),
            (None, 10**9, GIVE_UP - 3600.0, Verdict("pending", 3600.0)),
            (None, 30, GIVE_UP - 3599.0, Verdict("failed")),
        ):
            self.assertEqual(verdict(status, attempts, age), expected, (status, attempts, age))

    def test_retry_after(self) -> None:
        """A receiver may ask for a longer wait, up to the longest one."""
        self.assertEqual(verdict(429, 1, 0.0, 300.0), Verdict("pending", 300.0))
        self.assertEqual(verdict(503, 1, 0.0, 3.0), Verdict("pending", 10.0))
        self.assertEqual(verdict(503, 1, 0.0, 1e9), Verdict("pending", CAP))

    @given(
        st.one_of(st.none(), st.integers(100, 999)),
        st.integers(1, 10**9),
        st.floats(0, 1e9),
        st.one_of(st.none(), st.floats(0, 1e12)),
    )
    def test_any(self, status: int | None, attempts: int, age: float, asked: float | None) -> None:
        """No attempt after a day, none sooner than the first wait; only 410 is gone."""
        decided = verdict(status, attempts, age, asked)
        self.assertEqual(decided.gone, status == 410)
        self.assertEqual(decided.status == "delivered", status is not None and status // 100 == 2)
        if decided.status == "pending":
            self.assertTrue(10.0 <= decided.wait <= CAP)
            self.assertLessEqual(age + decided.wait, GIVE_UP)

    def test_attempts_in_a_day(self) -> None:
        """A receiver that never answers is sent each message 32 times."""
        age, attempts = 0.0, 0
        while True:
            attempts += 1
            decided = verdict(None, attempts, age)
            if decided.status == "failed":
                break
            age += decided.wait
        self.assertEqual(attempts, 32)

    def test_names_in_rows(self) -> None:
        """A payload holds what it tells of, and nothing that stands beside it."""
        self.assertEqual(notice_of(LiveEvent("host", {"event": "held"})), Notice("host.held", "{}"))
