"""The classes of which every message needs some: values that nobody changes."""

from functools import partial
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    # Frozen to the type checker only: what refuses changes at run time takes three times as long to make.
    record = partial(attrs.define, unsafe_hash=True)

__all__ = ["record"]
