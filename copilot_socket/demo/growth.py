"""Generates the entities of a made-up world: ids, times, users, and the parts of groups and projects."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import attrs

Entity = dict[str, Any]
"""One object as GitLab's API gives it."""

BIRTH = datetime(2021, 3, 1, tzinfo=UTC)
VERBS = ("Fix", "Add", "Remove", "Rename", "Speed up", "Explain", "Test", "Revert")
THINGS = (
    "the parser",
    "pagination",
    'a "quoted" title',
    "the {template}",
    "größere Uploads",
    "retries",
    "日本語 names",
)


@attrs.frozen
class Shape:
    """The size of a world: ``few`` and ``many`` are upper limits; ``long``: commits in a long history."""

    subgroups: int
    projects: int
    few: int
    many: int
    long: int
    users: int


class Numbers:
    """Generates pseudo-random values. Ids increase by kind, times increase."""

    def __init__(self, random: Random, url: str) -> None:
        self.random = random
        self.url = url
        self._last: Counter[str] = Counter()
        self._minutes = 0

    def next(self, kind: str) -> int:
        """The next id of this kind."""
        self._last[kind] += 1
        return self._last[kind]

    def moment(self) -> str:
        """A time later than the previous one, in GitLab's format."""
        self._minutes += self.random.randint(1, 90)
        return (BIRTH + timedelta(minutes=self._minutes)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def upto(self, most: int) -> int:
        """A number between half of *most* and *most*."""
        return self.random.randint((most + 1) // 2, most)

    def title(self) -> str:
        """A title of an issue, a commit, …"""
        return f"{self.random.choice(VERBS)} {self.random.choice(THINGS)}"

    def sha(self) -> str:
        """A commit id."""
        return f"{self.random.getrandbits(160):040x}"


def person(numbers: Numbers) -> Entity:
    """A user."""
    number = numbers.next("user")
    username = f"user{number}"
    return {
        "id": number,
        "username": username,
        "name": f"Usér {number}",
        "state": "active",
        "web_url": f"{numbers.url}/{username}",
    }


def grow_group_parts(numbers: Numbers, shape: Shape, group: Entity, users: list[Entity]) -> dict[str, list[Entity]]:
    """The milestones and epics of *group*."""
    home = {"group_id": group["id"]}
    url = group["web_url"]
    milestones = [
        _numbered(numbers, "milestone", f"{url}/-/milestones", iid, home) for iid in _iids(numbers.upto(shape.few))
    ]
    epics = [
        _numbered(numbers, "epic", f"{url}/-/epics", iid, {**home, "author": numbers.random.choice(users)})
        for iid in _iids(numbers.upto(shape.few))
    ]
    return {"milestones": milestones, "epics": epics}


def grow_project_parts(
    numbers: Numbers, shape: Shape, project: Entity, users: list[Entity], commits: int
) -> tuple[dict[str, list[Entity]], dict[int, list[Entity]]]:
    """The collections of *project*, with *commits* commits, and its notes by merge request."""
    url = project["web_url"]
    home = {"project_id": project["id"]}

    def grow(kind: str, place: str, amount: int) -> list[Entity]:
        return [
            _numbered(numbers, kind, f"{url}/-/{place}", iid, {**home, "author": numbers.random.choice(users)})
            for iid in _iids(amount)
        ]

    requests = grow("merge_request", "merge_requests", numbers.upto(shape.many // 2))
    history = [_commit(numbers, url, users) for _ in range(commits)]
    pipelines = [_pipeline(numbers, url, home, history) for _ in range(numbers.upto(shape.few * 2))]
    parts = {
        "issues": grow("issue", "issues", numbers.upto(shape.many)),
        "merge_requests": requests,
        "repository/commits": history,
        "repository/branches": _many(numbers.upto(shape.few), lambda index: _branch(index, url, history)),
        "pipelines": pipelines,
        "releases": _many(numbers.upto(shape.few), lambda index: _release(numbers, index, url, history)),
        "jobs": [_build(numbers, url, pipeline, stage) for pipeline in pipelines for stage in ("build", "test")],
    }
    return parts, {request["iid"]: _notes(numbers, request, users) for request in requests}


def _many(amount: int, grow: Callable[[int], Entity]) -> list[Entity]:
    return [grow(index) for index in range(amount)]


def _iids(amount: int) -> range:
    """Newest first, as GitLab lists them."""
    return range(amount, 0, -1)


def _numbered(numbers: Numbers, kind: str, place: str, iid: int, home: Entity) -> Entity:
    return {
        "id": numbers.next(kind),
        "iid": iid,
        **home,
        "title": numbers.title(),
        "state": numbers.random.choice(("opened", "closed")),
        "created_at": numbers.moment(),
        "web_url": f"{place}/{iid}",
    }


def _notes(numbers: Numbers, request: Entity, users: list[Entity]) -> list[Entity]:
    return [
        {
            "id": numbers.next("note"),
            "body": f"{numbers.title()}?",
            "author": numbers.random.choice(users),
            "created_at": numbers.moment(),
            "system": False,
            "noteable_id": request["id"],
            "noteable_iid": request["iid"],
            "noteable_type": "MergeRequest",
        }
        for _ in range(numbers.random.randint(0, 3))
    ]


def _commit(numbers: Numbers, url: str, users: list[Entity]) -> Entity:
    sha = numbers.sha()
    return {
        "id": sha,
        "short_id": sha[:8],
        "title": numbers.title(),
        "author_name": numbers.random.choice(users)["name"],
        "created_at": numbers.moment(),
        "web_url": f"{url}/-/commit/{sha}",
    }


def _branch(index: int, url: str, history: list[Entity]) -> Entity:
    name = "main" if index == 0 else f"feature/{index}"
    return {
        "name": name,
        "default": index == 0,
        "merged": False,
        "commit": history[index % len(history)],
        "web_url": f"{url}/-/tree/{name}",
    }


def _pipeline(numbers: Numbers, url: str, home: Entity, history: list[Entity]) -> Entity:
    number = numbers.next("pipeline")
    return {
        "id": number,
        **home,
        "status": numbers.random.choice(("success", "failed")),
        "ref": "main",
        "sha": numbers.random.choice(history)["id"],
        "created_at": numbers.moment(),
        "web_url": f"{url}/-/pipelines/{number}",
    }


def _build(numbers: Numbers, url: str, pipeline: Entity, stage: str) -> Entity:
    number = numbers.next("job")
    return {
        "id": number,
        "name": stage,
        "stage": stage,
        "status": pipeline["status"],
        "pipeline": {"id": pipeline["id"], "project_id": pipeline["project_id"]},
        "created_at": numbers.moment(),
        "web_url": f"{url}/-/jobs/{number}",
    }


def _release(numbers: Numbers, index: int, url: str, history: list[Entity]) -> Entity:
    tag = f"v1.{index}"
    return {
        "tag_name": tag,
        "name": f"Release {tag}",
        "created_at": numbers.moment(),
        "commit": numbers.random.choice(history),
        "_links": {"self": f"{url}/-/releases/{tag}"},
    }
