"""Statements by name."""

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import sql


class StatementTests(SynchronousTestCase):
    """The files of store/sql."""

    def test_each_is_explained(self) -> None:
        """A comment stands above every statement, and no name is used twice."""
        names: list[str] = []
        for topic in (files("copilot_socket.store") / "sql").iterdir():
            named = re.findall(r"^-- name: (\w+)\n(.*)\n", topic.read_text("utf-8"), re.MULTILINE)
            names += [name for name, _ in named]
            for name, first in named:
                self.assertTrue(first.startswith("-- "), name)
        self.assertCountEqual(names, set(names))
        self.assertCountEqual(names, sql._statements())
