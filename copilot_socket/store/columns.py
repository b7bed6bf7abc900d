"""Classes of rows: the one place that says which columns are shown, by which SQL, of which type, and what they mean.

Rows stay dictionaries, for there are many; their classes are never instantiated. Statements take the columns from
them, and :mod:`copilot_socket.http.openapi` the schemas of answers::

    @attrs.frozen(kw_only=True)
    class Account:
        \"\"\"An account, without its tokens.\"\"\"

        id: Annotated[str, doc("Its name.")]
        has_refresh_token: Annotated[bool, Column("refresh_token IS NOT NULL"), doc("Whether it has one.")]

    columns(Account)  # {"id": '"id"', "has_refresh_token": "refresh_token IS NOT NULL"}
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, get_args, get_origin, get_type_hints

import attrs

from copilot_socket.core.describing import shown_name


@attrs.frozen
class Column:
    """The SQL expression of an attribute, where it is not the column of that name."""

    sql: str


@attrs.frozen
class NotAColumn:
    """Marks an attribute that the server adds to the row."""


BESIDE = NotAColumn()


@cache
def columns(row: type) -> Mapping[str, str]:
    """The columns of the class *row*: shown name → SQL."""
    hints = get_type_hints(row, include_extras=True)
    found: dict[str, str] = {}
    for attribute in attrs.fields(row):
        hint = hints[attribute.name]
        metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        if BESIDE not in metadata:
            given = [each.sql for each in metadata if isinstance(each, Column)]
            name = shown_name(attribute.name)
            found[name] = given[0] if given else f'"{name}"'
    return MappingProxyType(found)
