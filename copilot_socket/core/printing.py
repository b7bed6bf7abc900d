"""Text that others wrote, for terminals and logs."""

import unicodedata


def printable(text: str) -> str:
    r"""*text* on one line and without effect on a terminal.

    Line breaks, escapes, what turns the direction of writing or can't be seen: all is written out, as ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(each if _shows(each) else each.encode("unicode_escape").decode() for each in text)


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # spaces of any width
