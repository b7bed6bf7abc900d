"""The meaning of answers to the refresh-token grant."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.handlers.answers import Answer, retry_after
from copilot_socket.handlers.oauth import (
    LONGEST_LIFETIME,
    SHORTEST_LIFETIME,
    Pair,
    Refused,
    Unavailable,
    lifetime,
    read_answer,
)

PAIR = {"access_token": "access", "refresh_token": "refresh", "expires_in": 7200, "token_type": "Bearer"}
MARK = "MARKED"


def answer(status: int, body: object, wait: float | None = None) -> Answer:
    """An answer with *body*, as JSON unless it is bytes."""
    return Answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), wait)


class AnswerTests(SynchronousTestCase):
    """Each answer is a pair, Refused or Unavailable."""

    def read(self, status: int, body: object) -> Pair:
        """Read an answer."""
        return read_answer(answer(status, body))

    def unavailable(self, status: int, body: object) -> str:
        """The Unavailable raised for an answer."""
        return str(self.assertRaises(Unavailable, self.read, status, body))

    def test_a_pair(self) -> None:
        """A pair is read; a refresh token that is missing, null or empty is None."""
        self.assertEqual(self.read(200, PAIR), Pair("access", "refresh", 7200.0))
        for none in ({}, {"refresh_token": None}, {"refresh_token": ""}):
            self.assertEqual(self.read(200, {"access_token": "a", **none}), Pair("a", None, None))
        self.assertNotIn("access", repr(self.read(200, PAIR)))

    def test_refused_for_good(self) -> None:
        """Only invalid_grant means Refused, with any client error status."""
        for status in (400, 401, 403):
            error = self.assertRaises(
                Refused, self.read, status, {"error": "invalid_grant", "error_description": MARK}
            )
            self.assertIn("invalid_grant", str(error))
            self.assertNotIn(MARK, str(error))

    def test_everything_else(self) -> None:
        """Any other answer means Unavailable, with a message that quotes nothing of it."""
        for status, body in (
            *((status, {"error": "invalid_client", "error_description": MARK}) for status in (400, 401)),
            (400, {"error": MARK}),
            (400, {"error": ["invalid_grant"]}),
            (400, {"error": {"a": MARK}}),
            (400, f"<html>invalid_grant {MARK}".encode()),
            (403, b"<html>blocked"),
            (403, ["invalid_grant"]),
            (404, {"message": MARK}),
            *((status, {"error": "invalid_grant"}) for status in (200, 302, 429, 500, 503)),
            (200, b""),
            (200, b"<html>"),
            (200, b"\xff\xfe{}"),
            (200, b"[" * 60_000),
            (200, b'{"access_token": "a", "expires_in": ' + b"1" * 5000),
            *((200, value) for value in ([], "x", None, 5)),
        ):
            self.assertNotIn(MARK, self.unavailable(status, body))

    def test_whose_mistake(self) -> None:
        """The messages for a wrong OAuth client and a redirect say what the operator must correct."""
        said = self.unavailable(401, {"error": "invalid_client"})
        for word in ("invalid_client", "GITLAB_CLIENT_ID", "oauth_clients"):
            self.assertIn(word, said)
        self.assertIn("gitlab_url", self.unavailable(302, b""))
        self.assertIn("503", self.unavailable(503, b""))

    def test_tokens_that_are_none(self) -> None:
        """A token is printable ASCII of bounded length; any other makes the answer unusable."""
        for token in ("", None, 5, True, ["a"], "a\nb", "a\0", "a b", "é", "\ud800", "a" * 8193, " ", "a\r"):
            self.unavailable(200, {**PAIR, "access_token": token})
            if token not in ("", None):
                self.unavailable(200, {**PAIR, "refresh_token": token})
        self.assertEqual(self.read(200, {"access_token": "a" * 8192}).access_token, "a" * 8192)

    def test_wait(self) -> None:
        """Retry-After is passed on."""
        for status, body in ((429, b""), (503, b""), (400, {"error": "invalid_request"})):
            error = self.assertRaises(Unavailable, read_answer, answer(status, body, 30.0))
            self.assertEqual(error.retry_after, 30.0)

    @given(
        st.integers(200, 599),
        st.one_of(
            st.binary(max_size=50),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
                lambda inner: st.dictionaries(st.sampled_from([*PAIR, "error"]), inner, max_size=4),
                max_leaves=6,
            ),
        ),
    )
    def test_anything(self, status: int, body: Any) -> None:
        """No answer raises anything else."""
        try:
            pair = read_answer(answer(status, body))
        except (Refused, Unavailable):
            return
        self.assertTrue(pair.access_token.isascii() and pair.access_token.isprintable())


class LifetimeTests(SynchronousTestCase):
    """Lifetimes of tokens."""

    def test_values(self) -> None:
        """A minute to a year; a number may be a string; anything else is unknown."""
        for given_, seconds in (
            *((value, 7200.0) for value in (7200, 7200.0, "7200", "7.2e3")),
            *((value, SHORTEST_LIFETIME) for value in (0, -1, 59.9, -1e300, float("-inf"), "-5")),
            *((value, LONGEST_LIFETIME) for value in (1e300, float("inf"), "inf", "1" * 400, 31536001)),
            *((value, None) for value in (None, True, float("nan"), "nan", "soon", "", [], {})),
        ):
            self.assertEqual(lifetime(given_), seconds, repr(given_)[:40])

    def test_in_an_answer(self) -> None:
        """JSON of Python and of JavaScript has numbers that no standard has."""
        for text, seconds in (("NaN", None), ("Infinity", LONGEST_LIFETIME), ("1e999", LONGEST_LIFETIME)):
            body = f'{{"access_token": "a", "expires_in": {text}}}'.encode()
            self.assertEqual(read_answer(Answer(200, body)).lifetime, seconds)


class RetryAfterTests(SynchronousTestCase):
    """The header field."""

    def test_values(self) -> None:
        """Seconds, or a time by the server's own clock."""
        date = "Mon, 05 Jan 2026 10:00:00 GMT"
        for field, seconds in (
            ("120", 120.0),
            (" 5 ", 5.0),
            ("Mon, 05 Jan 2026 10:00:30 GMT", 30.0),
            ("Mon, 05 Jan 2026 09:00:00 GMT", 0.0),
            *((value, None) for value in (None, "", "-1", "soon", "9" * 12, "1e3", "٣")),
        ):
            self.assertEqual(retry_after(field, date), seconds, field)
        self.assertIsNone(retry_after("Mon, 05 Jan 2026 10:00:30 GMT", None))
        self.assertIsNone(retry_after("Mon, 05 Jan 2026 10:00:30 GMT", "x"))
