"""When failed or lost work is retried.

Exponential back-off with full jitter: the wait is drawn uniformly from zero to the bound, so that jobs that failed
together are not retried together ("Exponential Backoff And Jitter", M. Brooker, AWS, 2015).
"""

import attrs

DATABASE_RETRY = 0.2
"""Seconds before a database operation that failed, and must succeed, is repeated."""


def full_jitter(exponent: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait: *jitter* (in [0, 1)) times min(*cap*, *base* · 2^*exponent*)."""
    return jitter * min(cap, base * 2.0 ** min(exponent, 62))


@attrs.frozen
class RetryPolicy:
    """How long a job waits before it may be claimed again; times in seconds."""

    base: float = 5.0
    cap: float = 600.0
    put_off: float = 1.0
    """The shortest wait of a job that can't be sent for now, lest it be claimed again immediately."""
    max_releases: int = 10

    def after_failure(self, attempts: int, jitter: float) -> float:
        """The wait after the *attempts*-th failed attempt."""
        return full_jitter(attempts - 1, self.base, self.cap, jitter)

    def after_release(self, releases: int, jitter: float) -> float:
        """The wait after the *releases*-th release: none after the first, which need not be the job's fault."""
        return 0.0 if releases <= 1 else full_jitter(releases - 2, self.base, self.cap, jitter)

    def while_unavailable(self, times: int, jitter: float) -> float:
        """The wait after GitLab was unavailable, or asked to wait, *times* in a row: longer each time.

        Half of it is fixed, lest a job be refused ten times within seconds.
        """
        bound = min(self.cap, self.base * 2.0 ** min(times - 1, 62))
        return bound * (1 + jitter) / 2
