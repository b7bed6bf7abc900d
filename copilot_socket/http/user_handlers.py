"""What is crawled for a user, over HTTP (docs/http.md, "A user's crawl")."""

import attrs

from copilot_socket.http.checks import short_name
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, OutOfScope, Problem, Reply, reply
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.shown.users import UserCrawl


@attrs.frozen
class UserHandlers:
    """Handles requests under ``/api/v1/users``."""

    catalog: Catalog

    @endpoint({200: UserCrawl})
    async def show_user(self, call: Call) -> Reply:
        """All that is crawled for a user of the web application, who has no other record here than their jobs."""
        user, within = call.named(short_name, Problem(404, "No such user")), call.within
        if within is not None and within.users is not None and user not in within.users:
            raise OutOfScope(403, "Access token is limited to certain users; this is none of them")
        return reply(await self.catalog.users.show(user, within))
