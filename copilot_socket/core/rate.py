"""Limits how often something may happen."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

WRONG_TOKENS = 5
WRONG_SECONDS = 60.0
"""A client may show ``WRONG_TOKENS`` wrong tokens in so many seconds; a right one it may show at any time."""
_IPV6_NETWORK = 64
"""Bits of an IPv6 address that tell clients apart: whoever has one address has its network."""


def client_of(address: str) -> str:
    """The client who has *address*, for limits and records: that of IPv4, the network of IPv6. Raises ValueError."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        network = int(parsed) >> (128 - _IPV6_NETWORK) << (128 - _IPV6_NETWORK)
        return f"{IPv6Address(network)}/{_IPV6_NETWORK}"
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


class Rate:
    """*times* within *seconds* on average, and as often at once after as long without any.

    A token bucket, in the form of the generic cell rate algorithm (ITU-T I.371): one time instead of a count.
    """

    def __init__(self, times: int, seconds: float = 1.0) -> None:
        self._interval = seconds / times
        self._burst = seconds
        self._due = float("-inf")
        """When all that was counted would be over at an even pace."""

    def wait(self, now: float) -> float:
        """Seconds from *now* until it may happen again; 0 if it may."""
        # Half an interval keeps rounding from costing the last one of a burst.
        return max(0.0, self._due - now - self._burst + self._interval / 2)

    def count(self, now: float) -> None:
        """It happens."""
        self._due = max(self._due, now) + self._interval


class Rates:
    """A :class:`Rate` for each client, of at most *most* clients: those without an event for longest are forgotten.

    *times* 0: no limit.
    """

    def __init__(self, times: int, seconds: float = 1.0, most: int = 10_000) -> None:
        self._times = times
        self._seconds = seconds
        self._most = most
        self._of: OrderedDict[str, Rate] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Seconds from *now* until *client* may do it again; 0 if it may."""
        rate = self._of.get(client)
        return 0.0 if rate is None else rate.wait(now)

    def count(self, client: str, now: float) -> None:
        """*client* does it."""
        if not self._times:
            return
        rate = self._of.get(client)
        if rate is None:
            rate = self._of[client] = Rate(self._times, self._seconds)
            if len(self._of) > self._most:
                self._of.popitem(last=False)
        self._of.move_to_end(client)
        rate.count(now)
