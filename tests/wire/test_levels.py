"""Depth by braces alone."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.levels import levels


def one_by_one(stretch: bytes) -> tuple[int, int]:
    """The same, brace by brace."""
    ended = begun = 0
    for byte in stretch:
        if byte == ord("{"):
            begun += 1
        elif byte == ord("}") and begun:
            begun -= 1
        elif byte == ord("}"):
            ended += 1
    return ended, begun


class LevelTests(SynchronousTestCase):
    """levels()."""

    def test_examples(self) -> None:
        """What closes comes before what opens, and pairs are neither."""
        for stretch, expected in (
            (b"", (0, 0)),
            (b'"a":[1,2],', (0, 0)),
            (b'{"a":{}}', (0, 0)),
            (b'1}},{"a":{"b":', (2, 2)),
            (b"}{", (1, 1)),
            (b"{" * 1000, (0, 1000)),
        ):
            self.assertEqual(levels(stretch), expected, stretch)

    @given(st.text(alphabet="{}x", max_size=40).map(str.encode))
    def test_as_one_by_one(self, stretch: bytes) -> None:
        """However they are nested."""
        self.assertEqual(levels(stretch), one_by_one(stretch))

    def test_gives_up(self) -> None:
        """On so many levels that taking pairs out would cost more than following them."""
        self.assertEqual(levels(b"{" * 31 + b"}" * 31), (0, 0))
        self.assertIsNone(levels(b"{" * 40 + b"}" * 40))
