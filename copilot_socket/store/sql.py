"""SQL statements by name, read once from ``sql/``: a file per topic, ``-- name: <name>`` before each statement."""

import re
from functools import cache
from importlib.resources import files

from copilot_socket.core.jobs import ENTITY_TYPES

ROUTES = {"command": list(ENTITY_TYPES), "entity_type": list(ENTITY_TYPES.values())}
"""Parameters of statements that map commands to entity types."""

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def _statements() -> dict[str, str]:
    statements: dict[str, str] = {}
    for topic in (files("copilot_socket.store") / "sql").iterdir():
        parts = _NAME.split(topic.read_text("utf-8"))
        statements.update(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
    return statements


def sql(name: str) -> str:
    """The statement called *name*. Raises ``KeyError`` if there is none."""
    return _statements()[name]
