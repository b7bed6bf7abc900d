"""The description of the API over HTTP."""

from collections.abc import Callable, Sequence

import attrs
import orjson

from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.messages import Call, Reply
from copilot_socket.http.openapi import document
from copilot_socket.http.routes import Route


@attrs.define
class DescriptionHandlers:
    """Handles ``/api/v1/openapi.json``. *routes* returns the route table."""

    routes: Callable[[], Sequence[Route]]
    _body: bytes = b""

    @endpoint({200: Content("application/json", "An OpenAPI 3.1 document.")})
    async def show_description(self, _call: Call) -> Reply:
        """This API, as an OpenAPI document."""
        if not self._body:  # takes some milliseconds, which a node that nobody asks does without
            self._body = orjson.dumps(document(self.routes()))
        return Reply(200, self._body)
