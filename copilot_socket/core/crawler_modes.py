"""What a crawler may be given, by hand or by its own failures."""

from collections import deque
from enum import StrEnum

MOST_FAILED = 10
"""Attempts in a row, each of another job, after which a crawler that fails them all is suspected."""


class Mode(StrEnum):
    """The values of ``crawlers.mode``."""

    SERVING = "serving"
    DRAINING = "draining"
    """No more work: it is to be stopped."""
    QUARANTINED = "quarantined"
    """No more work: it fails what others do."""


class Failures:
    """A crawler's latest failures with the cause ``job_error``."""

    def __init__(self) -> None:
        self._jobs: deque[str] = deque(maxlen=MOST_FAILED)
        self.suspected = False

    def failed(self, job: str) -> bool:
        """Count a failure of *job*; whether the crawler is suspected from now on."""
        if job not in self._jobs:
            self._jobs.append(job)
        if self.suspected or len(self._jobs) < MOST_FAILED:
            return False
        self.suspected = True
        return True
