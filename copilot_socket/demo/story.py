"""Follows the events of the demo's crawlers: one is killed in the middle of a job, another resumes it. Pure."""

from collections import Counter

import attrs

from copilot_socket.demo.processes import Event

PAGES_BEFORE = 2
PAGES_AFTER = 2


@attrs.define
class Loss:
    """A killed crawler, its job, and the crawler that resumed it."""

    crawler: str
    job: str
    entity_type: str
    killed_page: int
    resumed_page: int | None = None
    resumed_by: str | None = None

    @property
    def went_on(self) -> bool:
        """Whether another crawler resumed after the last committed page, not from the beginning."""
        return self.resumed_page is not None and self.resumed_page > self.killed_page

    def __str__(self) -> str:
        text = f"job {self.job} ({self.entity_type}): {self.crawler} killed at page {self.killed_page}"
        if self.resumed_page is None:
            return f"{text}, not resumed yet"
        return f"{text}, resumed at page {self.resumed_page} by {self.resumed_by}"


@attrs.define
class Story:
    """Decides when to kill a crawler, once, and only one of *killable*."""

    killable: frozenset[str]
    loss: Loss | None = None
    jobs_done: Counter[str] = attrs.field(factory=Counter)
    """Completed jobs by crawler."""

    def handle(self, crawler: str, event: Event) -> bool:
        """Handle an event of *crawler*; True if it is to be killed now."""
        job = str(event.get("job", "")).partition(".")[0]
        if event["event"] == "page":
            return self._page(crawler, job, event)
        if event["event"] == "start" and self.loss is not None and job == self.loss.job:
            self._start(crawler, event)
        elif event["event"] == "done":
            self.jobs_done[crawler] += 1
        return False

    def _page(self, crawler: str, job: str, event: Event) -> bool:
        page, pages = event["page"], event["pages"] or 0
        if self.loss is None:
            if crawler in self.killable and page >= PAGES_BEFORE and pages - page >= PAGES_AFTER:
                self.loss = Loss(crawler, job, event["entityType"], page)
                return True
        elif crawler == self.loss.crawler and job == self.loss.job:
            # Written before the signal, read after it.
            self.loss.killed_page = page
        return False

    def _start(self, crawler: str, event: Event) -> None:
        if self.loss is not None and crawler != self.loss.crawler and self.loss.resumed_page is None:
            self.loss.resumed_page = event["page"]
            self.loss.resumed_by = crawler
