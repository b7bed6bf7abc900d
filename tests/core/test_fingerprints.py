"""What equal failures have in common."""

import time

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.fingerprints import LONGEST, LONGEST_TEXT, fingerprint, group_of, named, normalised

TEXTS = (
    # GitLab's answers, as libraries word them.
    ("GitLab answered 502", "GitLab answered 502"),
    ("Request failed with status code 404", "Request failed with status code 404"),
    ("404 Project Not Found", "404 Project Not Found"),
    ("404", "404"),
    ("Error: 401", "Error: 401"),
    # Addresses that begin like a status.
    ("100::: no such thing", "<ip>: no such thing"),
    ("Can't listen: 400::", "Can't listen: <ip>"),
    ("talking with 500::1 has failed", "talking with <ip> has failed"),
    ("GitlabGetError: 404: 404 Project Not Found", "GitlabGetError: 404: 404 Project Not Found"),
    ("HTTPError: Response code 403 (Forbidden)", "HTTPError: Response code 403 (Forbidden)"),
    ("HTTP/1.1 503 Service Unavailable", "HTTP/1.1 503 Service Unavailable"),
    ('{"statusCode":500,"message":"boom"}', '{"statusCode":500,"message":"boom"}'),
    ("unexpected http status: 429, retry in 12.5s", "unexpected http status: 429, retry in <n>s"),
    (
        "502 Server Error: Bad Gateway for url: https://gitlab.example.com/api/v4/projects/123/issues?page=2.",
        "502 Server Error: Bad Gateway for url: <url>.",
    ),
    (
        "<html><head><title>502 Bad Gateway</title></head>\r\n<center>nginx/1.18.0</center></html>\n",
        "<html><head><title>502 Bad Gateway</title></head> <center><path></center></html>",
    ),
    ("request failed (404)", "request failed (404)"),
    ("[502] oops", "[502] oops"),
    ("500: oops", "500: oops"),
    ("GET /a/b: 404", "GET <path>: 404"),
    ("received 404 from GitLab", "received 404 from GitLab"),
    # Codes.
    ("OSError: [Errno 28] No space left", "OSError: [Errno 28] No space left"),
    ("SQLSTATE 40001, killed by signal 9", "SQLSTATE 40001, killed by signal 9"),
    # Numbers that are no statuses.
    ("error 500 items failed", "error <n> items failed"),
    ("page 404 of 500", "page <n> of <n>"),
    ("page 3/10 failed", "page <n>/<n> failed"),
    ("timeout of 30000ms exceeded", "timeout of <n>ms exceeded"),
    ("Rate limit of 2,000 requests exceeded; used 2001.5", "Rate limit of <n> requests exceeded; used <n>"),
    ("worker-17 failed on issue !4711 (#12)", "worker-<n> failed on issue !<n> (#<n>)"),
    ("Failed for issues 12, 15, 18", "Failed for issues <n>"),
    # Node.
    ("getaddrinfo ENOTFOUND gitlab", "getaddrinfo ENOTFOUND <host>"),
    ("connect ECONNREFUSED 10.0.0.1:443", "connect ECONNREFUSED <ip>"),
    ("connect ECONNREFUSED ::1:5432", "connect ECONNREFUSED <ip>"),
    ("connect ETIMEDOUT 2001:db8::17", "connect ETIMEDOUT <ip>"),
    ("request to git.acme.io failed.", "request to <host> failed."),
    ("ENOENT: open '/var/lib/crawler/acme/shop.json'", "ENOENT: open '<path>'"),
    (r"ENOENT: open 'C:\Program Files\nodejs\x.json'", "ENOENT: open '<path>'"),
    (r"EACCES: \\files\share\acme", "EACCES: <path>"),
    ("    at Object.<anonymous> (/app/dist/index.js:10:5)", "at Object.<anonymous> (<path>)"),
    ("Cannot read properties of undefined (reading 'iid')", "Cannot read properties of undefined (reading 'iid')"),
    ("res.data.map is not a function", "res.data.map is not a function"),
    ("ERR_HTTP2_STREAM_ERROR", "ERR_HTTP2_STREAM_ERROR"),
    # Python.
    (
        "HTTPSConnectionPool(host='gitlab.example.com', port=443): Max retries exceeded with url: /api/v4/a?page=2 "
        "(<urllib3.connection.HTTPSConnection object at 0x7f2b1c0d5e90>)",
        "HTTPSConnectionPool(host='<host>', port=<n>): Max retries exceeded with url: <path> "
        "(<urllib3.connection.HTTPSConnection object at <id>>)",
    ),
    ('File "/usr/lib/gitlab/client.py", line 700, in request', 'File "<path>", line <n>, in request'),
    ("KeyError: 'name'", "KeyError: 'name'"),
    # Names and ids.
    ("Project acme/platform/shop: 403 Forbidden.", "Project <path>: 403 Forbidden."),
    ("acme/shop is archived", "<path> is archived"),
    ("GET issues?state=opened&labels=bug failed", "GET issues<query> failed"),
    ("commit 3f2a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a", "commit <id>"),
    ("job 01KFGH0000000000000000000A.3.a1b2c3d4e5f6 is gone", "job <id> is gone"),
    ("404 for g/p id 01KFGH0000000000000000000A.1.77c82ce037f5", "404 for <path> id <id>"),
    ("commit 1a2b3c4", "commit <id>"),
    ("user 123E4567-e89b-12d3-a456-426614174000", "user <id>"),
    ("cursor eyJpZCI6-IjEyMyJ9_x17", "cursor <id>"),
    ("issue gid://gitlab/Issue/77 is gone", "issue <url> is gone"),
    ("of bob@example.com, at 2026-01-05T10:00:00.123Z", "of <email>, at <time>"),
    ("Retry after Mon, 05 Jan 2026 10:00:00 GMT, not 10:00:07", "Retry after <time>, not <time>"),
    # What only looks like a path.
    ("I/O error and / or SSL/TLS", "I/O error and / or SSL/TLS"),
)
VALUES = {
    "number": (st.integers(0, 99) | st.integers(600, 10**12)).map(str),  # no status
    "uuid": st.uuids().map(str),
    "sha": st.binary(min_size=19, max_size=19).map(lambda given: f"{given.hex()}f1"),
    "ulid": st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=23, max_size=23).map("01K{}".format),
    "project": st.lists(st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,20}[a-z0-9]", fullmatch=True), min_size=2).map(
        "/".join
    ),
    "url": st.from_regex(
        r"https://[a-z]{1,20}\.[a-z]{2,6}/[a-z0-9/]{0,30}(\?[a-z]{1,9}=[a-z0-9]{0,9})?", fullmatch=True
    ),
    "ip": st.ip_addresses().map(str).filter(lambda given: given != "::"),
    "time": st.datetimes().map(lambda given: given.isoformat(timespec="milliseconds") + "Z"),
}
TEMPLATES = (
    "Could not fetch {0}: timeout",
    "GitLab answered 502 for {0} (attempt {1})",
    'failed: {{"id": "{0}", "of": "{1}"}}',
    "{0}: no such thing",
    "{0} and {1}",
)
UNITS = (
    *("a", "1", "/", ".", "@", ":", "-", "_", "\\", "?", "'", '"', "<", " ", "\n", "\u00e9", "\u0663", "***"),
    *(
        "a.",
        "a/",
        "a:",
        "1.",
        "1,",
        "1/",
        "a1",
        "f0",
        "0x",
        "-1",
        "?a=",
        "?a",
        "a@a.",
        "a://",
        "a:/",
        "a:/ ",
        "\\\\a",
    ),
    *("::", "f:", ":1", "1-", "10:", "404 ", "status ", "error 500 ", "Error: 4", "Mon, ", "Host: a", "1 a a a "),
    *("<n> ", "</a>", "2026-01-05", "12345678-1234-", "a/b?c=", "a-b_", "ENOTFOUND a.a"),
)


