"""Makes foreign text safe for terminals and logs."""

import unicodedata


def printable(text: str) -> str:
    r"""*text* on one line and without effect on a terminal.

    Line breaks, control, bidirectional and invisible characters are written as escapes, such as ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(each if _shows(each) else each.encode("unicode_escape").decode() for each in text)


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # spaces of any width
