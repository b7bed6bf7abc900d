"""Decoding in steps: same results as decoding whole, all bounds kept, and every step short."""

import copy
import json
import sys
import tracemalloc
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worst import worst
from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import (
    ENDINGS,
    INCOMING,
    Discovery,
    Fault,
    Heartbeat,
    JobFailed,
    JobProgress,
    Message,
)
from copilot_socket.core.replies import Reply
from copilot_socket.core.reports import Found
from copilot_socket.wire.codec import encode
from copilot_socket.wire.errors import error_reply, fault_reply
from copilot_socket.wire.inspection import MAX_ELEMENT, MAX_FAULTS
from copilot_socket.wire.items import PARSED_WHOLE
from copilot_socket.wire.screening import MAX_DEPTH
from copilot_socket.wire.validators import Decoder
from tests.wire.decoding import DECODER, LIMIT, DecoderCase, inspected
from tests.wire.examples import DISCOVERED, ENTITY, NASTY, RESUME, Json, full, minimal, places, with_data

KIB = 1024
WORST = PARSED_WHOLE + 4 * KIB
"""Bytes of a message that is large enough to be cut."""
CALLS = 100_000
"""Calls that one step may make."""
PARSED = 300 * KIB
"""Bytes that one step may have parsed."""
SPECIAL = ("\0", "\ud800", 2**53 + 1, 10**30)


def outcome(data: bytes) -> "Message | ProtocolError":
    """The outcome of decoding *data* in steps."""
    try:
        return inspected(data)[0]
    except ProtocolError as error:
        return error


