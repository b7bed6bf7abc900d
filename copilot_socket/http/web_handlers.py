"""The JavaScript client (docs/web-application.md): open to everybody, as it says only what docs/http.md says."""

import hashlib
from importlib.resources import files

import attrs

from copilot_socket.http.messages import Call, Reply
from copilot_socket.http.operations import Content, operation


@attrs.frozen
class WebFile:
    """A file of ``copilot_socket/web``, with its ETag, which is the same at all nodes that have the same file."""

    content: bytes
    content_type: bytes
    etag: str

    @classmethod
    def read(cls, name: str, content_type: bytes) -> "WebFile":
        """The file *name*."""
        content = (files("copilot_socket") / "web" / name).read_bytes()
        return cls(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def answer(self, call: Call) -> Reply:
        """The file; 304 for a client that has it."""
        # Clients keep it, and ask each time whether it is still the same: a node may be of a newer version now.
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        # Whoever has compressed it on the way may have marked its tag.
        given = call.headers.get("if-none-match", "").replace('-gzip"', '"').split(",")
        if self.etag in (tag.strip().removeprefix("W/") for tag in given):
            return Reply(304, b"", self.content_type, headers)
        return Reply(200, self.content, self.content_type, headers)


@attrs.frozen
class WebHandlers:
    """Handles ``/client.js`` and ``/types.d.ts``."""

    client: WebFile = attrs.field(factory=lambda: WebFile.read("client.js", b"text/javascript; charset=utf-8"))
    types: WebFile = attrs.field(factory=lambda: WebFile.read("types.d.ts", b"text/plain; charset=utf-8"))

    @operation({200: Content("text/javascript", "An ES module.")}, strict=False)
    async def show_client(self, call: Call) -> Reply:
        """The JavaScript client of this API, for browsers and Node.js."""
        return self.client.answer(call)

    @operation({200: Content("text/plain", "Declarations in TypeScript.")}, strict=False)
    async def show_types(self, call: Call) -> Reply:
        """The types of the client's requests and answers."""
        return self.types.answer(call)
