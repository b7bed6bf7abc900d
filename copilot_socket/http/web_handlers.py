"""The JavaScript client (docs/web-application.md): open to everybody, as it says only what docs/http.md says."""

from importlib.resources import files

import attrs

from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.messages import Call, Reply
from copilot_socket.http.static_files import StaticFile


def _read(name: str, content_type: bytes) -> StaticFile:
    return StaticFile((files("copilot_socket") / "web" / name).read_bytes(), content_type)


@attrs.frozen
class WebHandlers:
    """Handles ``/client.js`` and ``/types.d.ts``."""

    client: StaticFile = attrs.field(factory=lambda: _read("client.js", b"text/javascript; charset=utf-8"))
    types: StaticFile = attrs.field(factory=lambda: _read("types.d.ts", b"text/plain; charset=utf-8"))

    @endpoint({200: Content("text/javascript", "An ES module.")}, strict=False)
    async def show_client(self, call: Call) -> Reply:
        """The JavaScript client of this API, for browsers and Node.js."""
        return self.client.answer(call)

    @endpoint({200: Content("text/plain", "Declarations in TypeScript.")}, strict=False)
    async def show_types(self, call: Call) -> Reply:
        """The types of the client's requests and answers."""
        return self.types.answer(call)
