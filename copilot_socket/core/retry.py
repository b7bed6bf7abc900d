"""When work that failed or was lost may be tried again.

Exponential back-off with full jitter: the wait is drawn evenly from zero to the bound, so that jobs that
failed together do not come back together ("Exponential Backoff And Jitter", M. Brooker, AWS, 2015).
"""

import attrs


def full_jitter(exponent: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait: *jitter* (in [0, 1)) of min(*cap*, *base* · 2^*exponent*)."""
    return jitter * min(cap, base * 2.0 ** min(exponent, 62))


@attrs.frozen
class RetryPolicy:
    """How long a job waits; all times in seconds."""

    base: float = 5.0
    cap: float = 600.0
    put_off: float = 1.0
    """The shortest wait of a job that can't be sent for now, lest it be claimed again at once."""
    max_releases: int = 10

    def after_failure(self, attempts: int, jitter: float) -> float:
        """The wait after the *attempts*-th failed attempt."""
        return full_jitter(attempts - 1, self.base, self.cap, jitter)

    def after_release(self, releases: int, jitter: float) -> float:
        """The wait after the *releases*-th loss of a crawler: none at first, since one death accuses no job."""
        return 0.0 if releases <= 1 else full_jitter(releases - 2, self.base, self.cap, jitter)
