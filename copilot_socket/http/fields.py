"""Classes of what requests carry: each is the one place that says which fields there are, and what they may be.

An attribute's type names its check (:mod:`copilot_socket.http.checks`) and its meaning::

    @attrs.frozen(kw_only=True)
    class PauseBody:
        \"\"\"A pause to add.\"\"\"

        scope: Annotated[str, one_of(*Scope), doc("What it covers.")]
        reason: Annotated[str | None, text(1000), doc("Why.")] = None

An attribute without default is required. ``null`` counts as left out, except where the type has None and the default
is not None: a field that may be set to null. Such a field that may also be left out has the default ``UNSET``.
"""

from collections.abc import Collection, Hashable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import attrs
from msgspec import Meta

from copilot_socket.core.pointers import reference_token
from copilot_socket.http.checks import Check
from copilot_socket.http.messages import Faults

MAX_NAME = 200
"""Characters of an unknown name that an error repeats."""


@attrs.frozen
class Field:
    """A field's check, and whether the field is required. ``null`` counts as missing, unless *nullable*."""

    check: Check
    required: bool = False
    nullable: bool = False
    doc: str = ""
    default: Any = None


Fields = Mapping[str, Field]


def fields_of(given: type[Any]) -> Fields:
    """The fields of a class of requests, by name. Raises TypeError for an attribute without check."""
    return _fields_of(cast(Hashable, given))


@cache
def _fields_of(given: Any) -> Fields:
    hints = get_type_hints(given, include_extras=True)
    found = {each.name: _field(each.name, hints[each.name], each.default) for each in attrs.fields(given)}
    return MappingProxyType(found)


def _field(name: str, hint: Any, default: Any) -> Field:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    checks = [each for each in metadata if isinstance(each, Check)]
    if len(checks) != 1:
        raise TypeError(f"{name} must have one check in Annotated; a default hides a check of the attribute's name")
    docs = [each.description or "" for each in metadata if isinstance(each, Meta)]
    nullable = default is not None and type(None) in get_args(get_args(hint)[0])
    return Field(checks[0], default is attrs.NOTHING, nullable, " ".join(docs), default)


class Nested(ValueError):
    """The faults of an object within another one."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("must be a valid object")
        self.faults = faults


def instance_of(given: type[Any]) -> Check:
    """A check for objects with the fields of *given*; returns an instance."""
    fields = fields_of(given)

    def accept(value: Any) -> Any:
        faults = Faults()
        values = read(value, fields, "", faults)
        if faults.count:
            raise Nested(faults)
        return given(**values)

    return Check(accept, {"$ref": f"#/components/schemas/{given.__name__}"}, of=given)


def read(document: Any, fields: Fields, path: str, faults: Faults) -> dict[str, Any]:
    """The valid fields of *document*; errors are added to *faults*."""
    if not isinstance(document, dict):
        faults.add(path, f"must be an object with the fields {', '.join(fields)}")
        return {}
    values: dict[str, Any] = {}
    for name, given in document.items():
        field = fields.get(name)
        if field is None:
            _add_unknown(name, fields, path, faults)
        elif given is None and field.nullable:
            values[name] = None
        elif given is not None:
            try:
                values[name] = field.check.accept(given)
            except Nested as error:
                for fault in error.faults.listed:
                    faults.add(f"{path}/{name}{fault.path}", fault.message)
            except ValueError as error:
                faults.add(f"{path}/{name}", str(error))
    for name, field in fields.items():
        if field.required and document.get(name) is None and not (field.nullable and name in document):
            null = ", or null" if field.nullable else ""
            faults.add(f"{path}/{name}", f"is required: {field.check.allowed}{null}")
    return values


def _add_unknown(name: str, fields: Fields, path: str, faults: Faults) -> None:
    if faults.full:
        faults.add("", "")  # only counted: there may be many, and their texts would not be listed
    else:
        faults.add(pointer(path, name), f"unknown field; allowed: {', '.join(fields)}")


def pointer(path: str, name: str) -> str:
    """The JSON pointer to *name* in *path*; *name* is cut to :data:`MAX_NAME`, and made encodable as UTF-8."""
    return f"{path}/{reference_token(name, MAX_NAME).encode('utf-8', 'replace').decode()}"


def names(allowed: Collection[str]) -> str:
    """*allowed*, listed in an error text."""
    return ", ".join(allowed) or "none"
