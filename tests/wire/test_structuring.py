"""Data of messages: what is structured by hand is what cattrs makes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.messages import INCOMING
from copilot_socket.wire.structuring import BY_HAND, by_cattrs

TEXT = st.none() | st.text(max_size=5)
WHOLE = st.integers(1, 9)
DATA: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "job_request": {"limit": st.none() | WHOLE | WHOLE.map(float)},
    "job_started": {"entityType": TEXT, "entityId": TEXT},
    "job_completed": {"message": TEXT, "outputFiles": st.none() | st.lists(st.text(max_size=5), max_size=3)},
}
NEEDED: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "job_completed": {
        "success": st.booleans(),
        "finalCounts": st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.floats(0, 9), max_size=3),
    },
}


class ByHandTests(SynchronousTestCase):
    """BY_HAND."""

    @given(st.data())
    def test_as_by_cattrs(self, data: st.DataObject) -> None:
        """Whatever is given, left out, or not known."""
        for type_, structure in BY_HAND.items():
            fields = data.draw(
                st.fixed_dictionaries(NEEDED.get(type_, {}), optional={**DATA[type_], "unknown": st.integers()})
            )
            made, expected = structure(fields), by_cattrs(INCOMING[type_])(fields)
            self.assertEqual(made, expected)
            self.assertEqual(repr(made), repr(expected))  # 5 and 5.0 are equal
