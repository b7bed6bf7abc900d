"""Who acts on the server, and from where: as refusals and changes are recorded."""

import attrs


@attrs.frozen
class Actor:
    """Who asks for something. ``name`` is its kind and name, as ``uid:1000`` or ``token:grafana``.

    ``address``: where it asks from, as far as the transport tells.
    """

    name: str
    address: str | None = None


def user(uid: int | None) -> str | None:
    """The name of a user of this machine; None where it is not known."""
    return None if uid is None else f"uid:{uid}"


STRANGER = "stranger"
"""The name of an actor that has not shown who it is."""
