"""What ``copilot-socket top`` knows of jobs, queue and crawlers: a snapshot, changed by live events. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from copilot_socket.cli.sse import Event
from copilot_socket.cli.times import moment

WINDOW = timedelta(minutes=1)
"""How far back throughput is counted."""
HELD = ("assigned", "running")
TERMINAL = ("completed", "failed", "cancelled")
_ENDED = 100
"""Jobs that have ended which are kept to be shown."""
_GONE = ("left", "lost")
_TROUBLES = ("fell silent", "fails everything")
_MODES = ("serving", "draining", "quarantined")


@attrs.define
class Job:
    """A job in the hands of a crawler."""

    id: str
    status: str
    command: str | None = None
    full_path: str | None = None
    account_id: str | None = None
    crawler_id: str | None = None
    since: datetime | None = None
    progress: dict[str, Any] = attrs.Factory(dict)

    @property
    def done(self) -> float | None:
        """The share that is processed, from 0 to 1; None if that is not known."""
        processed, total = self.progress.get("processed"), self.progress.get("total")
        if not isinstance(processed, int | float) or not isinstance(total, int | float) or total <= 0:
            return None
        return min(1.0, processed / total)


@attrs.define
class Crawler:
    """A crawler that is connected."""

    id: str
    mode: str = "serving"
    status: str | None = None
    max_jobs: int | None = None
    heard: datetime | None = None


@attrs.frozen
class Ended:
    """The end of a job, or of one of its attempts."""

    at: datetime
    id: str
    status: str
    cause: str | None
    reason: str | None
    what: str


@attrs.define
class Model:
    """The state of things. All times are those of the node's events."""

    counts: dict[str, int] = attrs.Factory(dict)
    queue: dict[str, Any] = attrs.Factory(dict)
    crawlers: dict[str, Crawler] = attrs.Factory(dict)
    jobs: dict[str, Job] = attrs.Factory(dict)
    ended: deque[Ended] = attrs.Factory(lambda: deque(maxlen=_ENDED))
    times: deque[tuple[datetime, str]] = attrs.Factory(deque)
    """When jobs came to a terminal state, and to which, within the window."""

    def apply(self, event: Event, now: datetime) -> None:
        """Take in an event; *now* stands for the time of one that says none."""
        data = event.data
        at = moment(str(data.get("timestamp", ""))) or now
        if event.type in ("snapshot", "counts"):
            self._count(data)
            if event.type == "snapshot":
                self._begin(data)
        elif event.type == "job":
            self._job(data, at)
        elif event.type in ("connection", "heartbeat"):
            self._crawler(event.type, data, at)

    def held(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in the jobs that crawlers hold, as ``GET /api/v1/jobs`` lists them."""
        before = self.jobs
        self.jobs = {}
        for row in rows:
            known = before.get(row["id"])
            self.jobs[row["id"]] = Job(
                id=row["id"],
                status=row["status"],
                command=row["command"],
                full_path=row["full_path"],
                account_id=row["account_id"],
                crawler_id=known.crawler_id if known else None,
                since=moment(row["started_at"] or row["updated_at"]),
                progress=dict(row.get("progress") or {}),
            )
        self._owners()

    def done(self, status: str, now: datetime) -> int:
        """How many jobs came to this state within the window."""
        while self.times and self.times[0][0] < now - WINDOW:
            self.times.popleft()
        return sum(1 for _, each in self.times if each == status)

    def load(self, crawler: str) -> int:
        """How many jobs a crawler holds."""
        return sum(1 for job in self.jobs.values() if job.crawler_id == crawler)

    def _begin(self, data: Mapping[str, Any]) -> None:
        rows = data.get("crawlers")
        if not isinstance(rows, list):
            return
        self.crawlers = {row["id"]: _listed(row) for row in rows}
        self._assignments = {
            assignment.partition(".")[0]: row["id"] for row in rows for assignment in row.get("active_jobs", [])
        }
        # Jobs that have ended while nothing was heard are nobody's any more; those that began are not known yet.
        self.jobs = {name: self.jobs.get(name) or Job(name, "running") for name in self._assignments}
        self._owners()

    _assignments: dict[str, str] = attrs.field(factory=dict, init=False)
    """The crawlers of jobs, as the last snapshot has them."""

    def _owners(self) -> None:
        for name, crawler in self._assignments.items():
            if name in self.jobs and self.jobs[name].crawler_id is None:
                self.jobs[name].crawler_id = crawler

    def _count(self, data: Mapping[str, Any]) -> None:
        self.counts = dict(data.get("counts") or self.counts)
        self.queue = dict(data.get("queue") or self.queue)

    def _job(self, data: Mapping[str, Any], at: datetime) -> None:
        name, status = str(data.get("id")), data.get("status")
        job = self.jobs.get(name)
        if status is None:
            if data.get("event") == "deleted":
                self.jobs.pop(name, None)
                return
            if job is None:
                job = self.jobs[name] = Job(name, "running", since=at)
            self._fill(job, data)
            job.progress |= data.get("progress") or {}
            return
        if status in HELD:
            if job is None or data.get("event") == "claim":
                job = self.jobs[name] = Job(name, str(status), since=at)
            elif job.status != status:
                job.since = at
            job.status = str(status)
            self._fill(job, data)
            return
        self.jobs.pop(name, None)
        if status in TERMINAL:
            self.times.append((at, str(status)))
        if status in TERMINAL or data.get("outcome"):
            what = " ".join(filter(None, (job.command, job.full_path))) if job else ""
            self.ended.appendleft(Ended(at, name, str(status), data.get("cause"), data.get("reason"), what))

    def _fill(self, job: Job, data: Mapping[str, Any]) -> None:
        for field in ("command", "full_path", "account_id", "crawler_id"):
            if data.get(field) is not None:
                setattr(job, field, str(data[field]))

    def _crawler(self, kind: str, data: Mapping[str, Any], at: datetime) -> None:
        name = data.get("crawler_id")
        if name is None:
            return
        if kind == "connection" and data.get("event") in _GONE:
            self.crawlers.pop(str(name), None)
            return
        event = str(data.get("event"))
        if kind == "heartbeat" or event == "came":
            crawler = self.crawlers.setdefault(str(name), Crawler(str(name)))
            crawler.heard = at
            crawler.status = data.get("system_status")
        elif name in self.crawlers and event in _TROUBLES:
            self.crawlers[name].status = event
        elif name in self.crawlers and event in _MODES:
            self.crawlers[name].mode = event


def _listed(row: Mapping[str, Any]) -> Crawler:
    return Crawler(
        str(row["id"]), str(row.get("mode")), row.get("system_status"), row.get("max_jobs"),
        moment(row.get("last_heartbeat") or ""),
    )  # fmt: skip
