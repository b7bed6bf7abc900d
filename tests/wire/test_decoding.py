"""What JSON the decoder accepts, and how it treats bad elements of lists."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Discovery, Heartbeat, Hello, JobsDiscovered
from copilot_socket.core.reports import Found
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.inspection import MAX_FAULTS
from copilot_socket.wire.items import Document
from copilot_socket.wire.screening import MAX_DEPTH
from tests.wire.decoding import DecoderCase, decoded
from tests.wire.examples import DISCOVERED, ENTITY, with_data

_free = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.sampled_from(["\x00", "\ud800", "x", 5.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("a\x00\ud800"), inner, max_size=2),
    max_leaves=8,
)
"""Free values, some of which hold something forbidden."""


def outcome(data: bytes, value: Any = None, *, screened: bool = False) -> Any:
    """The message, or what it is refused with."""
    try:
        return decoded(data, value, screened=screened)
    except ProtocolError as error:
        return error.code, error.path, error.message


class JsonTests(DecoderCase):
    """What is JSON, and what of JSON is allowed."""

    def test_no_json(self) -> None:
        """None of these can be read."""
        for data in (
            b"",
            b"{",
            b"{'a':1}",
            b"\xff",
            b'{"type":"\xff"}',
            b'{"a":1,}',
            b'{"a":1}{"a":1}',
            b'{"a":"\x00"}',
        ):
            error = self.refused(data, ErrorCode.INVALID_JSON)
            self.assertEqual((error.path, error.ref), (None, None))
        for unknown in ("[1,,2]", "[1}", "tru", '{"a"}', '"\\x"'):
            text = json.dumps(with_data("job_started", unknown="HERE")).replace('"HERE"', unknown)
            self.refused(text.encode(), ErrorCode.INVALID_JSON)
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400 + ".5", "01", "+1", ".5", "tru"):
            self.refused(self.heartbeat(number), ErrorCode.INVALID_JSON)

    def test_no_object(self) -> None:
        """JSON that is no object is no message."""
        for data in (b"[]", b"1", b'"x"', b"null"):
            self.assertEqual(self.refused(data).path, "")

    def test_forbidden_values(self) -> None:
        """U+0000, lone surrogates and large integers are refused wherever they are, with their place."""
        for value in (r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udfff x"', str(2**53 + 1), str(-(2**53) - 1),
                      str(2**64), "1" * 400, "9" * 10_000):  # fmt: skip
            self.assertEqual(self.refused(self.heartbeat(value)).path, "/data/memoryUsage", value[:30])
            self.assertEqual(self.refused(self.heartbeat(f'[0,{{"a":{value}}}]')).path, "/data/memoryUsage/1/a")
        for name in (r'"\u0000"', r'"\ud800"'):
            error = self.refused(self.heartbeat(f'{{"b":{{{name}:{{"c":{name}}}}}}}'))
            self.assertEqual(error.path, "/data/memoryUsage/b")

    def test_what_only_looks_forbidden(self) -> None:
        """Escaped backslashes, proper pairs, long numbers in strings, long fractions, the largest integers."""
        for written in (r'"\\u0000"', r'"\ud83d\ude00"', '"9999999999999999999"', "0.12345678901234567", str(2**53),
                        str(-(2**53)), "1e300", '"\\u0001"'):  # fmt: skip
            data = decoded(self.heartbeat(written)).data
            assert isinstance(data, Heartbeat)
            self.assertEqual(data.memory_usage, json.loads(written))

    def test_raw_surrogate_bytes(self) -> None:
        """A surrogate in raw bytes is no UTF-8."""
        self.refused(self.heartbeat('"\ud800"'), ErrorCode.INVALID_JSON)

    def test_nesting(self) -> None:
        """Deep nesting is refused at one depth, whichever parser meets it, and never crashes."""
        for inner in ("", r'"\u0000"', "9999999999999999"):
            allowed = MAX_DEPTH - 2  # the message and its data are two
            for levels in (allowed + 1, 900, 1100, 100_000):
                error = self.refused(self.heartbeat("[" * levels + inner + "]" * levels))
                self.assertIn("nested too deeply", error.message)
        levels = MAX_DEPTH - 2
        self.assertIsInstance(decoded(self.heartbeat("[" * levels + "]" * levels)).data, Heartbeat)
        wide = "[" + "[]," * 5000 + "[]]"
        self.assertIsInstance(decoded(self.heartbeat(wide)).data, Heartbeat)

    @given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_any_bytes(self, data: bytes) -> None:
        """Bytes that are no message are refused in order, whatever they are."""
        try:
            decoded(data)
        except ProtocolError as error:
            self.assertIn(error.code, (ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_TYPE))

    @given(_free)
    def test_free_values(self, value: Any) -> None:
        """A free value is accepted as it is, or refused because it holds something forbidden."""
        written = json.dumps(value)
        numbers = map(int, re.findall(r"-?\d{9,}", written))
        bad = "\\u0000" in written or "\\ud800" in written or any(abs(number) > 2**53 for number in numbers)
        data = self.heartbeat(written)
        if bad:
            self.assertTrue((self.refused(data).path or "").startswith("/data"))
        else:
            heard = decoded(data).data
            assert isinstance(heard, Heartbeat)
            self.assertEqual(heard.memory_usage, value)

    @given(st.lists(_free, min_size=1, max_size=5), st.sampled_from([b"", b"\n", b" "]))
    def test_through_the_framer(self, values: list[Any], between: bytes) -> None:
        """Read together with others, a message is taken or refused as it is alone."""
        messages = [self.heartbeat(json.dumps(value)) for value in values]
        framer = Framer(1 << 20)
        framer.feed(between.join(messages))
        for data in messages:
            document = framer.next()
            assert isinstance(document, Document)
            together = outcome(document.data, document.value, screened=document.screened)
            self.assertEqual(together, outcome(data))


class ElementTests(DecoderCase):
    """Lists that can do without bad elements."""

    def test_bad_elements_cost_themselves(self) -> None:
        """The good ones stay in order, the bad ones are reported by their index in the message as sent."""
        big = {**DISCOVERED, "estimated_size": {"a": 10**16}}
        elements = [
            DISCOVERED,
            {**DISCOVERED, "job_type": "crawl_moon"},
            {**DISCOVERED, "entity_name": "a\x00"},
            {**DISCOVERED, "entity_id": "8"},
            "x",
            big,
            {**DISCOVERED, "entity_name": "\ud800", "entity_id": 5},
            {key: value for key, value in DISCOVERED.items() if key != "namespace_path"},
            {**DISCOVERED, "entity_id": "9"},
        ]
        message = self.decode(with_data("jobs_discovered", discovered_jobs=elements))
        assert isinstance(message.data, JobsDiscovered)
        self.assertEqual([job.gitlab_id for job in message.data.discovered_jobs], [7, 8, 9])
        paths = [fault.path.removeprefix("/data/discovered_jobs") for fault in message.faults]
        expected = ["/1/job_type", "/2/entity_name", "/4", "/5/estimated_size/a", "/6/entity_name", "/7"]
        self.assertEqual(paths, expected)
        self.assertEqual(message.faults[-1].message, "required and missing: namespace_path")

    def test_paths_too_long_for_an_index(self) -> None:
        """A path may have as many bytes as an index entry has room for, however few characters they are."""
        fits, too_long = "ü" * 512, "ü" * 512 + "x"
        elements = [{**DISCOVERED, "namespace_path": path} for path in (too_long, fits)]
        message = self.decode(with_data("jobs_discovered", discovered_jobs=elements))
        assert isinstance(message.data, JobsDiscovered)
        self.assertEqual([job.full_path for job in message.data.discovered_jobs], [fits])
        [fault] = message.faults
        self.assertEqual(fault.path, "/data/discovered_jobs/0/namespace_path")
        self.assertEqual(fault.message, "too long: a path may have at most 1024 bytes")
        message = self.decode(with_data("discovery", entities=[{**ENTITY, "path": too_long}, ENTITY]))
        self.assertEqual([fault.path for fault in message.faults], ["/data/entities/0/path"])

    def test_entities(self) -> None:
        """The same of a discovery."""
        elements = [ENTITY, {**ENTITY, "id": None}, {**ENTITY, "id": "x"}, {**ENTITY, "parentId": 1e20}]
        message = self.decode(with_data("discovery", entities=elements))
        self.assertEqual(
            message.data,
            Discovery("group", (Found("group", "top/sub", "Sub", 7), Found("group", "top/sub", "Sub"))),
        )
        self.assertEqual(
            [fault.path for fault in message.faults], ["/data/entities/1/id", "/data/entities/3/parentId"]
        )

    def test_nothing_left(self) -> None:
        """A list of bad elements only is a message with an empty list."""
        message = self.decode(with_data("discovery", entities=[None]))
        self.assertEqual((message.data, len(message.faults)), (Discovery("group", ()), 1))

    def test_a_fault_elsewhere_costs_the_message(self) -> None:
        """The error reports that fault."""
        for fields in ({"entityType": 5}, {"entityType": "\x00"}):
            self.assertEqual(self.refused(with_data("discovery", entities=[None], **fields)).path, "/data/entityType")
        no_job = with_data("jobs_discovered", discovered_jobs=[None])
        del no_job["jobId"]
        self.assertEqual(self.refused(no_job).message, "required and missing: jobId")

    def test_very_many(self) -> None:
        """A hundred are reported one by one, then their number; the good ones among them are kept."""
        good = {**DISCOVERED, "entity_id": "9"}
        for number in (MAX_FAULTS, MAX_FAULTS + 1, 500):
            message = self.decode(with_data("jobs_discovered", discovered_jobs=[{}] * number + [good]))
            self.assertEqual(message.data, JobsDiscovered((Found("crawl_group", "top/sub", "Sub", 9),)))
            paths = [fault.path.removeprefix("/data/discovered_jobs/") for fault in message.faults[:MAX_FAULTS]]
            self.assertEqual(paths, list(map(str, range(MAX_FAULTS))))
            self.assertTrue(all("required and missing" in fault.message for fault in message.faults[:MAX_FAULTS]))
            behind = [(fault.path, fault.message.partition(" elements")[0]) for fault in message.faults[MAX_FAULTS:]]
            expected = [("/data/discovered_jobs", f"{number} of {number + 1}")] if number > MAX_FAULTS else []
            self.assertEqual(behind, expected)

    def test_other_lists_are_not_sifted(self) -> None:
        """A bad element of any other list costs the message."""
        error = self.refused(with_data("hello", entityTypes=["issue", ""]))
        self.assertEqual(error.path, "/data/entityTypes/1")
        self.assertIsInstance(self.decode(with_data("hello", entityTypes=[])).data, Hello)
