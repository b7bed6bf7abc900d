"""The error that commands raise."""


class CommandError(Exception):
    """A command failed; the message is shown to the user."""
