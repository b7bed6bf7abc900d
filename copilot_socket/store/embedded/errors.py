"""The error of the embedded PostgreSQL."""


class EmbeddedError(Exception):
    """The embedded PostgreSQL can't be used; the message names the reason and the remedy."""
