"""Secrets in what crawlers send."""

import json
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.masking import MOST, masked, masked_json

SECRET = "Zm9vYmFy-42_x.Y1"
OWN = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
PREFIXES = (
    *("glpat", "gloas", "gldt", "glrt", "glrtr", "glcbt", "glptt", "glft", "glimt"),
    *("glwt", "glsoat", "glffct"),
)
IN_TEXT = (
    *(f"{prefix}-{SECRET}" for prefix in PREFIXES),
    f"glagent-{SECRET}{SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"authorization: BEARER  {SECRET}",
    f"Proxy-Authorization: Basic {SECRET.replace('-', '').replace('_', '').replace('.', '')}==",
    f"PRIVATE-TOKEN: {SECRET}",
    f"Private-Token:{SECRET}",
    f"-H 'JOB-TOKEN: {SECRET}'",
    f"{{'PRIVATE-TOKEN': '{SECRET}'}}",
    f'{{"private_token": "{SECRET}"}}',
    f"https://gitlab.example.org/x?private_token={SECRET}&page=2",
    f"access_token={SECRET}",
    f'accessToken = "{SECRET}"',
    f"refresh_token={SECRET}&grant_type=refresh_token",
    f"client_secret={SECRET}",
    f"Cookie: _gitlab_session={SECRET}; path=/",
    f"https://oauth2:{SECRET}@gitlab.example.org/a/b.git",
    f"postgresql://me:{SECRET}@db/x",
    f"https://:{SECRET}@gitlab.example.org/",
)
IN_JSON: tuple[Any, ...] = (
    {"PRIVATE-TOKEN": SECRET},
    {"headers": {"private-token": [SECRET]}},
    {"job": {"accessToken": f'{SECRET} with " and \\ and \n'}},
    {"Authorization": "a b c"},
    ["PRIVATE-TOKEN", SECRET, "Accept", "*/*"],
    [{"name": "JOB-TOKEN", "value": SECRET}],
    {"body": json.dumps({"PRIVATE-TOKEN": SECRET})},
    {"body": json.dumps(json.dumps({"PRIVATE-TOKEN": SECRET}))},
    *({"text": text} for text in IN_TEXT),
)
INNOCENT = (
    "Bearer authentication required",
    "basic authentication is off",
    "invalid_token: Token is expired",
    "missing token: please give one",
    "gid://gitlab/Group/7",
    "global-configuration-of-everything",
    "glagent-configuration",
    "someone@example.org: no such user",
    "https://gitlab.example.org:8443/a/b@main",
    "2026-01-05T10:00:00Z at /usr/lib/token.js:12:3",
)
NOISE = st.text("ab1 .\"\\:=,/@-_[]{}'\n\té☃glt", max_size=8)
PIECES = st.one_of(
    NOISE,
    st.sampled_from(IN_TEXT),
    st.sampled_from(INNOCENT),
    st.sampled_from(["private-token", "token", "glpat-", "Bearer ", "://", OWN, OWN[:9], "\\u00", "\\"]),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
TOKENS = st.sampled_from(["", OWN, "short", "12345678", "1f1f1f1f", "nabcdefg"])
DOCUMENTS = st.recursive(
    st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.booleans(), st.none(), st.just(12345678)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """The structure of a JSON value, which masking must not change."""
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "text" if isinstance(value, str) else value


class TextTests(SynchronousTestCase):
    """Free text."""

    def test_every_form(self) -> None:
        """Each known form loses its secret and keeps its name."""
        for text in IN_TEXT:
            result = masked(f"before {text} after")
            self.assertNotIn(SECRET[:12], result)
            self.assertIn("***", result)
            self.assertTrue(result.startswith("before ") and result.endswith(" after"), result)

    def test_what_stays(self) -> None:
        """Prefixes, header names, hosts and users stay readable."""
        self.assertEqual(masked(f"glpat-{SECRET}"), "glpat-***")
        self.assertEqual(masked(f"PRIVATE-TOKEN: {SECRET}"), "PRIVATE-TOKEN: ***")
        self.assertEqual(masked(f"https://oauth2:{SECRET}@host/x"), "https://oauth2:***@host/x")
        self.assertEqual(masked(f"?private_token={SECRET}&page=2"), "?private_token=***&page=2")

    def test_innocent(self) -> None:
        """Text that only resembles a secret stays."""
        for text in INNOCENT:
            self.assertEqual(masked(text), text)

    def test_the_token_of_the_job(self) -> None:
        """The job's token is masked anywhere, unless it is so short that it may be a word."""
        self.assertEqual(masked(f"x{OWN}y {OWN}", OWN), "x***y ***")
        self.assertEqual(masked("a short token", "short"), "a short token")

    def test_untouched(self) -> None:
        """Text without a secret comes back as the same object."""
        text = "fetched page 12 of the issues of a/b"
        self.assertIs(masked(text, OWN), text)

    def test_too_many(self) -> None:
        """A text that consists of secrets is masked as a whole, in linear time."""
        for unit in (*IN_TEXT, OWN):
            self.assertEqual(masked(f"{unit} " * (MOST + 1), OWN), "***")
            self.assertEqual(masked_json(orjson.dumps({"a": [unit] * (MOST + 1), "b": 1}), OWN), b"{}")
            self.assertIn("***", masked(f"{unit} " * MOST, OWN)[1:])

    @given(TEXTS, TOKENS)
    @example("private_token=glpat-aaaaaaaa***", "")
    @example("://private-token:,,,@", "")
    def test_never_longer(self, text: str, token: str) -> None:
        """Masking makes no text longer, in bytes, and neither does masking it again."""
        once = masked(text, token)
        self.assertLessEqual(len(once.encode()), len(text.encode()))
        self.assertLessEqual(len(masked(once, token).encode()), len(once.encode()))


class JsonTests(SynchronousTestCase):
    """JSON: contexts and cursors."""

    def test_every_form(self) -> None:
        """Each known form loses its secret, as a member, an element or within a string."""
        for value in IN_JSON:
            result = masked_json(orjson.dumps(value))
            self.assertNotIn(SECRET[:12].encode(), result)
            self.assertNotIn(b"a b c", result)
            self.assertIn(b"***", result)
            self.assertEqual(shape(orjson.loads(result)), shape(value))

    def test_cursors(self) -> None:
        """A cursor stays usable: only known forms are masked, and only strings."""
        for cursor in (
            {"currentPage": 3, "lastEntityId": "gid://gitlab/Issue/77", "entityType": "issue"},
            {"nextPageToken": "eyJpZCI6IjEyMyJ9", "pageToken": "abc", "continuationToken": "d", "token": "x"},
            {"private_token": 12345, "job_token": None, "access_token": {"a": 1}},
            {"missing": "private-token", "page": "two"},
            {"paths": INNOCENT},
        ):
            document = orjson.dumps(cursor)
            self.assertIs(masked_json(document, "12345678"), document)

    def test_the_token_of_the_job(self) -> None:
        """The job's token is masked as a value, within a string and as a name."""
        document = orjson.dumps({"a": OWN, OWN: 1, "b": f"x{OWN}"})
        self.assertEqual(orjson.loads(masked_json(document, OWN)), {"a": "***", "***": 1, "b": "x***"})

    def test_no_escape_is_cut(self) -> None:
        """A token that begins like the end of an escape is not found within the escape."""
        for token, value in (("nabcdefg", "\nabcdefg"), ("1fabcdefg", "\x1fabcdefg"), ("babcdefgh", "\\babcdefgh")):
            result = orjson.loads(masked_json(orjson.dumps([value]), token))
            self.assertEqual(result, [value.replace(token, "***")])

    @given(DOCUMENTS, TOKENS)
    @example({"private-token\\": 1234}, "")
    def test_json_stays_json(self, value: Any, token: str) -> None:
        """For any document and token the result is JSON and not longer, also where it is masked again."""
        document = orjson.dumps(value)
        once = masked_json(document, token)
        orjson.loads(once)
        self.assertLessEqual(len(once), len(document))
        again = masked_json(once, token)
        orjson.loads(again)
        self.assertLessEqual(len(again), len(once))
        if once == document:
            self.assertIs(once, document)

    @given(st.lists(st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.none()), max_size=6), TOKENS)
    def test_only_strings_change(self, values: list[Any], token: str) -> None:
        """Each element of a list is unchanged, or a string with masked secrets."""
        after = orjson.loads(masked_json(orjson.dumps(values), token))
        self.assertEqual(shape(after), shape(values))