class FingerprintTests(SynchronousTestCase):
    """normalised(), fingerprint()."""

    def test_texts(self) -> None:
        """Messages as GitLab, Node and Python write them."""
        for message, text in TEXTS:
            self.assertEqual(normalised(message), text)
            self.assertEqual(normalised(text), text, "it stays as it is")

    def test_statuses_differ(self) -> None:
        """Each status is a failure of its own, wherever it stands."""
        for template in (
            "GitLab answered {}",
            "HTTP {}",
            "{} Not Found",
            '{{"status":{}}}',
            "returned {}.",
            "code: {}",
        ):
            self.assertEqual(len({normalised(template.format(status)) for status in (404, 403, 502)}), 3, template)

    @given(st.sampled_from(TEMPLATES), st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(VALUES)), st.data())
    def test_what_differs(self, template: str, first: str, second: str, data: st.DataObject) -> None:
        """Messages that differ only in numbers, ids, paths, addresses and times are equal."""
        texts = [template.format(*(data.draw(VALUES[kind]) for kind in (first, second))) for _ in range(2)]
        one, other = map(normalised, texts)
        self.assertEqual(one, other, texts)

    @given(st.text(max_size=3000))
    def test_any_text(self, message: str) -> None:
        """The result is short, in one line, without blanks at its ends, and always the same."""
        text = normalised(message)
        self.assertLessEqual(len(text), LONGEST_TEXT)
        self.assertEqual(text, " ".join(text.split()))
        self.assertEqual(text, normalised(message))

    def test_what_is_looked_at(self) -> None:
        """The beginning of a long message; half an id at the end of that is left out."""
        same = "Failed to store the page " * 10
        self.assertEqual(normalised(same + "x" * 5000), normalised(same + "x" * 9000))
        ids = " ".join(f"a1{number:030x}" for number in range(LONGEST))
        for blanks in range(40):  # wherever the ids are cut
            self.assertEqual(normalised(f"gone:{' ' * blanks} {ids}"), "gone: <id>")
        compact = '{"message":"boom","data":[' + '"x",' * LONGEST
        self.assertEqual(normalised(f"Failed: {compact}")[:30], f"Failed: {compact}"[:30])

    def test_linear(self) -> None:
        """Eight times as much of anything takes some eight times as long, not sixty-four times."""

        def seconds(text: str) -> float:
            times = []
            for _ in range(3):
                begun = time.thread_time()
                named(text)
                times.append(time.thread_time() - begun)
            return min(times)

        for unit in UNITS:
            small = unit * (2000 // len(unit))
            linear = (
                seconds(small * 8) < 24 * seconds(small) + 0.001 for _ in range(20)
            )  # of which some are not disturbed
            self.assertTrue(any(linear), unit)

    def test_of_what(self) -> None:
        """The fingerprint depends on the type, the command and the normalised message."""
        one = group_of("TypeError", "issues", "issue 7 has no title")
        self.assertEqual(one.fingerprint, fingerprint("TypeError", "issues", "issue <n> has no title"))
        self.assertRegex(one.fingerprint, "^[0-9a-f]{16}$")
        others = (("TypeError", "epics", "issue 7"), ("RangeError", "issues", "issue 7"), (None, "issues", "issue 7"))
        self.assertEqual(len({group_of(*other).fingerprint for other in others}), 3)
        self.assertEqual(group_of("TypeError", "issues", "issue 99 has no title"), one)

    @given(st.text(), st.text(), st.text(), st.text())
    @example("aissues", "b", "a", "issuesb")
    def test_parts(self, first: str, second: str, third: str, fourth: str) -> None:
        """What belongs to which part is not mixed up."""
        assume((first, second) != (third, fourth) and "\0" not in first + second + third + fourth)
        self.assertNotEqual(fingerprint(first, "issues", second), fingerprint(third, "issues", fourth))
