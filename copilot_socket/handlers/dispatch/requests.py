"""Pending requests for work."""

from collections.abc import Iterator

import attrs

from copilot_socket.core.jobs import commands_for
from copilot_socket.core.scheduling import Commands
from copilot_socket.handlers.crawlers import Crawler, Link


def commands_of(crawler: Crawler) -> Commands:
    """The commands whose jobs *crawler* takes."""
    return frozenset(commands_for(crawler.entity_types))


@attrs.define(eq=False)
class PendingRequest:
    """A crawler's request for up to ``limit`` jobs, to be answered over ``link``.

    ``takes_over``: another node may serve the crawler until a claim here takes it over. ``answered``: no empty
    response is due. ``since``: when the request was made, in reactor seconds.
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
    """The pending requests, one per crawler, in the order of arrival."""

    def __init__(self) -> None:
        self._all: dict[str, PendingRequest] = {}
        self._groups: dict[Commands, dict[str, PendingRequest]] = {}
        self._taking_over: dict[str, PendingRequest] = {}
        self._unanswered: dict[str, PendingRequest] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._all.values()))

    def get(self, key: str) -> PendingRequest | None:
        """The request of the crawler with *key*, if any."""
        return self._all.get(key)

    def put(self, request: PendingRequest) -> None:
        """Replace the crawler's pending request with *request*."""
        key = request.crawler.key
        self.drop(key)
        self._all[key] = request
        self._groups.setdefault(request.commands, {})[key] = request
        if request.takes_over:
            self._taking_over[key] = request
        if not request.answered:
            self._unanswered[key] = request

    def drop(self, key: str) -> None:
        """Remove the request of the crawler with *key*, if any."""
        request = self._all.pop(key, None)
        if request is not None:
            self._taking_over.pop(key, None)
            self._unanswered.pop(key, None)
            group = self._groups[request.commands]
            del group[key]
            if not group:
                del self._groups[request.commands]

    def taken_over(self, key: str) -> None:
        """The claim has taken over the crawler with *key*: this node serves it now."""
        request = self._taking_over.pop(key, None)
        if request is not None:
            request.takes_over = False

    def answered(self, request: PendingRequest) -> None:
        """No empty response to *request* is due any more."""
        request.answered = True
        self._unanswered.pop(request.crawler.key, None)

    @property
    def unanswered(self) -> list[PendingRequest]:
        """Those to which a response is due."""
        return list(self._unanswered.values())

    @property
    def taking_over(self) -> list[PendingRequest]:
        """Requests of crawlers that this node has yet to take over."""
        return list(self._taking_over.values())

    @property
    def groups(self) -> dict[Commands, dict[str, PendingRequest]]:
        """Requests by the commands that their crawlers take and by the crawlers' keys."""
        return self._groups
