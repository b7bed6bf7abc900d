"""Connection events: a new connection gets a plain crawler; a closed one loses its pending request."""

from copilot_socket.core.identity import Identity
from copilot_socket.handlers.crawlers import Crawler, Link
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.doorkeeper import Doorkeeper
from copilot_socket.handlers.messages import Terms, plain_crawler
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.wire.peer import Peer


class Connections:
    """Called by the listening side when connections open and close."""

    def __init__(
        self, presence: PresenceKeeper, dispatcher: Dispatcher, terms: Terms, doorkeeper: Doorkeeper
    ) -> None:
        self._presence = presence
        self._dispatcher = dispatcher
        self._terms = terms
        self._doorkeeper = doorkeeper

    def admits(self, identity: Identity) -> bool:
        """Whether *identity* is admitted whatever it says."""
        return self._doorkeeper.admits(identity)

    def opened(self, link: Link, peer: Peer | None) -> None:
        """Until ``hello`` the crawler is the process at the other end; the connection if that is unknown."""
        self._doorkeeper.opened(link)
        self._presence.opened(link, self._crawler(link, peer))

    def closed(self, link: Link, reason: str) -> None:
        """Withdraw the request made over *link*, and let the crawler leave."""
        self._dispatcher.withdraw(link)
        self._presence.closed(link, reason)

    def _crawler(self, link: Link, peer: Peer | None) -> Crawler:
        if peer is None:
            return plain_crawler(f"connection:{link.id}", self._terms)
        return plain_crawler(peer.key, self._terms)
