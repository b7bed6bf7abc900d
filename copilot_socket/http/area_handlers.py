"""Areas over HTTP (docs/http.md, "Areas")."""

from typing import Annotated, Literal

import attrs

from copilot_socket.core.describing import Time, doc
from copilot_socket.http.account_names import refuse_foreign
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import one_of, origin_url, some_of, text
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.job_queries import a_path
from copilot_socket.http.messages import Call, Problem, Reply, reply
from copilot_socket.http.queries import PAGING, Listed, given
from copilot_socket.store.area_lists import COMMANDS, COUNTS, AreaOrder
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.shown.accounts import Area, AreaDetail

_DESCENDING = "-"


@attrs.frozen(kw_only=True)
class AreaQuery(Listed):
    """Which areas, and how they are listed."""

    type: Annotated[str | None, one_of("group", "project"), doc("What they are.")] = None
    gitlab_origin: Annotated[str | None, origin_url, doc("The URL of their GitLab.")] = None
    account_id: Annotated[str | None, text(255), doc("An account that may see them at its GitLab.")] = None
    search: Annotated[str | None, text(255), doc("Part of their path or name, in any case.")] = None
    path_prefix: Annotated[str | None, a_path, doc("A group or project, with all below it.")] = None
    order: Annotated[
        str,
        one_of(AreaOrder.PATH, AreaOrder.CREATED, f"{_DESCENDING}{AreaOrder.CREATED}"),
        doc("By GitLab and path, or by the time of their discovery; with `-` descending."),
    ] = str(AreaOrder.PATH)
    include: Annotated[
        frozenset[str],
        some_of(COUNTS, COMMANDS),
        doc("Attributes that are else left out: what is known of their jobs."),
    ] = frozenset()


@attrs.frozen(kw_only=True)
class AreaCount:
    """How many areas of a type a GitLab has."""

    gitlab_origin: Annotated[str, doc("The origin of the GitLab.")]
    type: Annotated[Literal["group", "project"], doc("The type.")]
    total: Annotated[int, doc("How many there are.")]
    total_exact: Annotated[bool, doc("Whether they were counted, or this is an estimate.")]


@attrs.frozen(kw_only=True)
class FoundAreas:
    """How many areas were found of late."""

    days: Annotated[int, doc("In so many days of 24 hours, up to now.")]
    total: Annotated[int, doc("How many.")]
    total_exact: Annotated[bool, doc("Whether they were counted, or this is an estimate.")]


@attrs.frozen(kw_only=True)
class DiscoveryStats:
    """The jobs that discover areas."""

    jobs: Annotated[dict[str, int], doc("GROUP_PROJECT_DISCOVERY jobs by state, for every state.")]
    last_completed_at: Annotated[Time | None, doc("When one was last completed, as far as jobs are kept.")]


@attrs.frozen(kw_only=True)
class AreaStats:
    """Counts of areas, and of the jobs that discover them."""

    areas: Annotated[list[AreaCount], doc("By GitLab and type.")]
    found: Annotated[list[FoundAreas], doc("Those of the last day, and of the last seven.")]
    discoveries: DiscoveryStats


AreaList = list_of("areas", Area)


@attrs.frozen
class AreaHandlers:
    """Handles requests under ``/api/v1/areas``."""

    catalog: Catalog

    @endpoint({200: AreaList})
    async def list_areas(self, call: Call, query: AreaQuery) -> Reply:
        """Discovered groups and projects."""
        refuse_foreign(call, query.account_id)
        listing = await self.catalog.areas.page(
            query.page,
            given(query, *PAGING, "order", "include"),
            AreaOrder(query.order.removeprefix(_DESCENDING)),
            descending=query.order.startswith(_DESCENDING),
            include=query.include,
            within=call.within,
        )
        return page("areas", listing)

    @endpoint({200: AreaDetail})
    async def show_area(self, call: Call) -> Reply:
        """One group or project, with all that is known of its jobs, and who may see it."""
        problem = Problem(
            404, "No such area: an origin and a path are needed, such as https%3A%2F%2Fgitlab.example.org/a%2Fb"
        )
        origin = call.named(origin_url, problem, "origin")
        area = await self.catalog.areas.one(origin, call.named(a_path, problem, "path"))
        if area is None:
            raise problem
        return reply(area)

    @endpoint({200: AreaStats})
    async def show_area_stats(self, _call: Call) -> Reply:
        """Counts of areas, and of the jobs that discover them."""
        return reply(await self.catalog.areas.stats())
