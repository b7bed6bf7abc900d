"""What goes out: ASCII, one line, and safe for readers that count braces."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.replies import Ack, Job, JobResponse
from copilot_socket.wire.codec import encode, encode_object
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.items import Document

_texts = st.text(max_size=8) | st.text(alphabet=st.sampled_from('{}"\\/\n\x7fé😀null'), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_texts, _values, max_size=5)


def naive_end(data: bytes) -> int:
    """Where a reader that counts braces, those in strings too, finds the end."""
    depth = 0
    for at, byte in enumerate(data):
        depth += (byte == ord("{")) - (byte == ord("}"))
        if depth == 0:
            return at + 1
    return -1


class EncodeTests(SynchronousTestCase):
    """encode_object() and encode()."""

    @given(_objects)
    @settings(max_examples=300)
    def test_any_object(self, value: dict[str, Any]) -> None:
        """It reads back the same; ASCII, one newline at the end; brace counting finds the end."""
        data = encode_object(value)
        self.assertEqual(json.loads(data), value)
        self.assertTrue(data.isascii())
        self.assertEqual((data.count(b"\n"), data[-1:]), (1, b"\n"))
        self.assertEqual(naive_end(data), len(data) - 1)
        self.assertEqual(data.count(b"{"), data.count(b"}"))

    @given(st.lists(_objects, max_size=4))
    def test_our_own_framer_reads_it(self, values: list[dict[str, Any]]) -> None:
        """What this server writes it can read."""
        framer = Framer(1 << 20)
        framer.feed(b"".join(map(encode_object, values)))
        for value in values:
            item = framer.next()
            assert isinstance(item, Document)
            self.assertEqual(json.loads(item.data), value)
        self.assertIsNone(framer.next())

    def test_compact(self) -> None:
        """No blank is sent that means nothing, by the quick way or by the other."""
        self.assertEqual(encode_object({"a": [1, {"b": "c d"}]}), b'{"a":[1,{"b":"c d"}]}\n')
        self.assertEqual(encode_object({"a": [1, {"b": "é{"}]}), b'{"a":[1,{"b":"\\u00e9\\u007b"}]}\n')

    def test_no_nan(self) -> None:
        """JSON has no NaN and no infinity, and neither turns into null unseen."""
        for number in (math.nan, math.inf, -math.inf):
            self.assertRaises(ValueError, encode_object, {"a": [number]})

    def test_envelope(self) -> None:
        """Type, time, job and data; no jobId where there is none."""
        message = json.loads(encode([Ack("job_started", "m-1", "J.1.x")]))
        self.assertRegex(message.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(message, {"type": "ack", "jobId": "J.1.x", "data": {"type": "job_started", "ref": "m-1"}})
        self.assertNotIn("jobId", json.loads(encode([JobResponse()])))

    @given(_texts | st.from_regex(r"[\w:.+-]*", fullmatch=True), st.none() | _texts | st.just("J.1.x"))
    def test_acks(self, ref: str, job: str | None) -> None:
        """Any ack is a message like any other: it reads back the same, in ASCII, and brace counting finds its end."""
        ack = Ack("job_started", ref, job)
        type_, job_id, data = ack.wire()
        written = encode([ack])
        read = json.loads(written)
        message = {"type": type_, "timestamp": read["timestamp"], "data": data}
        self.assertEqual(read, message if job_id is None else {**message, "jobId": job_id})
        self.assertTrue(written.isascii())
        self.assertEqual((written.count(b"\n"), naive_end(written)), (1, len(written) - 1))

    def test_job(self) -> None:
        """A job with awkward names arrives whole."""
        job = Job("J.1.x", "issue", "42", "https://gitlab", "t", "issues", 2, {"a{": "}\\"}, "größe/{x}")
        data = encode([JobResponse((job,))])
        self.assertEqual(json.loads(data)["data"]["jobs"], [job.data()])
        self.assertEqual(naive_end(data), len(data) - 1)
