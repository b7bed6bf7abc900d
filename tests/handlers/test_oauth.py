"""What GitLab's answer to the refresh of a token is taken for."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.handlers.oauth import Pair, Unavailable, read_answer

YEAR = 365 * 86400.0


def answer(body: str | None = None, **fields: Any) -> Pair:
    """The pair in *body*, or in an answer with *fields*."""
    given = json.dumps({"access_token": "a", "refresh_token": "r", **fields}) if body is None else body
    return read_answer("https://gitlab.test", 200, given.encode())


class AnswerTests(SynchronousTestCase):
    """read_answer()."""

    def test_lifetimes(self) -> None:
        """A lifetime lies between a minute and a year; what is no number says nothing."""
        for given, taken in (
            ("7200", 7200.0), ("0", 60.0), ("-1e300", 60.0), ("1e300", YEAR), ("9" * 400, YEAR), ("Infinity", YEAR),
            ("NaN", None), ('"7200"', None), ("true", None), ("null", None), ("[]", None),
        ):  # fmt: skip
            with self.subTest(given):
                self.assertEqual(answer(f'{{"access_token": "a", "expires_in": {given}}}').lifetime, taken)

    def test_tokens(self) -> None:
        """A token that can't be stored, or can't stand in a header, is none."""
        self.assertEqual(answer(access_token="!~" * 4096).access_token, "!~" * 4096)
        for token in ("", "a b", "a\n", "a\x00", "ä", "a" * 8193, 7, None):
            with self.subTest(token):
                self.assertRaises(Unavailable, answer, access_token=token)
                self.assertIsNone(answer(refresh_token=token).refresh_token)
