"""What rows of events hold, and positions among them."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.live_events import LOST, LiveEvent, Lost, Position, decoded, encoded, job, joined

WHOSE = ("J1.1.x", "hello:c1", "acme", "ann")


class DecodingTests(SynchronousTestCase):
    """Rows become events."""

    def test_each_kind(self) -> None:
        """Data has the names of columns, and nothing that does not apply."""
        whose = {"id": "J1", "crawler_job_id": "J1.1.x", "crawler_id": "c1", "account_id": "acme", "user_id": "ann"}
        ended = {"outcome": "completed", "cause": "completed"}
        work = {"command": "issues", "full_path": "g/p"}
        for change, expected in (
            (["report", *WHOSE, True, False, None], [{**whose, "event": "job_started", "status": "running"}]),
            (
                ["report", *WHOSE, True, True, '{"processed": 3}'],
                [
                    {**whose, "event": "job_started", "status": "running"},
                    {**whose, "event": "job_progress", "progress": {"processed": 3}},
                    {**whose, "event": "job_completed", "status": "completed", **ended},
                ],
            ),
            (["claim", *WHOSE, "issues", "g/p"], [{**whose, **work, "event": "claim", "status": "assigned"}]),
            (
                ["created", "J1", "queued", "acme", None, "issues", "g/p"],
                [{"id": "J1", "event": "created", "status": "queued", "account_id": "acme", **work}],
            ),
            (
                ["deleted", "J1", "acme", "ann"],
                [{"id": "J1", "event": "deleted", "account_id": "acme", "user_id": "ann"}],
            ),
            (["event", "job", {"id": "J1", "event": "cancel"}], [{"id": "J1", "event": "cancel"}]),
        ):
            events = list(decoded(json.dumps([change])))
            self.assertEqual([event.data for event in events], expected, change)
            self.assertEqual({event.type for event in events}, {"job"})

    def test_several(self) -> None:
        """A row has the events of all its changes, in order."""
        events = [LiveEvent("host", {"event": "held"}), job("J1", "cancel", status="cancelled", reason=None)]
        self.assertEqual(list(decoded(joined(map(encoded, events)))), events)
        self.assertNotIn("reason", events[1].data)

    def test_lost(self) -> None:
        """A row may stand for others that were not stored."""
        self.assertRaises(Lost, list, decoded(joined([encoded(LiveEvent("host", {})), LOST])))

    @given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=9).map(json.dumps))
    def test_nonsense(self, changes: str) -> None:
        """What no node has written has no events, or is lost."""
        with contextlib.suppress(Lost):
            self.assertEqual(list(decoded(changes)), [])


class PositionTests(SynchronousTestCase):
    """Ids of events."""

    @given(st.builds(Position, st.integers(0, 10**18 - 1), st.integers(0, 10**6)))
    def test_round_trip(self, position: Position) -> None:
        """A position is read as it was written."""
        self.assertEqual(Position.parse(str(position)), position)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever a client sends is a position or none."""
        found = Position.parse(text)
        self.assertTrue(found is None or found >= Position(0))

    def test_none(self) -> None:
        """These are none."""
        for text in ("", "7", "7.", ".1", "a-7", "7.1.1", "-7.1", "7.-1", "\u0663.\u0661", "9" * 19 + ".0", "7 .1"):
            self.assertIsNone(Position.parse(text), text)

    def test_order(self) -> None:
        """A later event has a greater one."""
        self.assertTrue(Position(7) < Position(7, 1) < Position(8))
