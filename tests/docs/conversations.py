"""Conversations out of Markdown: read, and compared with what a server really says."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

_FENCE = re.compile(r"^```conversation(?P<options>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SPEAKER = re.compile(r"^([CSJ]): (.*)$")
_PLACEHOLDER = re.compile(r"<([a-z0-9]+)>|…")


@attrs.frozen
class Line:
    """``speaker`` is C (the crawler), S (the server) or J (someone who puts a job in)."""

    speaker: str
    message: dict[str, Any]


@attrs.frozen
class Conversation:
    """A fenced block, named by the heading above it; ``undelimited``: nothing between the crawler's messages."""

    title: str
    undelimited: bool
    lines: Sequence[Line]


def read(path: Path) -> list[Conversation]:
    """All conversations of a Markdown file. Raises ``ValueError`` for a line that is none."""
    text = path.read_text("utf-8")
    return [
        Conversation(
            _HEADING.findall(text, 0, match.start())[-1],
            "undelimited" in match["options"].split(),
            list(_lines(match["text"])),
        )
        for match in _FENCE.finditer(text)
    ]


def _lines(text: str) -> Iterator[Line]:
    """A line that begins with white space goes on with the one before."""
    for whole in re.sub(r"\n\s+", " ", text).strip().split("\n"):
        match = _SPEAKER.match(whole)
        if match is None:
            raise ValueError(f"nobody says this: {whole}")
        yield Line(match[1], json.loads(match[2]))


class Bindings:
    """What the placeholders stand for; each stands for one value throughout a conversation."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def fill(self, template: Any) -> Any:
        """*template* with every placeholder replaced. Raises ``KeyError`` for one that nothing was bound to."""
        match template:
            case str():
                return _PLACEHOLDER.sub(lambda found: self._values[found[1]], template)
            case list():
                return [self.fill(item) for item in template]
            case dict():
                return {name: self.fill(item) for name, item in template.items()}
            case _:
                return template

    def accept(self, template: Any, value: Any, path: str = "") -> str | None:
        """Where and how *value* differs from *template*; None, with placeholders bound, if it does not."""
        match template, value:
            case str(), str():
                return self._accept_text(template, value, path)
            case list(), list() if len(template) == len(value):
                pairs = enumerate(zip(template, value, strict=True))
                return _first(self.accept(t, v, f"{path}/{index}") for index, (t, v) in pairs)
            case dict(), dict() if template.keys() == value.keys():
                return _first(self.accept(t, value[name], f"{path}/{name}") for name, t in template.items())
            case _ if type(template) is type(value) and template == value:
                return None
        return f"at {path or '/'}: {json.dumps(value)} where {json.dumps(template, ensure_ascii=False)} is written"

    def _accept_text(self, template: str, value: str, path: str) -> str | None:
        pattern, at = "", 0
        for found in _PLACEHOLDER.finditer(template):
            pattern += re.escape(template[at : found.start()])
            name, at = found[1], found.end()
            if name is None:
                pattern += ".+"
            elif name in self._values:
                pattern += re.escape(self._values[name])
            else:
                pattern += f"(?P<{name}>[^.]+)"
        match = re.fullmatch(pattern + re.escape(template[at:]), value)
        if match is None:
            return f"at {path}: {value!r} where {template!r} is written, with {self._values}"
        self._values.update(match.groupdict())
        return None


def _first(faults: Iterator[str | None]) -> str | None:
    return next((fault for fault in faults if fault is not None), None)
