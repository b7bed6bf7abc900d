"""The content of the made-up GitLab: groups, projects and their entities, generated from a seed.

Pure data: the same seed and shape always give the same world, in the JSON shapes of GitLab's API v4.
"""

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import attrs

from copilot_socket.demo.growth import Entity, Numbers, Shape, grow_group_parts, grow_project_parts, person

NAMES = ("Orbit", "Ünïcode", "Harbour {blue}", "Lantern", "Quarry", 'Thistle "wild"', "Copper\\Tin", "Meadow")
"""Group names; some contain characters that break careless JSON parsers."""
TOOLS = ("api", "web", "worker", "docs", "infra", "mobile", "cli", "schema")

GROUP_PARTS: Mapping[str, str] = {"milestones": "groupMilestones", "epics": "epics"}
"""Collection of a group → its entity type."""
PROJECT_PARTS: Mapping[str, str] = {
    "issues": "issue",
    "merge_requests": "merge_request",
    "repository/commits": "commit",
    "repository/branches": "branch",
    "pipelines": "pipeline",
    "releases": "release",
    "jobs": "jobs",
}
"""Collection of a project → its entity type."""


@attrs.frozen
class Area:
    """A group or project, and its collections by the end of their path."""

    entity: Entity
    parts: Mapping[str, list[Entity]]

    @property
    def id(self) -> int:
        """The numeric id."""
        return int(self.entity["id"])


@attrs.frozen
class World:
    """All entities. ``notes``: by project id and ``iid`` of the merge request."""

    users: list[Entity]
    groups: Mapping[int, Area]
    projects: Mapping[int, Area]
    notes: Mapping[tuple[int, int], list[Entity]]
    moved: dict[str, int] = attrs.field(factory=dict)
    """Former path of a project → its id."""

    def move(self, project: int, path: str) -> None:
        """Give a project another full *path*; GitLab redirects from the former one to its id."""
        entity = self.projects[project].entity
        self.moved[entity["path_with_namespace"]] = project
        entity["path_with_namespace"] = path

    def group(self, reference: str) -> Area | None:
        """The group with this numeric id or full path."""
        return _find(self.groups, reference, "full_path")

    def project(self, reference: str) -> Area | None:
        """The project with this numeric id or full path."""
        return _find(self.projects, reference, "path_with_namespace")

    def subgroups(self, parent: int | None) -> list[Entity]:
        """The groups directly below *parent*, or the top-level ones."""
        return [group.entity for group in self.groups.values() if group.entity["parent_id"] == parent]

    def projects_of(self, group: int) -> list[Entity]:
        """The projects directly in *group*."""
        return [project.entity for project in self.projects.values() if project.entity["namespace"]["id"] == group]

    def counts(self) -> dict[str, int]:
        """How many of each entity type there are, by the names that crawlers use."""
        counts = {
            "areas": len(self.groups) + len(self.projects),
            "group": len(self.groups),
            "project": len(self.projects),
            "user": len(self.users),
            "mergeRequestNotes": sum(map(len, self.notes.values())),
        }
        for areas, parts in ((self.groups, GROUP_PARTS), (self.projects, PROJECT_PARTS)):
            for part, entity_type in parts.items():
                counts[entity_type] = sum(len(area.parts[part]) for area in areas.values())
        return counts


def _find(areas: Mapping[int, Area], reference: str, path_name: str) -> Area | None:
    if reference.isdecimal():
        return areas.get(int(reference))
    matching = (area for area in areas.values() if area.entity[path_name] == reference)
    return next(matching, None)


SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(subgroups=1, projects=1, few=2, many=5, long=12, users=3),
    "small": Shape(subgroups=1, projects=2, few=4, many=24, long=120, users=90),
    "medium": Shape(subgroups=2, projects=3, few=8, many=60, long=240, users=150),
}
"""Name of a size → its shape."""


def generate(seed: int = 1, groups: int = 3, size: str = "small", url: str = "http://gitlab.test") -> World:
    """A world of *groups* top-level groups, of one of the :data:`SHAPES`.

    *url* is what the entities' ``web_url`` begin with. The first project of each group has a long history of commits.
    """
    shape = SHAPES[size]
    numbers = Numbers(Random(seed), url)
    users = [person(numbers) for _ in range(shape.users)]
    builder = _Builder(numbers, shape, users)
    for index in range(groups):
        builder.add_group(None, index, depth=0)
    return World(users, builder.groups, builder.projects, builder.notes)


class _Builder:
    """Generates the tree of groups, from the top."""

    def __init__(self, numbers: Numbers, shape: Shape, users: list[Entity]) -> None:
        self._numbers = numbers
        self._shape = shape
        self._users = users
        self.groups: dict[int, Area] = {}
        self.projects: dict[int, Area] = {}
        self.notes: dict[tuple[int, int], list[Entity]] = {}

    def add_group(self, parent: Entity | None, index: int, depth: int) -> None:
        """A group with its projects, and its subgroups down to a depth of two."""
        name = f"{NAMES[index % len(NAMES)]} {index + 1}"
        path = f"g{index + 1}" if parent is None else f"sub{index + 1}"
        entity = self._area("group", name, path, parent)
        parts = grow_group_parts(self._numbers, self._shape, entity, self._users)
        self.groups[entity["id"]] = Area(entity, parts)
        for number in range(self._shape.projects):
            self.add_project(entity, number)
        if depth < 2:
            # One subgroup below the first level, else the tree grows exponentially.
            for number in range(self._shape.subgroups if depth == 0 else 1):
                self.add_group(entity, number, depth + 1)

    def add_project(self, group: Entity, index: int) -> None:
        """A project with its collections; the first one of a group has a long history."""
        tool = TOOLS[index % len(TOOLS)]
        entity = self._area("project", f"{tool} of {group['name']}", f"{tool}-{index + 1}", group)
        commits = self._shape.long if index == 0 else self._shape.many
        parts, notes = grow_project_parts(self._numbers, self._shape, entity, self._users, commits)
        self.projects[entity["id"]] = Area(entity, parts)
        self.notes.update({(entity["id"], iid): texts for iid, texts in notes.items()})

    def _area(self, kind: str, name: str, path: str, parent: Entity | None) -> Entity:
        full_path = path if parent is None else f"{parent['full_path']}/{path}"
        place = f"groups/{full_path}" if kind == "group" else full_path
        entity: dict[str, Any] = {
            "id": self._numbers.next(kind),
            "name": name,
            "path": path,
            "description": f"{name}, made up",
            "visibility": "private",
            "created_at": self._numbers.moment(),
            "web_url": f"{self._numbers.url}/{place}",
        }
        if kind == "group":
            return {**entity, "full_path": full_path, "parent_id": parent and parent["id"]}
        namespace = _only(parent or {}, ("id", "name", "path", "full_path"))
        return {**entity, "path_with_namespace": full_path, "default_branch": "main", "namespace": namespace}


def _only(entity: Entity, names: Iterable[str]) -> Entity:
    return {name: entity[name] for name in names}
