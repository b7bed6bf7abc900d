"""The made-up world, and what its API answers, without HTTP."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.demo.api import answer, paginate
from copilot_socket.demo.files import count, identity, write_page
from copilot_socket.demo.oauth import TokenBook
from copilot_socket.demo.world import GROUP_PARTS, PROJECT_PARTS, SHAPES, generate


class WorldTests(SynchronousTestCase):
    """Growing a world."""

    def test_the_seed_decides(self) -> None:
        """The same seed gives the same world, another one another."""
        self.assertEqual(generate(7, 2, "tiny"), generate(7, 2, "tiny"))
        self.assertNotEqual(generate(7, 2, "tiny"), generate(8, 2, "tiny"))

    def test_counts_are_of_different_entities(self) -> None:
        """What a world counts are entities with identities of their own, of every type, in every size."""
        for size in SHAPES:
            world = generate(3, 3, size)
            seen: dict[str, set[str]] = {}
            for areas, parts in ((world.groups, GROUP_PARTS), (world.projects, PROJECT_PARTS)):
                for area in areas.values():
                    for part, entity_type in parts.items():
                        seen.setdefault(entity_type, set()).update(map(identity, area.parts[part]))
            seen["mergeRequestNotes"] = {identity(note) for notes in world.notes.values() for note in notes}
            groups = {identity(area.entity) for area in world.groups.values()}
            projects = {identity(area.entity) for area in world.projects.values()}
            seen |= {"group": groups, "project": projects, "areas": groups | projects}
            seen["user"] = set(map(identity, world.users))
            self.assertEqual(world.counts(), {entity_type: len(found) for entity_type, found in seen.items()})
            self.assertGreater(min(world.counts().values()), 0)

    def test_groups_nest(self) -> None:
        """There are groups in groups in groups, and projects at every level."""
        world = generate(1, 1, "small")
        paths = {area.entity["full_path"] for area in world.groups.values()}
        self.assertEqual(paths, {"g1", "g1/sub1", "g1/sub1/sub1"})
        homes = {area.entity["namespace"]["full_path"] for area in world.projects.values()}
        self.assertEqual(homes, paths)


class ApiTests(SynchronousTestCase):
    """Paths and pages."""

    def setUp(self) -> None:
        """A small world."""
        self.world = generate(1, 2, "tiny")

    def ask(self, path: str, **query: str) -> tuple[int, object]:
        """Status and body."""
        found = answer(self.world, "http://x" + path, "/api/v4" + path, query)
        return found.status, found.body

    def test_by_number_and_by_path(self) -> None:
        """A group and a project are found by their number and by their escaped path."""
        self.assertEqual(self.ask("/groups/2"), self.ask("/groups/g1%2Fsub1"))
        project = self.world.projects[1].entity
        escaped = project["path_with_namespace"].replace("/", "%2F")
        self.assertEqual(self.ask("/projects/1"), (200, project))
        self.assertEqual(self.ask(f"/projects/{escaped}/releases"), self.ask("/projects/1/releases"))

    def test_the_tree(self) -> None:
        """Top-level groups, subgroups and projects of a group are what the world says."""
        self.assertEqual(self.ask("/groups", top_level_only="true"), (200, self.world.subgroups(None)))
        self.assertEqual(len(self.world.subgroups(None)), 2)
        self.assertEqual(self.ask("/groups/1/subgroups"), (200, self.world.subgroups(1)))
        self.assertEqual(self.ask("/groups/1/projects"), (200, self.world.projects_of(1)))
        self.assertEqual(
            self.ask("/groups", per_page="100")[1], [group.entity for group in self.world.groups.values()]
        )

    def test_every_collection(self) -> None:
        """Each part of a group and of a project has its path, and a merge request has its notes."""
        for area, parts in (("groups/1", GROUP_PARTS), ("projects/1", PROJECT_PARTS)):
            home = self.world.groups[1] if area == "groups/1" else self.world.projects[1]
            for part in parts:
                self.assertEqual(self.ask(f"/{area}/{part}", per_page="100"), (200, home.parts[part]))
        self.assertEqual(self.ask("/projects/1/merge_requests/1/notes"), (200, self.world.notes[(1, 1)]))
        self.assertEqual(self.ask("/users"), (200, self.world.users))
        self.assertEqual(self.ask("/user"), (200, self.world.users[0]))

    def test_what_is_not_there(self) -> None:
        """What is missing is named as GitLab names it."""
        self.assertEqual(self.ask("/projects/999"), (404, {"message": "404 Project Not Found"}))
        self.assertEqual(self.ask("/groups/no%2Fsuch/epics"), (404, {"message": "404 Group Not Found"}))
        self.assertEqual(
            self.ask("/projects/1/merge_requests/999/notes"), (404, {"message": "404 Merge Request Not Found"})
        )
        self.assertEqual(self.ask("/nonsense"), (404, {"error": "404 Not Found"}))

    @given(st.integers(0, 250), st.integers(1, 150))
    def test_pages_join_to_the_whole(self, total: int, per_page: int) -> None:
        """Following X-Next-Page from page to page gives everything once, in order."""
        entities = [{"id": number} for number in range(total)]
        page, seen = "1", []
        while page:
            found = paginate(entities, "http://x/y", {"page": page, "per_page": str(per_page)})
            seen += found.body
            self.assertEqual(found.headers["X-Total"], str(total))
            self.assertEqual('rel="next"' in found.headers["Link"], bool(found.headers["X-Next-Page"]))
            page = found.headers["X-Next-Page"]
        self.assertEqual(seen, entities)

    def test_links_keep_the_query(self) -> None:
        """The Link header repeats the other parameters of the query."""
        found = paginate([{"id": 1}] * 30, "http://x/y", {"top_level_only": "true"})
        self.assertIn('<http://x/y?top_level_only=true&page=2&per_page=20>; rel="next"', found.headers["Link"])


class TokenBookTests(SynchronousTestCase):
    """Tokens that expire, and their replacement."""

    def setUp(self) -> None:
        """A clock at zero."""
        self.now = 0.0
        self.book = TokenBook(lambda: self.now, lifetime=100)

    def test_time_passes(self) -> None:
        """A token is good for its lifetime; one issued as expired never is."""
        token = self.book.issue().access_token
        self.assertEqual(self.book.state(token), "valid")
        self.now = 100.0
        self.assertEqual(self.book.state(token), "expired")
        self.assertEqual(self.book.state(self.book.issue(expired=True).access_token), "expired")
        self.assertEqual(self.book.state("made up"), "unknown")

    def test_both_tokens_rotate(self) -> None:
        """A refresh gives a new pair and revokes the old access token."""
        old = self.book.issue()
        new = self.book.refresh(old.refresh_token)
        assert new is not None
        self.assertEqual((self.book.state(old.access_token), self.book.state(new.access_token)), ("revoked", "valid"))
        self.assertIsNotNone(self.book.refresh(new.refresh_token))
        self.assertEqual(self.book.refreshes, 2)

    def test_used_twice(self) -> None:
        """A refresh token that is used a second time is refused, and what it was replaced by is revoked."""
        old = self.book.issue()
        new = self.book.refresh(old.refresh_token)
        assert new is not None
        self.assertIsNone(self.book.refresh(old.refresh_token))
        self.assertEqual(self.book.state(new.access_token), "revoked")
        self.assertIsNone(self.book.refresh(new.refresh_token))
        self.assertEqual(self.book.refreshes, 1)


class FilesTests(SynchronousTestCase):
    """Counting what crawlers wrote."""

    def test_a_page_written_twice_counts_once(self) -> None:
        """A page that another attempt fetches again replaces itself, and an entity on two pages is one."""
        out = Path(self.mktemp())
        write_page(out, "issue", "job.1.aa", 1, [{"id": 1}, {"id": 2}])
        write_page(out, "issue", "job.2.bb", 1, [{"id": 1}, {"id": 2}])
        write_page(out, "issue", "job.2.bb", 2, [{"id": 2}, {"id": 3}])
        (out / "issue" / "job-00003.17.part").write_text('{"id": 9')
        names = sorted(path.name for path in out.glob("issue/*.jsonl"))
        self.assertEqual(names, ["job-00001.jsonl", "job-00002.jsonl"])
        self.assertEqual(count(out), {"issue": 3})
