"""Fields read from the beginning of a message."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.beginning import KEPT, beginning

FIELDS = {"type": "jobs_discovered", "timestamp": 't"{', "id": "m\u00fc", "jobId": "J.1.x"}
DATA = {"data": {"discovered_jobs": [{"type": "no", "jobId": "no"}], "type": "no"}}
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


class BeginningTests(SynchronousTestCase):
    """beginning()."""

    def test_any_order(self) -> None:
        """The strings of the message itself are found, before its data and behind it, and none further in."""
        for message in (FIELDS | DATA, DATA | FIELDS, dict(reversed((FIELDS | DATA).items()))):
            for ascii_only in (True, False):
                text = json.dumps(message, ensure_ascii=ascii_only).encode()
                self.assertEqual(beginning(text), FIELDS, text)

    def test_no_strings(self) -> None:
        """Other values are none, and what is behind them is found."""
        text = b'{"type":5,"id":null,"x":[{"id":"no"},"no"],"jobId":"J","timestamp":"t\\ud800","jobId":"K"}'
        self.assertEqual(beginning(text), {"jobId": "K", "timestamp": None})

    def test_cut_off(self) -> None:
        """A string that is cut off has no value."""
        for cut in (b'"J', b'"J\\', b'"', b"", b'"J\xc3'):
            self.assertIsNone(beginning(b'{"type":"discovery","jobId":' + cut).get("jobId"), cut)

    def test_inferred_from_its_list(self) -> None:
        """If the data come first, the type is inferred from their list, unless the type is there too."""
        for name, type_ in (("discovered_jobs", "jobs_discovered"), ("entities", "discovery")):
            text = b'{"data": {"discovery_summary": {"x": 1}, "%s": [{"entities": "' % name.encode()
            self.assertEqual(beginning(text), {"type": type_})
            self.assertEqual(beginning(text + b'"}]}, "type": "heartbeat"}'), {"type": "heartbeat"})
        for text in (
            b'{"x": {"entities": [',
            b'{"entities": [',
            b'{"data": [{"entities": [',
            b'{"data": {"items": [',
        ):
            self.assertEqual(beginning(text), {}, text)

    def test_no_more_than_is_kept(self) -> None:
        """Text beyond the limit is not examined."""
        self.assertEqual(beginning(b'{"x": "' + b"x" * KEPT + b'", "type": "discovery"}'), {"x": None})

    @given(st.dictionaries(st.sampled_from([*FIELDS, "data"]), _json), st.integers(0, KEPT), st.booleans())
    def test_a_part_says_nothing_else(self, message: dict[str, Any], cut: int, ascii_only: bool) -> None:
        """Fields read from a part of a message agree with the whole."""
        text = json.dumps(message, ensure_ascii=ascii_only).encode()[:cut]
        for name, value in beginning(text).items():
            if value is not None and (name in message or name != "type"):
                self.assertEqual(value, message[name])

    @given(st.binary(max_size=2 * KEPT) | st.text(alphabet='{}[]":,\\ a').map(str.encode))
    def test_rubbish(self, text: bytes) -> None:
        """Anything may be given."""
        self.assertIsInstance(beginning(text), dict)
