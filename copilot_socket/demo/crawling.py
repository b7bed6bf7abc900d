"""Crawls GitLab page by page: the part that the demo's crawlers share.

The coroutines depend neither on Twisted nor on asyncio: they only await the methods of a :class:`Desk`, of which each
crawler has its own implementation.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import attrs

from copilot_socket.demo.events import emit
from copilot_socket.demo.growth import Entity

PER_PAGE = 20

COLLECTIONS: Mapping[str, str] = {
    "user": "/users",
    "groupMilestones": "/groups/{area}/milestones",
    "epics": "/groups/{area}/epics",
    "issue": "/projects/{area}/issues",
    "merge_request": "/projects/{area}/merge_requests",
    "mergeRequestNotes": "/projects/{area}/merge_requests",
    "commit": "/projects/{area}/repository/commits",
    "branch": "/projects/{area}/repository/branches",
    "pipeline": "/projects/{area}/pipelines",
    "release": "/projects/{area}/releases",
    "jobs": "/projects/{area}/jobs",
}
"""Entity type → path of its collection. (Notes are fetched for each page of merge requests.)"""
SINGLE: Mapping[str, str] = {"group": "/groups/{area}", "project": "/projects/{area}"}


class Trouble(Exception):
    """The job can't be done; *recoverable* when a later attempt may succeed."""

    def __init__(self, message: str, recoverable: bool) -> None:
        super().__init__(message)
        self.recoverable = recoverable


@attrs.frozen
class Response:
    """A response of GitLab; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any

    def number(self, header: str) -> int | None:
        """The number in *header*, if there is one."""
        text = self.headers.get(header, "")
        return int(text) if text.isdecimal() else None


class Desk(Protocol):
    """One job: its fields, GitLab, and the reports to the server."""

    @property
    def job_id(self) -> str:
        """The assignment."""

    @property
    def entity_type(self) -> str:
        """What to crawl."""

    @property
    def entity_id(self) -> str:
        """The group or project to crawl."""

    @property
    def resume_state(self) -> Mapping[str, Any]:
        """The last cursor of an earlier attempt; empty if there is none."""

    def get(self, path: str) -> Awaitable[Response]:
        """Send a request to GitLab. Raises :class:`Trouble` if there is no response."""

    def refresh_token(self) -> Awaitable[object]:
        """Request a new token for the next :meth:`get`."""

    def save(self, page: int, entities: list[Entity]) -> Awaitable[object]:
        """Write a page's lines."""

    def progress(self, processed: int, total: int | None, resume_state: dict[str, Any] | None) -> Awaitable[object]:
        """Report progress; returns when the report is at least sent."""

    def discovered(self, jobs: list[dict[str, str]]) -> Awaitable[object]:
        """Report discovered jobs, in the format of the wire."""


async def crawl(desk: Desk) -> dict[str, int]:
    """Run the whole job; returns its final counts. Raises :class:`Trouble`."""
    if desk.entity_type == "areas":
        return {"areas": await _Discovery(desk).run()}
    if desk.entity_type in SINGLE:
        found = await _fetch(desk, SINGLE[desk.entity_type])
        await desk.save(1, [found.body])
        return {desk.entity_type: 1}
    if desk.entity_type in COLLECTIONS:
        return {desk.entity_type: await _crawl_pages(desk)}
    raise Trouble(f"unknown entity type {desk.entity_type}", recoverable=False)


async def _crawl_pages(desk: Desk) -> int:
    """Crawl all pages after the cursor. Each page is on disk before its cursor is reported."""
    cursor = desk.resume_state
    page: int | None = int(cursor.get("currentPage") or 0) + 1
    processed = int(cursor.get("processed") or 0)
    emit("start", job=desk.job_id, entityType=desk.entity_type, page=page)
    while page is not None:
        found = await _fetch(desk, COLLECTIONS[desk.entity_type], page)
        entities = found.body
        if desk.entity_type == "mergeRequestNotes":
            entities = await _notes(desk, found.body)
        await desk.save(page, entities)
        processed += len(entities)
        last = found.body[-1] if found.body else {}
        state = {
            "currentPage": page,
            "lastEntityId": str(last.get("id") or last.get("name") or last.get("tag_name") or ""),
            "entityType": desk.entity_type,
            "processed": processed,
        }
        await desk.progress(processed, found.number("x-total"), state)
        emit("page", job=desk.job_id, entityType=desk.entity_type, page=page, pages=found.number("x-total-pages"))
        page = found.number("x-next-page")
    return processed


async def _notes(desk: Desk, requests: list[Entity]) -> list[Entity]:
    """All notes of these merge requests."""
    notes: list[Entity] = []
    for request in requests:
        page: int | None = 1
        while page is not None:
            found = await _fetch(desk, f"/projects/{{area}}/merge_requests/{request['iid']}/notes", page)
            notes.extend(found.body)
            page = found.number("x-next-page")
    return notes


async def _fetch(desk: Desk, place: str, page: int | None = None, area: str | None = None) -> Response:
    """One response of GitLab; an expired token is refreshed once."""
    path = "/api/v4" + place.format(area=quote(area or desk.entity_id, safe=""))
    if page is not None:
        path += ("&" if "?" in path else "?") + urlencode({"page": page, "per_page": PER_PAGE})
    found = await desk.get(path)
    if found.status == 401:
        await desk.refresh_token()
        found = await desk.get(path)
    if found.status != 200:
        raise Trouble(f"GitLab answered {found.status} to {path}", recoverable=found.status not in (403, 404))
    return found


class _Discovery:
    """Walks all groups, subgroups and projects. It has no cursor: reporting an area twice is harmless."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pages = 0
        self._found = 0

    async def run(self) -> int:
        """Run the walk; returns the number of areas."""
        emit("start", job=self._desk.job_id, entityType="areas", page=1)
        me = (await _fetch(self._desk, "/user")).body
        await self._desk.discovered([_discovered("crawl_user", me, me["username"])])
        groups = await self._take("crawl_group", "/groups?top_level_only=true", None)
        while groups:
            group = str(groups.pop()["id"])
            groups += await self._take("crawl_group", "/groups/{area}/subgroups", group)
            await self._take("crawl_project", "/groups/{area}/projects", group)
        return self._found

    async def _take(self, job_type: str, place: str, group: str | None) -> list[Entity]:
        """Save and report the areas at *place*."""
        taken: list[Entity] = []
        page: int | None = 1
        while page is not None:
            found = await _fetch(self._desk, place, page, group)
            page = found.number("x-next-page")
            if found.body:
                taken += found.body
                self._pages += 1
                self._found += len(found.body)
                await self._desk.save(self._pages, found.body)
                path = "full_path" if job_type == "crawl_group" else "path_with_namespace"
                await self._desk.discovered([_discovered(job_type, area, area[path]) for area in found.body])
                await self._desk.progress(self._found, None, None)
        return taken


def _discovered(job_type: str, entity: Entity, path: str) -> dict[str, str]:
    return {
        "job_type": job_type,
        "entity_id": str(entity["id"]),
        "namespace_path": path,
        "entity_name": entity["name"],
    }
