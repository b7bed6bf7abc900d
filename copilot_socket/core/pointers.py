"""JSON pointers (RFC 6901)."""


def reference_token(name: str, longest: int) -> str:
    """*name* escaped for a JSON pointer (RFC 6901, section 3); cut to *longest* characters before that."""
    return name[:longest].replace("~", "~0").replace("/", "~1")
