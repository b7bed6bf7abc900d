"""Who a new connection speaks for until it says so itself, and what hangs on its end."""

from copilot_socket.handlers.crawlers import Crawler, Link
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.messages import Terms, plain_crawler
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.wire.peer import Peer


class Connections:
    """Told by the listening side of connections that come and go."""

    def __init__(self, presence: PresenceKeeper, dispatcher: Dispatcher, terms: Terms) -> None:
        self._presence = presence
        self._dispatcher = dispatcher
        self._terms = terms

    def opened(self, link: Link, peer: Peer | None) -> None:
        """The process at the other end is the crawler; where it can't be told, the connection is."""
        self._presence.opened(link, self._crawler(link, peer))

    def closed(self, link: Link, reason: str) -> None:
        """The connection is over, with the request that stood on it."""
        self._dispatcher.withdraw(link)
        self._presence.closed(link, reason)

    def _crawler(self, link: Link, peer: Peer | None) -> Crawler:
        if peer is None:
            return plain_crawler(f"connection:{link.id}", self._terms)
        return plain_crawler(peer.key, self._terms)
