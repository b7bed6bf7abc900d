"""The overview over HTTP (docs/http.md, "Overview")."""

import attrs

from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Reply, reply
from copilot_socket.http.overview import Overviews
from copilot_socket.store.shown.overview import Overview


@attrs.frozen
class OverviewHandlers:
    """Handles ``/api/v1/overview``."""

    overviews: Overviews

    @endpoint({200: Overview})
    async def show_overview(self, _call: Call) -> Reply:
        """What needs a person, and what restricts and serves the jobs: the nodes, hosts, budgets and pauses.

        At most two seconds old; the live event `overview` has the same.
        """
        return reply(await self.overviews.read())
