"""The query parameters of every list, for the command line: made from the classes that describe them.

``python -m copilot_socket.http.parameters >copilot_socket/cli/parameters.json``. The command line reads the
file, since importing these classes takes longer than most of its commands.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from copilot_socket.http.endpoints import endpoint_of
from copilot_socket.http.fields import Field, fields_of
from copilot_socket.http.queries import NoQuery
from copilot_socket.http.table import Parts, routes


def parameters() -> dict[str, dict[str, Mapping[str, Any]]]:
    """What each GET may be asked for, by path and name: ``doc``, ``kind``, and the ``values`` that are allowed."""
    nothing: Any = dict.fromkeys(attrs.fields_dict(Parts))
    queries = {
        route.pattern: endpoint_of(route.handler).query for route in routes(Parts(**nothing)) if route.method == "GET"
    }
    return {
        path: {name: _described(field) for name, field in fields_of(query).items()}
        for path, query in queries.items()
        if query is not NoQuery
    }


def _described(field: Field) -> Mapping[str, Any]:
    schema = field.check.schema
    if schema["type"] == "boolean":
        kind = "switch" if field.default is False else "flag"
    else:
        kind = {"array": "several", "integer": "number"}.get(schema["type"], "text")
    values = ["true", "false"] if kind == "flag" else schema.get("items", schema).get("enum", [])
    return {"doc": field.doc, "kind": kind, **({"values": values} if values else {})}


if __name__ == "__main__":
    json.dump(parameters(), sys.stdout, indent=1)
    sys.stdout.write("\n")