def free(size: int) -> Json:
    """A free object that takes *size* bytes as JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """A valid message, spoilt (or not) in up to three places."""
    message = copy.deepcopy(draw(st.sampled_from([make(type_) for type_ in INCOMING for make in (minimal, full)])))
    for _ in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(places(message) or [(message, "type")]))
        if draw(st.booleans()):
            container[key] = copy.deepcopy(draw(st.sampled_from([*NASTY, *SPECIAL])))
        else:
            container.pop(key, None) if isinstance(container, dict) else container.pop(key)
    return message


class SameTests(DecoderCase):
    """Same results as decoding whole."""

    def _assert_same(self, message: Json) -> None:
        data = json.dumps(message).encode()
        at_once, in_steps = DECODER.quick(data), outcome(data)
        if at_once is not None:
            assert isinstance(in_steps, Message), (message, in_steps)
            self.assertEqual((in_steps.data, in_steps.faults), (at_once.data, ()))
            for name in ("type", "job_id", "ref", "size"):
                self.assertEqual(getattr(in_steps, name), getattr(at_once, name))
        elif isinstance(in_steps, ProtocolError):
            self._assert_told(message, in_steps)

    def _assert_told(self, message: Json, error: ProtocolError) -> None:
        """The pointer leads to something, and what is said is short and can be sent."""
        if error.path == "/type":
            return
        value: Any = message
        for part in (error.path or "").split("/")[1:]:
            value = value[int(part) if isinstance(value, list) else part.replace("~1", "/").replace("~0", "~")]
        self.assertLess(len(encode([error_reply(error)])), 2000)

    @given(spoilt())
    @settings(max_examples=400)
    def test_near_valid_messages(self, message: Json) -> None:
        """A message accepted whole is the same in steps; any other is refused with a reason, or in part."""
        self._assert_same(message)

    def test_every_nasty_value_in_every_place(self) -> None:
        """Each value in each place of each full message, one at a time."""
        for type_ in INCOMING:
            for at in range(len(places(full(type_)))):
                for nasty in (*NASTY, *SPECIAL):
                    message = copy.deepcopy(full(type_))
                    container, key = places(message)[at]
                    container[key] = copy.deepcopy(nasty)
                    self._assert_same(message)

    def test_names_written_with_escapes(self) -> None:
        """A name is what it means; of equal names the last one counts, as everywhere."""
        text = json.dumps(minimal("heartbeat")).replace('"activeJobs"', '"active\\u004aobs"').encode()
        message = inspected(text.replace(b'"totalProcessed": 0', b'"totalProcessed": "x", "totalProcessed": 5'))[0]
        self.assertEqual(message.data, Heartbeat(0, 5, "idle"))

    def test_what_is_not_known_is_passed_over(self) -> None:
        """In a large message nothing of it is looked at but its brackets, forbidden or deep as it is."""
        for unknown in (
            b"[" * 5000 + b"]" * 5000,
            b'"\\u0000"',
            b"9" * 40,
            b'{"a":"\\ud800"}',
            b'["' + b"x" * WORST + b'"]',
        ):
            data = json.dumps(full("job_started")).encode().replace(b'"unknown": 1', b'"unknown": ' + unknown)
            for text in (data, data[:-1] + b',"more":' + unknown + b"}"):
                self.assertEqual(inspected(text)[0].data, inspected(data)[0].data, unknown[:30])


class BoundTests(DecoderCase):
    """What is over a bound is refused, and an end of an attempt is stored without it."""

    def _assert_bound(self, type_: str, field: str, fits: Any, over: Any, text: str, *, instead: Any = None) -> None:
        """*fits* is taken as it is, *over* is over its bound."""
        for value in (fits, over):
            message = with_data(type_, **{field: value})
            data = json.dumps(message).encode()
            if value is fits:
                self.assertEqual((outcome(data).faults, self.decode(message).faults), ((), ()), (type_, field))
            elif type_ in ENDINGS:
                found = outcome(data)
                fault = Fault(f"/data/{field}", f"{text}; the report is stored without it")
                self.assertEqual((found.faults, found.value["data"][field]), ((fault,), instead), (type_, field))
                self.assertEqual(self.decode(message).faults, found.faults)
            else:
                error = self.refused(message)
                self.assertEqual((error.path, error.message), (f"/data/{field}", text))

    def test_sizes(self) -> None:
        """In bytes as JSON, however it was written: not one byte more."""
        for type_, field, limit in (
            ("job_progress", "resumeState", 64 * KIB),
            ("job_failed", "resumeState", 64 * KIB),
            ("job_failed", "context", 256 * KIB),
            ("heartbeat", "memoryUsage", 256 * KIB),
            ("jobs_discovered", "discovery_summary", 256 * KIB),
        ):
            text = f"too large: at most {limit} bytes as JSON are allowed, {limit + 1} were given"
            self._assert_bound(type_, field, free(limit), free(limit + 1), text)
        text = f"too large: at most {256 * KIB} bytes as JSON are allowed, {256 * KIB + 1} were given"
        self._assert_bound("heartbeat", "memoryUsage", "x" * (256 * KIB - 2), "x" * (256 * KIB - 1), text)

    def test_sizes_of_counts(self) -> None:
        """Names of numbers have a bound too."""
        fits = {f"{number:0255}": 1 for number in range(999)}
        over = {f"{number:0300}": 1 for number in range(999)}
        text = f"too large: at most {256 * KIB} bytes as JSON are allowed, {len(orjson.dumps(over))} were given"
        self._assert_bound("job_progress", "itemCounts", fits, over, text)
        self._assert_bound("job_failed", "partialCounts", fits, over, text)
        self._assert_bound("job_completed", "finalCounts", fits, over, text, instead={})

    def test_size_is_as_json(self) -> None:
        """Spaces and escapes don't count, and numbers count as they are written anew."""
        for written, fits in (
            (b'{"a":"%s"}' % (b"\\u00e9" * 30_000), True),
            (b'{"a":"%s"}' % (b"\\u00e9" * 33_000), False),
            (b'{"a":[%s1]}' % (b"1 ,   " * 32_000), True),
            (b'{"a":[%s1]}' % (b"1 ,   " * 33_000), False),
            (b'{"a":[%s1]}' % (b"1e15," * 3_000), True),
            (b'{"a":[%s1]}' % (b"1e15," * 5_000), False),
            (b'{"a":[%s1]}' % (b"  1," * 70_000), False),
        ):
            data = json.dumps(with_data("job_progress", resumeState="HERE")).encode().replace(b'"HERE"', written)
            self.assertEqual(isinstance(outcome(data), Message), fits, written[:20])
            self.assertEqual(DECODER.quick(data) is not None, fits and len(data) <= PARSED_WHOLE, written[:20])

    def test_numbers_of_names_and_elements(self) -> None:
        """So many and not one more, of each list and each object that has such a bound."""
        counts = {str(number): number for number in range(1001)}
        fewer = dict(list(counts.items())[:-1])
        text = "too long: at most 1000 are allowed, 1001 were given"
        self._assert_bound("job_progress", "itemCounts", fewer, counts, text)
        self._assert_bound("job_failed", "partialCounts", fewer, counts, text)
        self._assert_bound("job_completed", "finalCounts", fewer, counts, text, instead={})
        text = "too long: at most 10000 are allowed, 10001 were given"
        self._assert_bound("job_completed", "outputFiles", ["f"] * 10_000, ["f"] * 10_001, text)
        self._assert_bound("job_completed", "outputFiles", [], [1] * 10_001, text)
        self._assert_bound("hello", "assignments", ["J.1.x"] * 10_000, ["J.1.x"] * 10_001, text)
        for field, limit in (("entityTypes", 1000), ("capabilities", 100)):
            text = f"too long: at most {limit} are allowed, {limit + 1} were given"
            self._assert_bound("hello", field, ["x"] * limit, ["x"] * (limit + 1), text)

    def test_nesting(self) -> None:
        """A hundred levels with the message and its data, whatever is on them, and not one more."""
        for levels in (MAX_DEPTH + 1, 300, 1100, 200_000):
            text = f"nested too deeply: at most {MAX_DEPTH} levels are allowed, {levels} were given"
            for type_, field in (
                ("heartbeat", "memoryUsage"),
                ("job_progress", "resumeState"),
                ("job_failed", "resumeState"),
                ("job_failed", "context"),
                ("jobs_discovered", "discovery_summary"),
            ):
                data = json.dumps(with_data(type_, **{field: "HERE"}))
                for opening, closing in (("[", "]"), ('{"b":', "}")):
                    nested = [f'{{"a":{opening * each}1{closing * each}}}' for each in (MAX_DEPTH - 3, levels - 3)]
                    fits, over = (data.replace('"HERE"', each).encode() for each in nested)
                    self.assertEqual(outcome(fits).faults, ())
                    self.assertIsNotNone(DECODER.quick(fits))
                    self.assertIsNone(DECODER.quick(over))
                    found = outcome(over)
                    if isinstance(found, ProtocolError):
                        self.assertEqual((found.path, found.message), (f"/data/{field}", text))
                    else:
                        self.assertIn(type_, ENDINGS)
                        self.assertEqual(
                            found.faults, (Fault(f"/data/{field}", f"{text}; the report is stored without it"),)
                        )
                        self.assertIsNone(found.value["data"][field])

    def test_all_at_once(self) -> None:
        """An end of an attempt loses all that is over its bound, and nothing else."""
        big = {str(number): number for number in range(2000)}
        message = with_data("job_failed", error="e", resumeState=free(70_000), partialCounts=big, stackTrace="s")
        text = json.dumps(message)[:-2] + ', "context": ' + "[" * 500 + "]" * 500 + "}}"
        found = outcome(text.replace("[" * 500, '{"a":' + "[" * 500).replace("]" * 500, "]" * 500 + "}").encode())
        self.assertEqual(found.data, JobFailed("e", False, stack_trace="s"))
        self.assertEqual([fault.path[6:] for fault in found.faults], ["resumeState", "partialCounts", "context"])

    def test_another_fault_costs_the_end_of_a_try(self) -> None:
        """What is wrong and no matter of bounds is refused as ever."""
        error = self.refused(with_data("job_failed", error=5, resumeState=free(70_000)))
        self.assertEqual(error.path, "/data/error")
        error = self.refused(with_data("job_completed", finalCounts={"a": "x"}, outputFiles=["f"] * 20_000))
        self.assertEqual(error.path, "/data/finalCounts/a")

    def test_lists_that_are_not_kept(self) -> None:
        """Items of progress are passed over, however many; what is no list is refused."""
        data = json.dumps(with_data("job_progress", items=[], resumeState=RESUME)).encode()
        for items in (b"[%s1]" % (b"[]," * 200_000), b"[" * 50_000 + b"]" * 50_000):
            found = outcome(data.replace(b'"items": []', b'"items": ' + items))
            self.assertEqual(found.data, JobProgress("fetching", "issue", 0, resume_state=RESUME))
        self.assertEqual(self.refused(data.replace(b"[]", b"{}" + b" " * WORST)).path, "/data/items")


