"""Framing, held against a reference that looks at one byte after the other."""

import json
from itertools import pairwise
from typing import Any

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire import framing
from copilot_socket.wire.beginning import KEPT
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.items import MAX_SKIP, PARSED_WHOLE, Broken, Document, Item, Overrun, TooLarge

PLENTY = 10_000
WORK = 10
"""How often a byte may be looked at: three times each to split a read, its parts, and it with the next one, and once
to scan it."""
HEARTBEAT = b'{"type":"heartbeat","timestamp":"t","data":{"activeJobs":1,"totalProcessed":2,"systemStatus":"idle"}}'

_texts = st.text(alphabet=st.sampled_from('a{}"\\ \n\t,:[]é😀\x7f'), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_objects = st.dictionaries(_texts, _values, max_size=4)
_separators = st.sampled_from([b"", b"", b"\n", b" ", b"\r\n", b" \t\r", b"\n\n "])
_soup = st.lists(
    st.sampled_from(
        [
            *(b"{", b"}", b'"', b"\\", b"\n", b" ", b"x", b"[", b"]", b",", b"\xff"),
            *(b"}{", b'\\"', b'{"a":1}', b'{"a":"}{"}', b'{"a":"{"}'),
        ]
    ),
    max_size=40,
).map(b"".join)
_nested = st.lists(
    st.sampled_from(
        [
            *(
                b'{"a":',
                b'{"b":[{"c":',
                b"{",
                b"[{",
                b"}",
                b"}}",
                b"}]}",
                b"1},{",
                b"}, {",
                b"},  {",
                b"},{}",
                b"{},",
            ),
            *(b'"x"', b'"{"', b'"}"', b'"},{"', b'"\\""', b'"\\\\"', b'"', b"\\", b",", b"\n", b"7"),
        ]
    ),
    max_size=30,
).map(lambda parts: b'{"a":[' + b"".join(parts))
_cuts = st.lists(st.integers(0, 400), max_size=6)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """*data* cut at *cuts*."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def frame(framer: Framer, chunks: list[bytes]) -> list[Item]:
    """All items of *chunks*, taken as they come."""
    items: list[Item] = []
    for chunk in chunks:
        framer.feed(chunk)
        while (item := framer.next()) is not None:
            items.append(item)
    return items


def brief(items: list[Item]) -> list[object]:
    """What is to be the same whichever way it was found, up to the end of the connection."""
    short: list[object] = []
    for item in items:
        short.append(item.data.strip() if isinstance(item, Document) else type(item))
        if isinstance(item, Overrun):
            break
    return short


@attrs.define
class Reference:
    """The rules of docs/protocol.md, one byte at a time, with no thought of speed."""

    limit: int
    state: str = "between"
    held: bytes = b""
    length: int = 0
    depth: int = 0
    in_string: bool = False
    escaped: bool = False
    items: list[object] = attrs.Factory(list)

    def take(self, data: bytes) -> list[object]:
        for byte in data:
            char = bytes([byte])
            getattr(self, f"_{self.state}")(char)
            if self.items[-1:] == [Overrun]:
                break
        return self.items

    def _between(self, char: bytes) -> None:
        if char == b"{":
            self.state, self.held, self.length, self.depth = "object", char, 1, 1
            self.in_string = self.escaped = False
            self._mind_the_limit()
        elif char not in (b" ", b"\t", b"\r", b"\n"):
            self.items.append(Broken)
            self.state = "rubbish"

    def _rubbish(self, char: bytes) -> None:
        if char in (b"{", b"\n"):
            self.state = "between"
            self._between(char)

    def _object(self, char: bytes) -> None:
        if char == b"\n":
            self.items.append(Broken)
            self.state = "between"
            return
        self.held += char
        self._follow(char)
        self._mind_the_limit()
        if self.depth == 0:
            if self.state == "object":
                self.items.append(self.held)
            self.state = "between"

    def _mind_the_limit(self) -> None:
        if self.length > self.limit:
            self.items.append(TooLarge)
            self.state = "skipping"

    def _skipping(self, char: bytes) -> None:
        if char == b"\n":
            self.state = "between"
            return
        self._follow(char)
        if self.length > MAX_SKIP * self.limit:
            self.items.append(Overrun)
        if self.depth == 0:
            self.state = "between"

    def _follow(self, char: bytes) -> None:
        self.length += 1
        if self.escaped:
            self.escaped = False
        elif self.in_string:
            self.escaped = char == b"\\"
            self.in_string = char != b'"'
        elif char == b'"':
            self.in_string = True
        elif char in (b"{", b"}"):
            self.depth += 1 if char == b"{" else -1


class DocumentTests(SynchronousTestCase):
    """Whole objects."""

    @given(st.lists(st.tuples(_objects, st.booleans(), _separators), max_size=6), _cuts)
    def test_any_objects_any_separators_any_cuts(self, parts: list[tuple[Any, bool, bytes]], cuts: list[int]) -> None:
        """Objects come out as they went in, however they are separated and cut."""
        written = [
            json.dumps(value, ensure_ascii=ascii_, separators=(",", ":")).encode() for value, ascii_, _ in parts
        ]
        stream = b"".join(data + part[2] for data, part in zip(written, parts, strict=True))
        self.assertEqual(brief(frame(Framer(PLENTY), pieces(stream, cuts))), written)

    def test_only_scanned_as_it_comes(self) -> None:
        """The reads that a large message arrives in are not parsed, however many objects are in it."""
        framer = Framer(1 << 20)
        message = b'{"items":[' + b'{"a":{"b":"c"}},' * 8_000 + b"{}]}"
        chunks = [message[at : at + 4_096] for at in range(0, len(message), 4_096)]
        self.assertEqual(brief(frame(framer, chunks)), [message])
        self.assertLess(framer.work, 1.5 * len(message))

    def test_commas_between_objects_are_no_reason_to_wait(self) -> None:
        """A comma between objects is reported as broken, and each object is returned as it arrives."""
        framer = Framer(PLENTY)
        for _ in range(3):
            self.assertEqual(brief(frame(framer, [b'{"a":{}}'])), [b'{"a":{}}'])
            self.assertEqual(brief(frame(framer, [b","])), [Broken])
        self.assertEqual(brief(frame(framer, [b'{"a":{}},{"b":1},{"c"'])), [b'{"a":{}}', Broken, b'{"b":1}', Broken])

    def test_parsed_value_is_that_of_the_bytes(self) -> None:
        """Where the parsed form is given along, it is the form of these bytes."""
        items = frame(Framer(PLENTY), [HEARTBEAT * 3 + b"\n" + HEARTBEAT])
        self.assertEqual(len(items), 4)
        for item in items:
            assert isinstance(item, Document)
            self.assertEqual(item.value, json.loads(item.data))

    def test_quick_way_comes_back(self) -> None:
        """Behind a message that only the scanner finds, the messages of the next read are parsed together again."""
        for before in (b"{}x" * 1000 + HEARTBEAT[:9], HEARTBEAT[:-1]):
            for between in (b"", b"\n", b"\r\n"):
                framer = Framer(PLENTY)
                frame(framer, [before])
                stream = between.join([HEARTBEAT] * 5) + between
                scanned, *others = frame(framer, [stream[len(before[before.rfind(b"x") + 1 :]) :]])
                self.assertEqual((scanned, len(others)), (Document(HEARTBEAT), 4))
                for item in others:
                    assert isinstance(item, Document)
                    self.assertIsNotNone(item.value)

    def test_beginning_is_split_with_the_rest(self) -> None:
        """The beginning of a small message is parsed with the read that completes it, and not scanned."""
        framer = Framer(PLENTY)
        for cut in range(1, HEARTBEAT.index(b"}")):
            items = frame(framer, pieces(HEARTBEAT * 2, [cut]))
            self.assertEqual(items, [Document(HEARTBEAT, json.loads(HEARTBEAT), screened=True)] * 2, cut)

    def test_last_byte_completes_it(self) -> None:
        """An undelimited message is there with its closing brace, not with the byte after it."""
        framer = Framer(PLENTY)
        self.assertEqual(frame(framer, pieces(HEARTBEAT[:-1], list(range(len(HEARTBEAT))))), [])
        self.assertEqual(brief(frame(framer, [b"}"])), [HEARTBEAT])

    def test_strings_do_not_split(self) -> None:
        """What looks like a boundary inside a string is none."""
        tricky = rb'{"type":"x","a":"}{\"type\":\"y\"}{"}'
        for cut in range(len(tricky) * 2):
            self.assertEqual(brief(frame(Framer(PLENTY), pieces(tricky * 2, [cut]))), [tricky, tricky])

    def test_invalid_utf8_is_a_document(self) -> None:
        """Bytes that are no UTF-8 are for the decoder to refuse."""
        self.assertEqual(brief(frame(Framer(PLENTY), [b'{"a":"\xff"}'])), [b'{"a":"\xff"}'])

    def test_taken_one_at_a_time(self) -> None:
        """Documents are buffered until requested; more bytes may be fed in between."""
        framer = Framer(PLENTY)
        framer.feed(b'{"a":1}{"a":2}\n{"a"')
        self.assertEqual(framer.next(), Document(b'{"a":1}', {"a": 1}, screened=True))
        framer.feed(b":3}")
        self.assertEqual(brief(frame(framer, [b""])), [b'{"a":2}', b'{"a":3}'])

    def test_more_comes_while_many_wait(self) -> None:
        """Of very many messages some are parsed; what comes meanwhile is behind them all."""
        framer = Framer(PLENTY)
        framer.feed(b"".join(b'{"a":%d}' % number for number in range(5000)))
        first = [framer.next() for _ in range(10)]
        self.assertLess(len(framer.ready), framing._MANY)
        framer.feed(b'{"a":5000}{"a"')
        numbers = [json.loads(item.data)["a"] for item in (*first, *frame(framer, [b":5001}"])) if item]  # type: ignore[union-attr]
        self.assertEqual(numbers, list(range(5002)))

    def test_together_and_one_by_one(self) -> None:
        """Good messages around a bad one come out alike, wherever in a read the bad one stands."""
        good = [b'{"a":%d}' % number for number in range(6)]
        for bad in (b"x", b'{"a":"}{"}', b'{"a":\xff}', b"[]", b'{"a"', b"   "):
            for place in range(7):
                for between in (b"\n", b"\n\n", b" \r\n"):
                    stream = between.join([*good[:place], bad, *good[place:]]) + between
                    items = brief(frame(Framer(PLENTY), [stream]))
                    self.assertEqual(items, Reference(PLENTY).take(stream), (stream, items))
                    self.assertEqual([item for item in items if item in good], good)

    def test_only_what_is_known_counts_as_screened(self) -> None:
        """A read with anything suspicious in it leaves the look to the decoder."""
        for number, screened in ((b"1", True), (b"1234567890123456", False)):
            items = frame(Framer(PLENTY), [b'{"a":1}\n{"a":%s}{"a":3}' % number])
            self.assertEqual([isinstance(item, Document) and item.screened for item in items], [screened] * 3)


class BrokenTests(SynchronousTestCase):
    """What is no object."""

    def _assert_framed(self, stream: bytes, expected: list[object]) -> None:
        for cut in range(len(stream) + 1):
            self.assertEqual(brief(frame(Framer(PLENTY), pieces(stream, [cut]))), expected, (stream, cut))

    def test_rubbish_is_told_once_a_run(self) -> None:
        """The next object after rubbish is found, and each run of rubbish is one broken document."""
        good = b'{"a":1}'
        for rubbish in (b"xyz", b"]]] 12 ", b"}", b"}}} ", b"\xff\xfe", b'"a"', b"[1, 2]"):
            self._assert_framed(rubbish + good, [Broken, good])
            self._assert_framed(good + rubbish + good, [good, Broken, good])
            self._assert_framed(rubbish + b"\n" + rubbish + b"\n" + good, [Broken, Broken, good])

    def test_newline_always_ends_a_message(self) -> None:
        """An object that a newline cuts is one broken document, and the next line is read afresh."""
        good = b'{"a":1}'
        for begun in (b'{"a":', b'{"a":"x', b'{"a":"x\\', b'{"a":{"b":{', b"{"):
            self._assert_framed(begun + b"\n" + good + b"\n", [Broken, good])

    def test_pretty_printed_object_breaks(self) -> None:
        """Nobody pretty-prints here."""
        self._assert_framed(b'{\n"a":1}\n{"b":2}', [Broken, Broken, b'{"b":2}'])

    def test_balanced_but_wrong_is_for_the_decoder(self) -> None:
        """Braces that close make a document, whatever stands between them."""
        self._assert_framed(b'{"a":tru}{"b":1}', [b'{"a":tru}', b'{"b":1}'])


class LimitTests(SynchronousTestCase):
    """Too large, and memory."""

    def test_exactly_the_limit_is_allowed(self) -> None:
        """A message as long as the limit passes; one byte more does not."""
        message = b'{"a":"' + b"x" * 92 + b'"}'
        for cuts in ([], [50], list(range(100))):
            for end in (b"", b"\n", b" \r\n"):
                self.assertEqual(brief(frame(Framer(100), pieces(message + end, cuts))), [message])
                self.assertEqual(brief(frame(Framer(99), pieces(message + end, cuts))), [TooLarge])

    def test_told_as_soon_as_the_limit_is_passed(self) -> None:
        """The crawler hears of it while it is still sending, and hears it once."""
        framer = Framer(100)
        self.assertEqual(frame(framer, [b'{"a":"' + b"x" * 94]), [])
        self.assertEqual(frame(framer, [b"x"]), [TooLarge(101, b'{"a":"' + b"x" * 95)])
        self.assertEqual(frame(framer, [b"x" * 100] * 5), [])

    def test_rest_is_skipped_to_brace_or_newline(self) -> None:
        """Reading goes on after the closing brace or a newline, whichever is first; no brace in a string counts."""
        for rest in (b'}}}"}', b'\\"}"}', b"\n", b'","b":{"c":"}"}}'):
            stream = b'{"a":"' + b"x" * 100 + rest + b'{"b":1}'
            for cuts in ([], list(range(150))):
                self.assertEqual(brief(frame(Framer(50), pieces(stream, cuts))), [TooLarge, b'{"b":1}'], (rest, cuts))

    def test_its_beginning_is_kept(self) -> None:
        """Enough of it is kept to identify it, however it is split; also of one cut by a newline."""
        message = b'{"type":"discovery","x":"' + b"x" * 3 * KEPT
        for cuts in ([], [5], [5, 2000], list(range(len(message)))):
            for limit, end in ((2 * KEPT, b'"}'), (2 * KEPT, b""), (9 * KEPT, b"\n")):
                [item] = frame(Framer(limit), pieces(message + end, cuts))
                assert isinstance(item, TooLarge | Broken)
                self.assertEqual(item.beginning, message[:KEPT], (cuts, limit, end))
                if isinstance(item, TooLarge):
                    self.assertTrue(limit < item.size <= len(message) + 2)

    def test_its_beginning_is_its_own(self) -> None:
        """Nothing of what comes behind a short one is taken for it."""
        for message, end in ((b'{"a":"' + b"x" * 100, b'"}'), (b'{"a":"', b"\n")):
            for cuts in ([], list(range(120))):
                item, behind = frame(Framer(50), pieces(message + end + b'{"b":1}', cuts))
                assert isinstance(item, TooLarge | Broken)
                self.assertTrue((message + end).startswith(item.beginning), item)
                self.assertEqual(brief([behind]), [b'{"b":1}'])

    def test_gives_up_far_past_the_limit(self) -> None:
        """After 16 times the limit the connection is to be closed, and not before."""
        framer = Framer(50)
        self.assertEqual(brief(frame(framer, [b'{"' + b"x" * (16 * 50 - 2)])), [TooLarge])
        self.assertEqual(frame(framer, [b"x"]), [Overrun()])

    @given(st.lists(st.binary(max_size=50) | _soup | st.just(b'{"' + b"x" * 60), max_size=20))
    def test_memory_is_bounded(self, chunks: list[bytes]) -> None:
        """Once all items are taken, at most the limit is held, whatever the input."""
        framer = Framer(40)
        for chunk in chunks:
            frame(framer, [chunk])
            self.assertLessEqual(framer.held, 40)
            framer.feed(b"")
            self.assertLessEqual(len(framer._rest) + len(framer._scanner._buffer), 40)

    def test_nothing_is_kept_of_what_is_complete(self) -> None:
        """A connection that is between two messages holds no bytes of those before."""
        for stream in (HEARTBEAT[:-1], b"{}x", b'{"a":"}{"}'):
            framer = Framer(PLENTY)
            frame(framer, [stream, HEARTBEAT[-1:], b"\n"])
            self.assertEqual((framer.held, framer._scanner._buffer), (0, b""), stream)


class ReferenceTests(SynchronousTestCase):
    """The same as the reference, on anything."""

    @given(_soup | st.binary(max_size=60), _cuts, st.sampled_from([1, 3, 7, 20, PLENTY]))
    @example(b'{"a":"\\\n"}{"a":1}', [8], PLENTY)
    @example(b'{"xxxxxxxxxxxxxx\\', [], 1)
    @settings(max_examples=400)
    def test_agrees_on_byte_soup(self, stream: bytes, cuts: list[int], limit: int) -> None:
        """Any bytes, any cuts, any limit: the same items."""
        self.assertEqual(brief(frame(Framer(limit), pieces(stream, cuts))), Reference(limit).take(stream))

    @given(_nested, _cuts, st.sampled_from([20, 100, PLENTY]))
    @settings(max_examples=400)
    def test_agrees_on_nested_objects(self, stream: bytes, cuts: list[int], limit: int) -> None:
        """The same for what looks like lists of objects, with and without what JSON requires."""
        self.assertEqual(brief(frame(Framer(limit), pieces(stream, cuts))), Reference(limit).take(stream))

    def test_a_large_message(self) -> None:
        """A message of many small objects and strings, in reads of every size."""
        message = json.dumps({"items": [{"a": 'x"\\{', "b": [{}, {"c": {}}]}] * 300}).encode()
        for size in (1, 2, 3, 64, 1000, 4097):
            for end in (b"\n", b"", b"{}"):
                stream = message + end
                chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
                expected = [message] + ([b"{}"] if end == b"{}" else [])
                self.assertEqual(brief(frame(Framer(len(message)), chunks)), expected, (size, end))

    @given(st.lists(st.tuples(_objects, _separators), max_size=6), _cuts)
    def test_each_is_told_with_its_last_byte(self, parts: list[tuple[Any, bytes]], cuts: list[int]) -> None:
        """Complete objects are returned immediately, without waiting for later input."""
        stream, ends = b"", []
        for value, separator in parts:
            stream += json.dumps(value, separators=(",", ":")).encode()
            ends.append(len(stream))
            stream += separator
        framer, read, items = Framer(PLENTY), 0, []
        for piece in pieces(stream, cuts):
            read += len(piece)
            items += frame(framer, [piece])
            self.assertEqual(len(items), sum(end <= read for end in ends))

    def test_not_misled_by_braces_in_strings(self) -> None:
        """An object with unequal braces in its strings is returned with its last byte, whatever follows."""
        for size in (0, 5000, 70_000):
            message = b'{"b":[{"a":"{"}],"c":"' + b"{" * size + b'"}'
            for behind in (b"", b"{", b" ", b"x", b",", b"]"):
                for cut in (3, 15, len(message) - 2):
                    chunks = pieces(message + behind, [cut])
                    items = brief(frame(Framer(1 << 20), chunks))
                    self.assertEqual(items, Reference(1 << 20).take(message + behind), (size, behind))

    @given(_soup, st.sampled_from([3, PLENTY]))
    def test_agrees_byte_by_byte(self, stream: bytes, limit: int) -> None:
        """And so with every byte for itself."""
        cuts = list(range(len(stream)))
        self.assertEqual(brief(frame(Framer(limit), pieces(stream, cuts))), Reference(limit).take(stream))


class SmallTests(SynchronousTestCase):
    """The same where few messages are parsed together, and small ones count as too large to be parsed in one go."""

    def setUp(self) -> None:
        self.patch(framing, "_MANY", 6)
        self.patch(framing, "PARSED_WHOLE", 6)

    @given(_soup | _objects.map(json.dumps).map(str.encode), _cuts, st.sampled_from([1, 3, 20, PLENTY]))
    @example(b"{" * 9 + b"{}" * 9, [], PLENTY)
    @example(b"{}" * 9 + b'{"a":"xxxxxxxxxxxxxxxxxxx"}', [40], PLENTY)
    @example(b'{"a":"}{}{}{}{}{"}{}', [5], PLENTY)
    @settings(max_examples=400)
    def test_agrees_on_byte_soup(self, stream: bytes, cuts: list[int], limit: int) -> None:
        """Any bytes, any cuts, any limit: the same items."""
        self.assertEqual(brief(frame(Framer(limit), pieces(stream, cuts))), Reference(limit).take(stream))

    @given(st.lists(st.tuples(_objects, _separators), max_size=8), _cuts)
    def test_any_objects(self, parts: list[tuple[Any, bytes]], cuts: list[int]) -> None:
        """Objects come out as they went in."""
        written = [json.dumps(value, separators=(",", ":")).encode() for value, _ in parts]
        stream = b"".join(data + separator for data, (_, separator) in zip(written, parts, strict=True))
        self.assertEqual(brief(frame(Framer(PLENTY), pieces(stream, cuts))), written)


class DepthTests(SynchronousTestCase):
    """How deep a message is in braces: counted right over every cut, and from none again for the next."""

    def message(self, levels: int, size: int) -> bytes:
        """An object of *levels* levels and at least *size* bytes, with braces in its strings."""
        filler = b'"x":"{{{","y":"}",' * (size // 18)
        return b'{"a":' * (levels - 1) + b"{" + filler + b'"z":"\\"}"' + b"}" * levels

    def _assert_one_by_one(self, messages: list[bytes], size: int, between: bytes) -> None:
        """Each is returned with its last byte, read in pieces of *size* bytes, and not before."""
        framer = Framer(1 << 20)
        for message in messages:
            stream = message + between
            chunks = [stream[at : at + size] for at in range(0, len(message) - 1, size)]
            chunks[-1] = chunks[-1][: (len(message) - 2) % size + 1]
            self.assertEqual(frame(framer, chunks), [], (message[:30], size))
            self.assertEqual(brief(frame(framer, [message[-1:] + between])), [message], (message[:30], size))
        self.assertFalse(framer._scanner.busy)

    def test_every_way(self) -> None:
        """Small, long, and too large to be parsed in one go; one after the other, shallow behind deep."""
        for sizes in ((10, 10), (5000, 10), (5000, 5000), (70_000, 10), (140_000, 5000), (70_000, 140_000)):
            messages = [self.message(levels, size) for levels in (1, 40, 2, 3) for size in sizes]
            for size in (997, 5003, 65_536):
                for between in (b"", b"\n"):
                    self._assert_one_by_one(messages, size, between)

    def test_behind_others(self) -> None:
        """Where a read has the end of one and the beginning of the next, both are returned."""
        messages = [self.message(levels, 70_000) for levels in (40, 1, 3)]
        stream = b"".join(messages)
        for size in (4099, 30_011, 65_536):
            chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
            self.assertEqual(brief(frame(Framer(1 << 20), chunks)), messages, size)

    def test_a_comma_behind_a_long_one(self) -> None:
        """A long object that has come in pieces is over where its depth says so, whatever stands behind it."""
        message = b'{"a":[{"b"' + b':1},{"b"' * 700 + b':{"c":1}}]}'
        for cuts in ([2000, 4200, 4500], list(range(4500, 4530)), [5, 4300, 5000], [4203, 4204, 4209, 5600]):
            framer = Framer(PLENTY)
            self.assertEqual(brief(frame(framer, pieces(message[:-1], cuts))), [], cuts)
            self.assertEqual(brief(frame(framer, [b"},"])), [message, Broken], cuts)

    def test_a_string_behind_a_large_one(self) -> None:
        """What stands behind the end of an object belongs to it no more, even if it ends like one."""
        message = self.message(3, 140_000)
        for rubbish in (b'"x}', b'"x"}', b'" }', b"]}"):
            chunks = [message[:70_000], message[70_000:130_000], message[130_000:] + rubbish]
            self.assertEqual(brief(frame(Framer(1 << 20), chunks)), [message, Broken], rubbish)

    def test_broken_behind(self) -> None:
        """An object that a newline cuts leaves no depth behind, however deep it was."""
        for begun in (b'{"a":' * 50, b'{"a":"' + b"{" * 5000, b"{" * 70_000, b'{"a":[' + b"{}," * 30_000):
            stream = begun + b"\n" + self.message(2, 70_000) + self.message(1, 10)
            for size in (1000, 65_536):
                chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
                expected = [Broken, self.message(2, 70_000), self.message(1, 10)]
                self.assertEqual(brief(frame(Framer(1 << 20), chunks)), expected, (begun[:9], size))

    def test_large_ones_are_not_parsed(self) -> None:
        """What is too large is returned without its parsed form, a smaller one in a single read with it."""
        for size, parsed in (
            (1000, True),
            (PARSED_WHOLE - 1000, True),
            (PARSED_WHOLE + 1, False),
            (3 * PARSED_WHOLE, False),
        ):
            for message in (self.message(3, size), b'{"a":[' + b'{"b":1},' * (size // 8) + b"1]}"):
                for chunks in ([message], [message + b"\n"], [message * 2]):
                    item, *_ = frame(Framer(1 << 20), chunks)
                    assert isinstance(item, Document)
                    self.assertEqual((item.data == message, item.value is not None), (True, parsed), size)


class CostTests(SynchronousTestCase):
    """Linear in the bytes, counted in bytes looked at."""

    def _assert_linear(self, stream: bytes, size: int) -> None:
        framer = Framer(1 << 22)
        frame(framer, [stream[at : at + size] for at in range(0, len(stream), size)])
        self.assertLessEqual(framer.work, WORK * len(stream), (stream[:20], size))

    def test_large_message_byte_by_byte(self) -> None:
        """Two megabytes, one byte at a time, cost as much a byte as in one piece."""
        self._assert_linear(b'{"a":"' + b"x{" * (1 << 17) + b'"}', 1)
        self._assert_linear(b'{"a":"' + b"x{" * (1 << 20) + b'"}', 65536)

    def test_no_stream_costs_more(self) -> None:
        """Nor is there a stream that makes it look at the same bytes again and again."""
        patterns = [
            HEARTBEAT,
            HEARTBEAT + b"\n",
            b"{}x",
            b'{"a":"}{"}',
            b'{"a":1}]',
            b"{}   x",
            b"}{",
            b"\n",
            b"x",
            b" ",
            b"{",
            b'"',
            b"{}\xff",
            b"{x}",
            b'{"a":"\\\\}{',
            b'{"a":[{"b":"c"},{"d":{}},',
            b'{"a":{}}' + b" " * 30 + b"x",
            b"{\\",
        ]
        for pattern in patterns:
            stream = pattern * (10_000 // len(pattern))
            for tail in (b"", b"}", b"\n", b"}\n" + b" " * 2000, b"{}" * 2000):
                for size in (65536, 1000, 7):
                    self._assert_linear(stream + tail, size)

    def test_no_read_costs_much_more_than_its_own_bytes(self) -> None:
        """The beginning of a large message is scanned as it arrives, not all in one step when its end is late."""
        for pattern in (b"{", b'{"a":', b'{"a":"b","'):
            framer = Framer(1 << 20)
            for _ in range(4):
                before, read = framer.work, pattern * (65_536 // len(pattern))
                frame(framer, [read])
                self.assertLess(framer.work - before, 5 * len(read), pattern)
