"""The JavaScript client (docs/web-application.md): open to everybody, as it says only what docs/http.md says."""

from importlib.resources import files

import attrs

from copilot_socket.http.conditions import tagged
from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.messages import Call, Reply


def _read(name: str) -> bytes:
    return (files("copilot_socket") / "web" / name).read_bytes()


@attrs.frozen
class WebHandlers:
    """Handles ``/client.js`` and ``/types.d.ts``."""

    client: bytes = attrs.field(factory=lambda: _read("client.js"))
    types: bytes = attrs.field(factory=lambda: _read("types.d.ts"))

    @endpoint({200: Content("text/javascript", "An ES module.")}, strict=False)
    async def show_client(self, call: Call) -> Reply:
        """The JavaScript client of this API, for browsers and Node.js."""
        return _file(call, self.client, b"text/javascript; charset=utf-8")

    @endpoint({200: Content("text/plain", "Declarations in TypeScript.")}, strict=False)
    async def show_types(self, call: Call) -> Reply:
        """The types of the client's requests and answers."""
        return _file(call, self.types, b"text/plain; charset=utf-8")


def _file(call: Call, content: bytes, content_type: bytes) -> Reply:
    """The file with its entity tag; clients keep it, and ask each time: the node may be of a newer version now."""
    answer = tagged(call, Reply(200, content, content_type))
    assert isinstance(answer, Reply)
    return attrs.evolve(answer, headers={**answer.headers, "Cache-Control": "no-cache"})
