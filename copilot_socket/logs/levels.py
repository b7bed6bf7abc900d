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
"""Namespace → the names in DEBUG that enable debug lines for it and all below it. A logger is named after its
module and class, so ``socket:wire`` is the package ``copilot_socket.wire``; ``socket:node`` is all top-level modules.
"""


class _Predicate(LogLevelFilterPredicate):
    """Drops Twisted's harmless line about a plugin cache that it can't write."""

    def __call__(self, event: LogEvent) -> Any:
        """Whether *event* is written."""
        if str(event.get("format", "")).startswith("Unable to write to plugin cache"):
            return PredicateResult.no
        return super().__call__(event)


class Levels:
    """Lines of *level* and above, and all lines of the namespaces in *debug* (``socket:*``, ``socket:wire``, …)."""

    def __init__(self, level: str, debug: Iterable[str] = ()) -> None:
        names = frozenset(debug)
        # Twisted's own info lines (ports, factories, its start) repeat what the node logs.
        self.predicate = _Predicate(LogLevel.warn if level == "info" else _LEVELS[level])
        for namespace, opened_by in _OPENED_BY.items():
            opened = not names.isdisjoint(opened_by)
            self.predicate.setLogLevelForNamespace(namespace, LogLevel.debug if opened else _LEVELS[level])

    def writes(self, namespace: str, level: Any) -> bool:
        """Whether lines of *namespace* and *level* are written; others need not be built."""
        return bool(self.predicate.logLevelForNamespace(namespace) <= level)
