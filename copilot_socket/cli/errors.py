"""The errors that commands raise."""


class CommandError(Exception):
    """A command failed; the message is shown to the user."""


class UsageError(CommandError):
    """The command line is wrong, in a way that the parser can't tell. Exit status 2."""
