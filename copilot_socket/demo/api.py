"""The responses of the made-up GitLab: looks up a path of API v4 in a world, with pagination. Pure, without HTTP."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

import attrs

from copilot_socket.demo.growth import Entity
from copilot_socket.demo.world import GROUP_PARTS, PROJECT_PARTS, Area, World

PER_PAGE = 20
MAX_PER_PAGE = 100


@attrs.frozen
class Answer:
    """A response: status, JSON body and headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = attrs.field(factory=dict)


Found = Entity | list[Entity] | str
"""One entity, a collection to be paginated, or the name of the missing entity."""


def answer(world: World, url: str, path: str, query: Mapping[str, str]) -> Answer:
    """The response to ``GET`` *path* with *query*; *url* is the URL of the request, for the ``Link`` header."""
    moved = MOVED.fullmatch(path)
    if moved and (project := world.moved.get(unquote(moved[1]))) is not None:
        place = f"{url.removesuffix(path)}/api/v4/projects/{project}{moved[2]}"
        location = f"{place}?{urlencode(query)}" if query else place
        return Answer(301, {"message": "301 Moved Permanently"}, {"Location": location})
    for pattern, look_up in ROUTES:
        match = pattern.fullmatch(path)
        if match:
            found = look_up(world, *map(unquote, match.groups()), **_filters(look_up, query))
            return _present(found, url, query)
    return Answer(404, {"error": "404 Not Found"})


def _filters(look_up: "Callable[..., Found]", query: Mapping[str, str]) -> dict[str, bool]:
    return {"top_level": query.get("top_level_only") == "true"} if look_up is _groups else {}


def _present(found: Found, url: str, query: Mapping[str, str]) -> Answer:
    if isinstance(found, str):
        return Answer(404, {"message": f"404 {found} Not Found"})
    if isinstance(found, dict):
        return Answer(200, found)
    return (by_key if query.get("pagination") == "keyset" else paginate)(found, url, query)


def paginate(entities: list[Entity], url: str, query: Mapping[str, str]) -> Answer:
    """The page of *entities* that ``page`` and ``per_page`` select, with GitLab's pagination headers."""
    page, per_page = _positive(query, "page", 1), min(_positive(query, "per_page", PER_PAGE), MAX_PER_PAGE)
    pages = max(1, -(-len(entities) // per_page))
    following = str(page + 1) if page < pages else ""
    headers = {
        "X-Page": str(page),
        "X-Per-Page": str(per_page),
        "X-Prev-Page": str(page - 1) if 1 < page <= pages + 1 else "",
        "X-Next-Page": following,
        "X-Total": str(len(entities)),
        "X-Total-Pages": str(pages),
    }
    places = {"first": "1", "last": str(pages), "next": following, "prev": headers["X-Prev-Page"]}
    headers["Link"] = ", ".join(
        f'<{url}?{urlencode({**query, "page": number, "per_page": per_page})}>; rel="{name}"'
        for name, number in places.items()
        if number
    )
    return Answer(200, entities[(page - 1) * per_page : page * per_page], headers)


def by_key(entities: list[Entity], url: str, query: Mapping[str, str]) -> Answer:
    """The page of *entities* that follows ``cursor``: keyset pagination, of which only ``Link`` leads on."""
    per_page = min(_positive(query, "per_page", PER_PAGE), MAX_PER_PAGE)
    start = 0
    if "cursor" in query:
        try:
            last = json.loads(base64.urlsafe_b64decode(query["cursor"]))["id"]
            start = [_key(entity) for entity in entities].index(last) + 1
        except (ValueError, KeyError, TypeError):
            return Answer(400, {"error": "cursor is invalid"})
    page, headers = entities[start : start + per_page], {"X-Per-Page": str(per_page)}
    if start + per_page < len(entities):
        cursor = base64.urlsafe_b64encode(json.dumps({"id": _key(page[-1])}).encode()).decode()
        headers["Link"] = f'<{url}?{urlencode({**query, "per_page": per_page, "cursor": cursor})}>; rel="next"'
    return Answer(200, page, headers)


def _key(entity: Entity) -> Any:
    """What distinguishes *entity* from others of its collection."""
    return entity.get("id") or entity.get("name") or entity.get("tag_name")


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) > 0 else default


def _groups(world: World, top_level: bool) -> Found:
    return world.subgroups(None) if top_level else [group.entity for group in world.groups.values()]


def _of_group(part: Callable[[World, Area], Found]) -> "Callable[[World, str], Found]":
    def look_up(world: World, reference: str) -> Found:
        area = world.group(reference)
        return "Group" if area is None else part(world, area)

    return look_up


def _of_project(part: Callable[[World, Area], Found]) -> "Callable[[World, str], Found]":
    def look_up(world: World, reference: str) -> Found:
        area = world.project(reference)
        return "Project" if area is None else part(world, area)

    return look_up


def _collection(name: str) -> "Callable[[World, Area], Found]":
    return lambda _world, area: area.parts[name]


def _notes(world: World, reference: str, iid: str) -> Found:
    area = world.project(reference)
    if area is None:
        return "Project"
    return world.notes.get((area.id, int(iid)), "Merge Request")


def _route(path: str, look_up: "Callable[..., Found]") -> "tuple[re.Pattern[str], Callable[..., Found]]":
    """``:id`` stands for a numeric id or an escaped full path, ``:iid`` for a number."""
    pattern = re.escape("/api/v4" + path).replace(":iid", "([0-9]+)").replace(":id", "([^/]+)")
    return re.compile(pattern), look_up


MOVED = re.compile(r"/api/v4/projects/([^/]+)((?:/.*)?)")
"""A path below a project's."""

ROUTES = (
    _route("/user", lambda world: world.users[0]),
    _route("/users", lambda world: world.users),
    _route("/groups", _groups),
    _route("/groups/:id", _of_group(lambda _world, group: group.entity)),
    _route("/groups/:id/subgroups", _of_group(lambda world, group: world.subgroups(group.id))),
    _route("/groups/:id/projects", _of_group(lambda world, group: world.projects_of(group.id))),
    *(_route(f"/groups/:id/{part}", _of_group(_collection(part))) for part in GROUP_PARTS),
    _route("/projects", lambda world: [project.entity for project in world.projects.values()]),
    _route("/projects/:id", _of_project(lambda _world, project: project.entity)),
    *(_route(f"/projects/:id/{part}", _of_project(_collection(part))) for part in PROJECT_PARTS),
    _route("/projects/:id/merge_requests/:iid/notes", _notes),
)
