"""Who acts on the server, and from where: as refusals and changes are recorded."""

import attrs


@attrs.frozen
class Actor:
    """Who asks for something. ``name`` is its kind and name, as ``uid:1000`` or ``token:grafana``.

    ``address``: where it asks from, as far as the transport tells.
    """

    name: str
    address: str | None = None


STRANGER = "stranger"
"""The name of an actor that has not shown who it is."""
