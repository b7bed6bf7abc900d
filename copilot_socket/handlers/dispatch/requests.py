"""Pending requests for work."""

from collections.abc import Iterator

import attrs

from copilot_socket.core.jobs import commands_for
from copilot_socket.core.scheduling import Commands
from copilot_socket.handlers.crawlers import Crawler, Link


def commands_of(crawler: Crawler) -> Commands:
    """What *crawler* may be given."""
    return frozenset(commands_for(crawler.entity_types))


@attrs.define(eq=False)
class PendingRequest:
    """A crawler's request for up to ``limit`` jobs, to be answered over ``link``.

    ``takes_over``: this node has yet to become the one that serves the crawler. ``answered``: no empty response is
    owed any more. ``since`` when it waits, in reactor seconds.
    """

    crawler: Crawler
    link: Link
    limit: int
    since: float = 0.0
    answered: bool = False
    takes_over: bool = True
    commands: Commands = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.commands = commands_of(self.crawler)


class Requests:
    """One request a crawler, in the order in which they came."""

    def __init__(self) -> None:
        self._all: dict[str, PendingRequest] = {}
        self._groups: dict[Commands, dict[str, PendingRequest]] = {}
        self._taking_over: dict[str, PendingRequest] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._all.values()))

    def get(self, key: str) -> PendingRequest | None:
        """The request of the crawler with *key*."""
        return self._all.get(key)

    def put(self, request: PendingRequest) -> None:
        """*request* takes the place of its crawler's earlier one."""
        key = request.crawler.key
        self.drop(key)
        self._all[key] = request
        self._groups.setdefault(request.commands, {})[key] = request
        if request.takes_over:
            self._taking_over[key] = request

    def drop(self, key: str) -> None:
        """The request of the crawler with *key* is over."""
        request = self._all.pop(key, None)
        if request is not None:
            self._taking_over.pop(key, None)
            group = self._groups[request.commands]
            del group[key]
            if not group:
                del self._groups[request.commands]

    def taken_over(self, key: str) -> None:
        """This node serves the crawler with *key* now."""
        request = self._taking_over.pop(key, None)
        if request is not None:
            request.takes_over = False

    @property
    def taking_over(self) -> list[PendingRequest]:
        """Those of crawlers that this node has yet to take over."""
        return list(self._taking_over.values())

    @property
    def groups(self) -> dict[Commands, dict[str, PendingRequest]]:
        """Requests by the commands that their crawlers take, and by key."""
        return self._groups
