"""A steady clock for the reactor.

Twisted's reactors take the time of day for their clock. Set back by an hour, it stops every timer for an hour: leases
are not renewed and due jobs not handed out. Set forward, it fires all timers at once.
"""

import time
from functools import partial
from typing import Any

steady = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds since some moment; nobody can set it. On Linux it goes on while the machine is suspended, as leases do."""


def make_steady(reactor: Any) -> None:
    """Have *reactor* measure time with :func:`steady`. To be called before anything is scheduled.

    From then on ``reactor.seconds()`` is no time of day.
    """
    reactor.seconds = steady