class ElementTests(DecoderCase):
    """Lists that can do without bad elements."""

    def test_at_most_so_many_good_ones(self) -> None:
        """Twenty thousand are taken beside any number of bad ones; one more is refused, and none is taken."""
        good = [{**ENTITY, "path": f"p{number}"} for number in range(20_001)]
        decoder = Decoder(LIMIT)
        bad = [1] * 30_000
        data = json.dumps(with_data("discovery", entities=[*bad, *good[:-1]])).encode()
        message = inspected(data, decoder)[0]
        assert isinstance(message.data, Discovery)
        self.assertEqual([found.full_path for found in message.data.entities], [each["path"] for each in good[:-1]])
        error = self.refused(with_data("discovery", entities=[*good, *bad]))
        text = "too long: at most 20000 are allowed, 50001 were given; send them in several messages, or raise "
        self.assertEqual((error.path, error.message[: len(text)]), ("/data/entities", text))
        self.assertIn("SOCKET_MAX_MESSAGE_SIZE", error.message)

    def test_more_in_larger_messages(self) -> None:
        """A node that takes larger messages takes an element for every hundred bytes."""
        good = [ENTITY] * 20_001
        data = json.dumps(with_data("discovery", entities=good)).encode()
        message = inspected(data, Decoder(2_000_100))[0]
        assert isinstance(message.data, Discovery)
        self.assertEqual(len(message.data.entities), 20_001)
        self.assertRaises(ProtocolError, inspected, data, Decoder(2_000_099))

    def test_elements_over_a_bound(self) -> None:
        """An element that is large or deep is left out, like any other bad one."""
        large = {**DISCOVERED, "unknown": "x" * MAX_ELEMENT}
        fits = {**DISCOVERED, "unknown": "x" * (MAX_ELEMENT - 200)}
        many = {**DISCOVERED, "estimated_size": {str(number): 1 for number in range(1001)}}
        data = json.dumps(with_data("jobs_discovered", discovered_jobs=[large, fits, "DEEP", many])).encode()
        deep = json.dumps({**DISCOVERED, "unknown": "HERE"}).replace('"HERE"', "[" * 300 + "]" * 300)
        message = inspected(data.replace(b'"DEEP"', deep.encode()))[0]
        self.assertEqual([fault.path[22:] for fault in message.faults], ["0", "2", "3/estimated_size"])
        for fault, text in zip(
            message.faults, ("too large: at most 65536", "nested too deeply", "too long"), strict=True
        ):
            self.assertTrue(fault.message.startswith(text), fault)
        self.assertEqual(message.data.discovered_jobs, (Found("crawl_group", "top/sub", "Sub", 7),))  # type: ignore[union-attr]

    def test_answers_are_bounded(self) -> None:
        """All that a message draws stays far below what a message may have, however long its names and references."""
        wide = "\U0001f600"
        element = {**DISCOVERED, "estimated_size": {wide * 5000: wide * 5000}}
        message = with_data("jobs_discovered", discovered_jobs=[element] * 300)
        message |= {"id": None, "timestamp": wide * 128, "jobId": "J.1.x"}
        found = inspected(json.dumps(message, ensure_ascii=False).encode())[0]
        self.assertEqual(len(found.faults), MAX_FAULTS + 1)
        self.assertLess(len(encode([fault_reply(found, fault) for fault in found.faults])), LIMIT // 2)


class WorstTests(DecoderCase):
    """Every type at its worst."""

    def parsed(self, data: bytes) -> tuple[int, "Message | ProtocolError"]:
        """The most bytes that one step has parsed, and what comes of *data*."""
        parsed, most = 0, 0
        loads = orjson.loads

        def parse(text: bytes) -> Any:
            nonlocal parsed
            parsed += len(text)
            return loads(text)

        self.patch(orjson, "loads", parse)
        steps = DECODER.steps(data)
        try:
            while True:
                parsed = 0
                next(steps)
                most = max(most, parsed)
        except StopIteration as end:
            return max(most, parsed), end.value
        except ProtocolError as error:
            return max(most, parsed), error
        finally:
            self.patch(orjson, "loads", loads)

    def test_every_field(self) -> None:
        """Whatever is in a message, a step parses few bytes, and what comes of it all is a short answer."""
        for name, data in worst(WORST, "J.1.x"):
            parsed, result = self.parsed(data)
            self.assertLess(parsed, PARSED, name)
            replies: list[Reply]
            if isinstance(result, ProtocolError):
                self.assertIn(result.code, (ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_TYPE), (name, result))
                replies = [error_reply(result)]
            else:
                self.assertIsInstance(result.data, INCOMING[result.type], name)
                self.assertLessEqual(len(result.faults), MAX_FAULTS + 1)
                self._assert_storable(result, name)
                replies = [fault_reply(result, fault) for fault in result.faults]
            self.assertLess(len(encode(replies)), 100 * KIB, name)

    def test_no_step_makes_many_calls(self) -> None:
        """Of Python's and of C's functions, whatever is passed over, listed or explained."""
        calls = 0

        def count(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        kinds, seen = ("job_failed: context", "hello: assignments", "discovery: ", "heartbeat: many"), set()
        for name, data in worst(WORST, "J.1.x"):
            kind = next((each for each in kinds if name.startswith(each)), None)
            if kind is None:
                continue
            seen.add(kind)
            steps = DECODER.steps(data)
            going = True
            while going:
                calls = 0
                sys.setprofile(count)
                try:
                    next(steps)
                except (StopIteration, ProtocolError):
                    going = False
                finally:
                    sys.setprofile(None)
                self.assertLess(calls, CALLS, name)
        self.assertEqual(seen, set(kinds))

    def _assert_storable(self, message: Message, name: str) -> None:
        """It can be written as JSON, and what is written is bounded."""
        self.assertLess(len(orjson.dumps(message.value)), 300 * KIB, name)

    def test_an_end_of_a_try_is_never_lost_to_its_size(self) -> None:
        """Whatever its free fields hold, it is stored if the rest is right."""
        lost, seen = [], set()
        for name, data in worst(WORST, "J.1.x"):
            type_, _, rest = name.partition(": ")
            field, _, filling = rest.partition(" of ")
            if type_ in ENDINGS and field in ("context", "resumeState", "partialCounts", "finalCounts", "unknown"):
                seen.add(field)
                result = outcome(data)
                if isinstance(result, ProtocolError):
                    lost.append((field, filling, result.message.partition(":")[0]))
        self.assertLessEqual({"context", "resumeState", "unknown"}, seen)
        wrong = {text for _, _, text in lost}
        self.assertEqual({each for each in wrong if each.startswith(("too", "nested"))}, set(), lost)

    def test_large_messages_have_many_steps(self) -> None:
        """The larger a message, the more pauses: no part of the work is done in one go."""
        few, many = (
            {name: inspected(data)[1] for name, data in worst(size, "J.1.x") if "good and then" in name}
            for size in (WORST, 4 * WORST)
        )
        self.assertTrue(few)
        for name, pauses in few.items():
            self.assertGreater(pauses, 2, name)
            self.assertGreater(many[name], 3 * pauses, name)

    def test_memory(self) -> None:
        """A message takes little more memory than its text, of whatever it has too many."""
        names, size = ("jobs_discovered: good and then {},", "job_completed: outputFiles of strings"), 4 * WORST
        messages = {name: data for name, data in worst(size, "J.1.x") if name in names}
        for name in names:
            tracemalloc.start()
            message, _ = inspected(messages[name])
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLess(peak, 3 * size, name)
            self.assertNotEqual(message.faults, ())

    def test_large_elements(self) -> None:
        """However large elements are, few of them are parsed in one step."""
        for size in (20_000, MAX_ELEMENT - 200):
            element = {**DISCOVERED, "unknown": "x" * size}
            data = json.dumps(with_data("jobs_discovered", discovered_jobs=[element] * 20)).encode()
            self.assertLess(self.parsed(data)[0], 2 * MAX_ELEMENT)
