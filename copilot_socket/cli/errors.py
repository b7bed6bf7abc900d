"""How a command says that it did not work."""


class CommandError(Exception):
    """A command did not work; the message is for the person who typed it."""
