"""Answers that clients share: to a GET with ``Cache-Control: max-age=N``, one that is N seconds old will do.

The directive is that of RFC 9111, section 5.2.1.1. Many who look at the same list are so served by one query. Who
does not send it gets what is true now.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable

import attrs

from copilot_socket.http.messages import Reply

MAX_SHARED = 4 * 1024 * 1024
"""Bytes of answers that are kept."""
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,6})(?:$|[,\s])", re.IGNORECASE)


def max_age(cache_control: str | None) -> int:
    """How old an answer may be, in seconds; 0: it must be new."""
    found = _MAX_AGE.search(cache_control or "")
    return 0 if found is None else int(found[1])


class SharedAnswers:
    """The latest answers, up to :data:`MAX_SHARED` bytes together. *seconds*: a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[Hashable, tuple[float, Reply]] = OrderedDict()
        self._size = 0

    def find(self, key: Hashable, age: int) -> Reply | None:
        """What was answered to *key* up to *age* seconds ago, with the header Age."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        old = self._seconds() - kept[0]
        if old >= age:
            return None
        return attrs.evolve(kept[1], headers={**kept[1].headers, "Age": str(int(old))})

    def keep(self, key: Hashable, began: float, answer: Reply) -> None:
        """Keep *answer*, which shows what was true at *began* or later, unless it is large, secret or an error."""
        self._drop(key)
        if answer.status != 200 or answer.secret or len(answer.body) > MAX_SHARED // 8:
            return
        self._kept[key] = began, answer
        self._size += len(answer.body)
        while self._size > MAX_SHARED:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._size -= len(dropped[1].body)
