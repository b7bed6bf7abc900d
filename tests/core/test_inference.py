"""The cause of a failure that names none."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.ends import FAILURES, Cause
from copilot_socket.core.inference import CODES, LONGEST, MOST_RETRY_AFTER, Inference, by_http_status, infer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(["status", "code", "retryAfter", "headers", "response", "cause", "httpStatus", "name"])


class InferenceTests(SynchronousTestCase):
    """infer()."""

    def check(self, cause: Cause, *texts: str) -> None:
        """Each of *texts* alone says *cause*."""
        for text in texts:
            self.assertEqual(infer(text), Inference(cause), text)

    def test_a_fault_of_the_crawler(self) -> None:
        """What is not recognised is an error of the job; numbers and words in it are no statuses."""
        self.check(
            Cause.JOB_ERROR,
            *("", "x", "Unknown task type: epics", "Handler not found", "page 404 of 500", "500 items are too many"),
            *("error 500 items failed", "Cannot read properties of undefined (reading '401')", "issue 503 is odd"),
            *(
                "TypeError: x is not a function",
                "HTTP 400",
                "database unauthorized",
                "CSRF token is expired",
                "status 422",
                "Module not found: fetch",
            ),
        )

    def test_gitlab_is_unavailable(self) -> None:
        """Refused, timed out, 5xx."""
        self.check(
            Cause.GITLAB_UNAVAILABLE,
            *("ECONNREFUSED", "connect ECONNREFUSED 10.0.0.1:443", "fetch failed", "TypeError: fetch failed"),
            *("HTTP 503", "503 Service Unavailable", "Request failed with status code 502", "HTTP/1.1 500 Oops"),
            *("socket hang up", "getaddrinfo ENOTFOUND gitlab.example", "connection timed out", "Gateway Timeout"),
            *("The operation was aborted due to timeout", "GitLab API error 504: slow", "Connection reset by peer"),
        )

    def test_rate_limited(self) -> None:
        """429, or what stands for it."""
        self.check(Cause.RATE_LIMITED, "429 Too Many Requests", "HTTP 429", "You are rate limited", "status: 429")

    def test_the_credential(self) -> None:
        """401, or what stands for it."""
        self.check(Cause.CREDENTIAL, "401", "401 Unauthorized", "HTTP 401", "Error: 401")
        self.check(Cause.CREDENTIAL, "Response code 401 (Unauthorized)", "invalid_token", "GitLab API returned 401")

    def test_not_found_and_forbidden(self) -> None:
        """Verdicts on the area."""
        self.check(Cause.NOT_FOUND, "404 Not Found", "404 Project Not Found", "HTTP 404", "status code 410")
        self.check(Cause.FORBIDDEN, "403 Forbidden", "HTTP 403", "insufficient_scope")

    def test_order(self) -> None:
        """A status in the context beats a code, that an error type, that the text."""
        said = "401 Unauthorized", "ECONNRESET", {"code": "insufficient_scope", "httpStatus": 404}
        self.assertEqual(infer(*said).cause, Cause.NOT_FOUND)
        del said[2]["httpStatus"]
        self.assertEqual(infer(*said).cause, Cause.FORBIDDEN)
        self.assertEqual(infer(*said[:2]).cause, Cause.GITLAB_UNAVAILABLE)
        self.assertEqual(infer(said[0]).cause, Cause.CREDENTIAL)

    def test_where_libraries_keep_it(self) -> None:
        """Statuses as numbers or digits, and within the objects of axios, undici and got."""
        for context in (
            {"httpStatus": 503},
            {"statusCode": "503"},
            {"response": {"status": 503}},
            {"cause": {"code": "ECONNREFUSED"}},
            {"error": {"name": "FetchError"}},
        ):
            self.assertEqual(infer("x", None, context).cause, Cause.GITLAB_UNAVAILABLE, context)
        self.assertEqual(infer("x", None, {"status": 200, "code": "x"}).cause, Cause.JOB_ERROR)
        self.assertEqual(infer("x", None, {"status": True}).cause, Cause.JOB_ERROR)

    def test_retry_after(self) -> None:
        """Seconds from a field or a header; a 403 with it is a rate limit."""
        self.assertEqual(infer("HTTP 403", None, {"retryAfter": 30}), Inference(Cause.RATE_LIMITED, 30.0))
        context: dict[str, Any] = {"response": {"status": 403, "headers": {"Retry-After": "12"}}}
        self.assertEqual(infer("x", None, context), Inference(Cause.RATE_LIMITED, 12.0))
        self.assertEqual(infer("HTTP 429", None, {"retryAfter": 1e9}).retry_after, MOST_RETRY_AFTER)
        for nonsense in (-1, float("nan"), "soon", True, None, [], 10**400, "Fri, 31 Dec 1999 23:59:59 GMT"):
            self.assertIsNone(infer("HTTP 429", None, {"retryAfter": nonsense}).retry_after, nonsense)

    def test_only_the_beginning(self) -> None:
        """A page of HTML that a crawler sends along is not searched to its end."""
        self.assertEqual(infer(f"{'x ' * LONGEST} HTTP 503").cause, Cause.JOB_ERROR)

    @given(st.text(), st.none() | st.text(), st.dictionaries(FIELDS | st.text(max_size=3), JSON, max_size=5))
    def test_anything(self, error: str, error_type: str | None, context: dict[str, Any]) -> None:
        """Whatever it says, there is a cause that may be named, and a wait that can be kept."""
        found = infer(error, error_type, context)
        self.assertIn(found.cause, FAILURES)
        self.assertTrue(found.retry_after is None or 0 <= found.retry_after <= MOST_RETRY_AFTER)

    @given(st.integers(100, 599))
    def test_statuses(self, status: int) -> None:
        """Each refusal has a cause, nothing else has."""
        self.assertEqual(by_http_status(status) is None, status < 400)

    def test_codes(self) -> None:
        """Codes are found whatever their case."""
        for code, cause in CODES.items():
            self.assertEqual(infer("x", code.upper()).cause, cause)
        json.dumps(sorted(CODES))


class BlockedTests(SynchronousTestCase):
    """A 403 to the crawler's address."""

    def test_what_says_so(self) -> None:
        """A page, or a text that speaks of a blocked address; with or without Retry-After; never a 429."""
        page = "<!DOCTYPE html><title>Blocked</title>"
        for error, context, blocked in (
            (f"HTTP 403: {page}", None, True),
            (f"HTTP 403: {page}", {"retryAfter": 30}, True),
            ("HTTP 403", {"response": {"status": 403, "data": {"message": "IP blocked"}}}, True),
            ("HTTP 403", {"body": page}, True),
            ("HTTP 403", {"body": '{"message": "403 Forbidden"}'}, False),
            ("HTTP 403", {"retryAfter": 30}, False),
            (f"HTTP 429: {page}", None, False),
            (f"HTTP 502: {page}", None, False),
        ):
            found = infer(error, None, context)
            self.assertEqual(found.blocked, blocked, error)
            if blocked:
                self.assertEqual(found.cause, Cause.RATE_LIMITED)
