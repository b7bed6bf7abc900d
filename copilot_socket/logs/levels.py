"""Which lines are written."""

from collections.abc import Iterable
from typing import Any

from twisted.logger import LogEvent, LogLevel, LogLevelFilterPredicate, PredicateResult

from copilot_socket.config.parsers import PARTS

ROOT = "copilot_socket"
_LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}
_OPENED_BY = {
    ROOT: ("socket:*", "socket:node"),
    **{f"{ROOT}.{part}": ("socket:*", f"socket:{part}") for part in PARTS},
}
"""Namespace → the names in DEBUG that open it and all below it. A logger is named after its module and class, so
``socket:wire`` is the package ``copilot_socket.wire``; ``socket:node`` is whatever is in no package of its own.
"""


class _Predicate(LogLevelFilterPredicate):
    """Drops Twisted's line about a plugin cache that it can't write, which needs nobody's attention."""

    def __call__(self, event: LogEvent) -> Any:
        """Whether *event* is written."""
        if str(event.get("format", "")).startswith("Unable to write to plugin cache"):
            return PredicateResult.no
        return super().__call__(event)


class Levels:
    """Lines of *level* and above, and all lines of the namespaces in *debug* (``socket:*``, ``socket:wire``, …)."""

    def __init__(self, level: str, debug: Iterable[str] = ()) -> None:
        names = frozenset(debug)
        # What Twisted has to inform of (ports, factories, its own start) the node says in its own words.
        self.predicate = _Predicate(LogLevel.warn if level == "info" else _LEVELS[level])
        for namespace, opened_by in _OPENED_BY.items():
            opened = not names.isdisjoint(opened_by)
            self.predicate.setLogLevelForNamespace(namespace, LogLevel.debug if opened else _LEVELS[level])

    def writes(self, namespace: str, level: Any) -> bool:
        """Whether lines of *namespace* and *level* are written: what is thrown away in the end need not be made."""
        return bool(self.predicate.logLevelForNamespace(namespace) <= level)
