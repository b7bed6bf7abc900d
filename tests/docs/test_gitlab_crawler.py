"""The program of docs/gitlab-crawler.md, run as it is printed, against a node and the made-up GitLab."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.web.server import NOT_DONE_YET, Request

from copilot_socket.core.jobs import Event
from copilot_socket.demo.throttle import Throttle
from tests.demo.support import serve_gitlab
from tests.docs.node import PATIENCE, NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import until
from tests.support.server import Program, run_for

PAGE = Path(__file__).parents[2] / "docs" / "gitlab-crawler.md"
COMMITS = "repository/commits"


@attrs.define
class Fickle(Throttle):
    """Refuses each seventh request, which may be sent again at once."""

    requests: int = 0

    def count(self, now: float) -> tuple[bool, Mapping[str, str]]:
        """See :class:`Throttle`."""
        _, headers = super().count(now)
        self.requests += 1
        if self.requests % 7:
            return True, headers
        self.refused += 1
        return False, {**headers, "Retry-After": "0"}


class GitLabCrawlerTests(NodeTestCase):
    """The crawler in all the situations that the page lists."""

    environ = {"SOCKET_RECONNECT_GRACE": "300"}

    def setUp(self) -> None:
        """A GitLab, and the account's token for it, which has expired."""
        super().setUp()
        self.gitlab, url = serve_gitlab(self)
        pair = self.gitlab.tokens.issue(expired=True)
        self.query(
            "UPDATE accounts SET gitlab_url = %s, access_token = %s, refresh_token = %s",
            *(url, pair.access_token, pair.refresh_token),
        )
        self.directory = self.socket_path.with_name("crawled")
        self.requests: list[str] = []
        self.kept: Request | None = None
        """A request that GitLab does not answer yet."""
        self.keep_at: int | None = None
        """At which request for commits it does so."""
        self.answer = self.gitlab.render
        self.gitlab.render = self.render

    def render(self, request: Request) -> Any:
        """Answer as usual, but keep a crawler waiting for the page that the test says."""
        uri = request.uri.decode()
        self.requests.append(uri)
        if COMMITS in uri and sum(COMMITS in each for each in self.requests) == self.keep_at:
            self.kept = request
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        return self.answer(request)

    def start(self, per_page: int = 3) -> Program:
        """Start the program that the page prints."""
        [text] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        program = self.socket_path.with_name("gitlab_crawler.py")
        program.write_text(text)
        arguments = [sys.executable, str(program), str(self.socket_path), str(self.directory)]
        started, self.process = run_for(self, arguments, {"PER_PAGE": str(per_page)}, program.parent)
        return started

    async def begun(self) -> tuple[Program, str]:
        """A crawler that has crawled two pages of commits, and waits for the third; the job."""
        self.keep_at = 3
        job = self.put_in({"command": "commits", "full_path": str(self.project["path_with_namespace"])})
        # A valid token, so that requests are those for pages alone.
        self.query("UPDATE accounts SET access_token = %s", self.gitlab.tokens.issue().access_token)
        program = self.start()
        await until(lambda: self.kept is not None, "it waits for the third page", PATIENCE)
        return program, job

    @property
    def project(self) -> Any:
        """The first project."""
        return self.gitlab.world.projects[1].entity

    def go_on(self) -> None:
        """Answer the request that was kept."""
        kept, self.kept = self.kept, None
        if kept is not None:
            self.answer(kept)

    def row(self, job: str) -> Any:
        """State, attempts and number of entities in the cursor."""
        [row] = self.query("SELECT status, attempts, (resume_state ->> 'seen')::int FROM jobs WHERE id = %s", job)
        return row

    def assert_whole(self, entity_type: str = "commit") -> None:
        """Every page of the first project's commits is there, once."""
        files = sorted(self.directory.glob(f"{entity_type}/*/*.json"))
        found = [entity["id"] for file in files for entity in json.loads(file.read_text())]
        self.assertEqual(found, [entity["id"] for entity in self.gitlab.world.projects[1].parts[COMMITS]])

    async def test_everything(self) -> None:
        """All is crawled, though the token has expired, GitLab refuses requests for a while, and a project moves."""
        self.gitlab.throttle = Fickle(1000, 60.0)
        world = self.gitlab.world
        former = self.project["path_with_namespace"]
        world.move(1, "elsewhere/moved")
        job = self.put_in({"command": "issues", "full_path": former})
        self.put_in({"command": "GROUP_PROJECT_DISCOVERY"})
        program = self.start(per_page=9)

        def done() -> bool:
            rows = self.query("SELECT command, status, count(*)::int FROM jobs GROUP BY 1, 2")
            crawled = {command: n for command, status, n in rows if status == "completed"}
            projects = len(world.projects)
            # The moved project is crawled twice: by its former path, and as it is discovered.
            return crawled.get("issues") == projects + 1 and crawled.get("commits") == crawled.get("jobs") == projects

        await until(done, "everything is crawled", PATIENCE)
        self.assertEqual(self.row(job)[:2], ("completed", 0))
        for entity_type, part in (("issue", "issues"), ("commit", COMMITS), ("jobs", "jobs")):
            found = {
                entity["id"]
                for file in self.directory.glob(f"{entity_type}/*/*.json")
                for entity in json.loads(file.read_text())
            }
            held = {entity["id"] for area in world.projects.values() for entity in area.parts[part]}
            self.assertEqual(found, held, entity_type)
        self.assertEqual(self.gitlab.tokens.refreshes, 1)
        self.assertGreater(self.gitlab.throttle.refused, 0)
        [budget] = self.query('SELECT name, "limit" FROM budgets')
        self.assertEqual(budget, ("throttle_authenticated_api", 1000))
        self.process.signalProcess("TERM")
        self.assertEqual(await program.ended, 0, program.err.decode())

    async def test_a_new_token_that_is_refused(self) -> None:
        """It is the credential's fault, and no further token is asked for by this attempt."""
        self.gitlab.tokens._lifetime = 0
        self.put_in({"command": "issues", "full_path": str(self.project["path_with_namespace"])})
        self.start()
        ended = "SELECT cause FROM job_tries WHERE ended_at IS NOT NULL ORDER BY try LIMIT 1"
        await until(lambda: self.query(ended), "an attempt has ended", PATIENCE)
        self.assertEqual(self.query(ended), [("credential",)])
        pages = [each for each in self.requests if "/issues" in each]
        [(tries,)] = self.query("SELECT tries FROM jobs")  # the one that runs by now, too
        self.assertLessEqual(len(pages), 2 * tries)

    async def test_killed(self) -> None:
        """The next crawler goes on after the last cursor, and asks for no earlier page."""
        program, job = await self.begun()
        self.process.signalProcess("KILL")
        await program.ended
        before = len(self.requests)
        self.start()
        await until(lambda: self.row(job)[0] == "completed", "it is completed", PATIENCE)
        self.assertEqual(self.row(job), ("completed", 0, 12))
        pages = [each for each in self.requests[before:] if COMMITS in each]
        self.assertEqual([re.search(r"[?&]page=(\d+)", page)[1] for page in pages], ["3", "4"])
        self.assert_whole()

    async def test_terminated(self) -> None:
        """The job is given back with the page that was under way, and the program ends well."""
        program, job = await self.begun()
        self.process.signalProcess("TERM")
        self.keep_at = 4  # a page further than the crawler comes, unless it has not heard yet
        self.go_on()
        await until(lambda: self.row(job)[0] == "queued", "it is given back", PATIENCE)
        self.go_on()
        self.assertEqual(await program.ended, 0, program.err.decode())
        self.assertEqual(self.row(job), ("queued", 0, 9))
        self.assertEqual(self.query("SELECT cause FROM job_tries"), [("drained",)])

    async def test_paused_and_resumed(self) -> None:
        """The job goes on after the page at which it was paused."""
        _, job = await self.begun()
        await self.node.transitions.pause(job, ACT)
        self.go_on()  # its cursor is acknowledged after the request to pause
        await until(lambda: self.row(job)[0] == "paused", "it is paused", PATIENCE)
        self.assertEqual(self.row(job), ("paused", 0, 9))
        await self.node.transitions.resume(job, ACT)
        await until(lambda: self.row(job)[0] == "completed", "it is completed", PATIENCE)
        self.assert_whole()

    async def test_cancelled(self) -> None:
        """Work on it ends, and the next job is crawled."""
        program, job = await self.begun()
        await self.node.transitions.apply([job], Event.CANCELLED, act=ACT)
        self.go_on()
        other = self.put_in({"command": "issues", "full_path": str(self.project["path_with_namespace"])})
        await until(lambda: self.row(other)[0] == "completed", "the next one is completed", PATIENCE)
        self.assertEqual(self.row(job)[0], "cancelled")
        self.assertNotIn("Traceback", program.err.decode())

    async def test_a_long_limit(self) -> None:
        """A job that is to wait for long is given back, and spends no attempt."""
        self.gitlab.throttle = Throttle(1, 1e9)
        job = self.put_in({"command": "issues", "full_path": str(self.project["path_with_namespace"])})
        self.start()
        await until(lambda: self.query("SELECT 1 FROM job_tries WHERE ended_at IS NOT NULL"), "it is back", PATIENCE)
        self.assertEqual(self.row(job)[:2], ("queued", 0))
        self.assertEqual(self.query("SELECT cause FROM job_tries"), [("rate_limited",)])
