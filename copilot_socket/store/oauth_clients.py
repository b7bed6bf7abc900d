"""OAuth clients: the applications that this server is at GitLabs, each bound to the origin that its secret is for."""

from collections.abc import Mapping

import attrs

from copilot_socket.core.vault import Vault, client_secret
from copilot_socket.store.database import Database


@attrs.frozen
class OAuthClient:
    """An application registered at a GitLab; a public one has no secret. ``redirect_uri`` where one is registered."""

    id: str
    secret: str | None = attrs.field(default=None, repr=False)
    redirect_uri: str | None = None

    def form(self) -> dict[str, str]:
        """The client's fields of a token request."""
        fields = {"client_id": self.id, "client_secret": self.secret, "redirect_uri": self.redirect_uri}
        return {name: value for name, value in fields.items() if value is not None}


def configured_clients(origin: str | None, client_id: str | None, secret: str | None) -> dict[str, OAuthClient]:
    """The client of the configuration, if there is one, by its origin."""
    return {} if origin is None or client_id is None else {origin: OAuthClient(client_id, secret)}


_FIND = "SELECT client_id, client_secret, redirect_uri FROM oauth_clients WHERE origin = %(origin)s"


class OAuthClients:
    """Finds clients in the table ``oauth_clients``, and for other origins among the *configured* ones."""

    def __init__(self, database: Database, vault: Vault, configured: Mapping[str, OAuthClient]) -> None:
        self._database = database
        self._vault = vault
        self._configured = configured

    async def find(self, origin: str) -> OAuthClient | None:
        """The client for the GitLab at *origin*, None without one. Raises ``VaultError`` or the database's error."""
        for client_id, secret, redirect_uri in await self._database.query(_FIND, {"origin": origin}):
            opened = None if secret is None else self._vault.decrypt(secret, client_secret(origin))
            return OAuthClient(client_id, opened, redirect_uri)
        return self._configured.get(origin)
