"""Cursors of paginated lists: opaque to clients, the encoded key of a page's last row."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(key: str) -> str:
    """The cursor that continues after *key*."""
    return urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def decode(cursor: str) -> str:
    """The key that *cursor* continues after. Raises ``ValueError`` unless :func:`encode` can have made it."""
    try:
        key = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except (UnicodeError, binascii.Error):
        raise ValueError("not a cursor") from None
    # The decoder ignores stray characters; PostgreSQL accepts no U+0000.
    if encode(key) != cursor or "\0" in key or not key:
        raise ValueError("not a cursor")
    return key
