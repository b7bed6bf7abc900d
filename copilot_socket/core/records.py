"""Classes for immutable values that are made for every message."""

from functools import partial
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    # Frozen for the type checker only: attrs' run-time check makes construction three times slower.
    record = partial(attrs.define, unsafe_hash=True)

__all__ = ["record"]
