"""A monotonic clock for the reactor.

Twisted's reactors use the time of day. If that is set back by an hour, every timer stops for an hour: leases are not
renewed and due jobs not sent. If it is set forward, all timers fire together.
"""

import time
from functools import partial
from typing import Any

steady = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Monotonic seconds. On Linux they include the time in which the machine is suspended, as leases do."""


def make_steady(reactor: Any) -> None:
    """Make *reactor* use :func:`steady`. Call this before anything is scheduled.

    From then on ``reactor.seconds()`` is not the time of day.
    """
    reactor.seconds = steady
