"""The settings of the node that answers, over HTTP (docs/http.md, "Settings")."""

import platform
from collections.abc import Mapping
from typing import Annotated, Any

import attrs

import twisted
from copilot_socket import __version__
from copilot_socket.config import VARIABLES, Setting
from copilot_socket.config.model import Source
from copilot_socket.core.describing import Time, doc
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Reply, reply
from copilot_socket.store.overview import OverviewReader


@attrs.frozen(kw_only=True)
class ShownSetting:
    """A setting."""

    name: Annotated[str, doc("The variable.")]
    value: Annotated[str | None, doc("Its value in force, a secret as `***`; null: none.")]
    default: Annotated[str | None, doc("What it would be if nobody had set it; null: nothing.")]
    source: Annotated[Source, doc("From what the value comes.")]
    origin: Annotated[
        str, doc("The same in words: the name of the `.env` file, or of another variable, if it is by that.")
    ]
    unit: Annotated[str | None, doc("`ms` or `bytes`.")]
    secret: Annotated[bool, doc("Whether it is never shown.")]
    description: Annotated[str, doc("What it is.")]


@attrs.frozen(kw_only=True)
class MemoryPart:
    """What a part of the node takes of memory, at most."""

    what: Annotated[str, doc("Which part.")]
    bytes: Annotated[int, doc("How much.")]


@attrs.frozen(kw_only=True)
class Memory:
    """The most memory that the node takes with its settings."""

    terms: Annotated[list[MemoryPart], doc("Its parts.")]
    total: Annotated[int, doc("Their sum in bytes.")]


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of a node, and what it runs on."""

    settings: Annotated[list[ShownSetting], doc("All variables, in the order of the documentation.")]
    memory: Memory
    node_id: Annotated[str, doc("The node.")]
    version: Annotated[str, doc("Its version.")]
    python: Annotated[str, doc("The version of Python.")]
    twisted: Annotated[str, doc("The version of Twisted.")]
    postgresql: Annotated[str, doc("The version of PostgreSQL.")]
    started_at: Annotated[Time | None, doc("When the node started; null while it does.")]


@attrs.frozen
class NodeSettings:
    """What a node was started with. *settings* have no secrets; *memory*: the most bytes of each of its parts."""

    node: str
    settings: tuple[Setting, ...]
    memory: Mapping[str, int]
    reader: OverviewReader


@attrs.frozen
class SettingsHandlers:
    """Handles ``/api/v1/settings``."""

    node: NodeSettings

    @endpoint({200: Settings})
    async def show_settings(self, _call: Call) -> Reply:
        """The settings of the node that answers, without secrets; its memory and its versions."""
        node = self.node
        server, started_at = await node.reader.server(node.node)
        return reply(
            {
                "settings": list(map(_shown, node.settings)),
                "memory": {
                    "terms": [{"what": what, "bytes": most} for what, most in node.memory.items()],
                    "total": sum(node.memory.values()),
                },
                "node_id": node.node,
                "version": __version__,
                "python": platform.python_version(),
                "twisted": twisted.__version__,
                "postgresql": server,
                "started_at": started_at,
            }
        )


_VARIABLES = {variable.name: variable for variable in VARIABLES}


def _shown(setting: Setting) -> dict[str, Any]:
    variable = _VARIABLES[setting.name]
    return {
        "name": setting.name,
        "value": setting.value or None,
        "default": setting.default or None,
        "source": setting.source,
        "origin": setting.origin,
        "unit": variable.parser.unit,
        "secret": variable.secret,
        "description": variable.help,
    }
