"""The made-up GitLab over HTTP."""

from urllib.parse import quote

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.server import Request

from copilot_socket.demo.throttle import Throttle
from tests.client.support import in_deferred
from tests.demo.support import serve_gitlab


class ThrottleTests(SynchronousTestCase):
    """The rate limit, at times of the test's."""

    def test_windows(self) -> None:
        """Each window allows the limit; until its end the wait is at least a second."""
        throttle = Throttle(2, 10.0)
        allowed = [throttle.count(now) for now in (20.0, 21.0, 22.0, 29.9, 30.0)]
        self.assertEqual([each for each, _ in allowed], [True, True, False, False, True])
        self.assertEqual([headers.get("Retry-After") for _, headers in allowed], [None, None, "8", "1", None])
        self.assertEqual((allowed[0][1]["RateLimit-Reset"], throttle.refused), ("30", 2))


class GitLabTests(TestCase):
    """Requests as crawlers and the server make them."""

    def setUp(self) -> None:
        """Serve."""
        self.gitlab, self.url = serve_gitlab(self, latency=0.001)
        self.agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))

    async def get(self, path: str, token: str | None) -> tuple[int, object, object]:
        """Status, body and headers."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = await treq.get(self.url + path, headers=headers, agent=self.agent)
        return response.code, await response.json(), response.headers

    async def grant(self, **form: str) -> tuple[int, dict[str, object]]:
        """Ask for a token."""
        response = await treq.post(self.url + "/oauth/token", data=form, agent=self.agent)
        return response.code, await response.json()

    @in_deferred
    async def test_pages(self) -> None:
        """A good token gets entities, with the headers that lead to the next page."""
        token = self.gitlab.tokens.issue().access_token
        code, body, headers = await self.get("/api/v4/projects/1/repository/commits?per_page=5&page=2", token)
        commits = self.gitlab.world.projects[1].parts["repository/commits"]
        self.assertEqual((code, body), (200, commits[5:10]))
        self.assertEqual(headers.getRawHeaders("X-Next-Page"), ["3"])
        self.assertEqual(headers.getRawHeaders("X-Total"), [str(len(commits))])
        [link] = headers.getRawHeaders("Link")
        self.assertIn(f'<{self.url}/api/v4/projects/1/repository/commits?per_page=5&page=3>; rel="next"', link)

    @in_deferred
    async def test_keyset_pages(self) -> None:
        """With keyset pagination only the Link header leads on, and pages don't overlap."""
        token = self.gitlab.tokens.issue().access_token
        path: str | None = "/api/v4/projects/1/repository/commits?pagination=keyset&per_page=5"
        found: list[object] = []
        while path is not None:
            code, body, headers = await self.get(path, token)
            self.assertEqual((code, headers.getRawHeaders("X-Next-Page")), (200, None))
            found += body
            [link] = headers.getRawHeaders("Link") or [""]
            path = link[1 : link.index(">")].removeprefix(self.url) if link else None
        self.assertEqual(found, self.gitlab.world.projects[1].parts["repository/commits"])
        code, _, _ = await self.get("/api/v4/projects?pagination=keyset&cursor=odd", token)
        self.assertEqual(code, 400)

    @in_deferred
    async def test_a_moved_project(self) -> None:
        """Its former path leads to its id."""
        token = self.gitlab.tokens.issue().access_token
        former = self.gitlab.world.projects[1].entity["path_with_namespace"]
        self.gitlab.world.move(1, "elsewhere/new")
        path = f"/api/v4/projects/{quote(former, safe='')}/issues?per_page=5"
        response = await treq.get(
            self.url + path, headers={"Authorization": f"Bearer {token}"}, agent=self.agent, allow_redirects=False
        )
        self.assertEqual(response.code, 301)
        location = f"{self.url}/api/v4/projects/1/issues?per_page=5"
        self.assertEqual(response.headers.getRawHeaders("Location"), [location])
        await response.content()
        self.assertEqual((await self.get("/api/v4/projects/elsewhere%2Fnew", token))[0], 200)

    @in_deferred
    async def test_a_rate_limit(self) -> None:
        """Requests over the limit are refused, and told when to come again."""
        token = self.gitlab.tokens.issue().access_token
        self.gitlab.throttle = Throttle(2, 1e9)
        remaining = []
        for _ in range(2):
            code, _, headers = await self.get("/api/v4/user", token)
            remaining.append((code, headers.getRawHeaders("RateLimit-Remaining")))
        self.assertEqual(remaining, [(200, ["1"]), (200, ["0"])])
        code, _, headers = await self.get("/api/v4/user", token)
        self.assertEqual(code, 429)
        self.assertTrue(headers.hasHeader("Retry-After"))

    @in_deferred
    async def test_escaped_paths(self) -> None:
        """A full path in the URL, escaped, stands for the area."""
        token = self.gitlab.tokens.issue().access_token
        code, body, _ = await self.get("/api/v4/groups/g1%2Fsub1/milestones", token)
        group = self.gitlab.world.group("g1/sub1")
        assert group is not None
        self.assertEqual((code, body), (200, group.parts["milestones"]))

    @in_deferred
    async def test_who_may_not_come_in(self) -> None:
        """An expired token is named as such, an unknown one and none at all are not."""
        expired = self.gitlab.tokens.issue(expired=True).access_token
        code, body, headers = await self.get("/api/v4/users", expired)
        self.assertEqual((code, body["error"]), (401, "invalid_token"))
        self.assertIn('error="invalid_token"', headers.getRawHeaders("WWW-Authenticate")[0])
        for token in (None, "nonsense"):
            code, body, _ = await self.get("/api/v4/users", token)
            self.assertEqual((code, body), (401, {"message": "401 Unauthorized"}))

    @in_deferred
    async def test_the_refresh_token_grant(self) -> None:
        """A refresh token gives a pair once; after that it is an invalid grant, and so is what it gave."""
        old = self.gitlab.tokens.issue(expired=True)
        code, pair = await self.grant(grant_type="refresh_token", refresh_token=old.refresh_token)
        self.assertEqual((code, pair["token_type"], pair["expires_in"]), (200, "Bearer", 7200))
        self.assertEqual((await self.get("/api/v4/user", str(pair["access_token"])))[0], 200)
        for refused in ("nonsense", old.refresh_token, str(pair["refresh_token"])):
            code, problem = await self.grant(grant_type="refresh_token", refresh_token=refused)
            self.assertEqual((code, problem["error"]), (400, "invalid_grant"))
        self.assertEqual((await self.get("/api/v4/user", str(pair["access_token"])))[0], 401)
        code, problem = await self.grant(grant_type="password")
        self.assertEqual((code, problem["error"]), (400, "unsupported_grant_type"))
        self.assertEqual(self.gitlab.tokens.refreshes, 1)

    @in_deferred
    async def test_a_caller_that_leaves(self) -> None:
        """A caller that goes away before its answer costs nothing."""
        slow, url = serve_gitlab(self, latency=30.0)
        asked: Deferred[object] = treq.get(url + "/api/v4/users", agent=self.agent)
        arrived: Deferred[None] = Deferred()
        left: Deferred[object] = Deferred()
        original = slow.render

        def render(request: Request) -> object:
            request.notifyFinish().addBoth(left.callback)
            reactor.callLater(0, arrived.callback, None)
            return original(request)

        slow.render = render
        await arrived
        asked.addErrback(lambda _: None)
        asked.cancel()
        await asked
        with self.assertRaises(ConnectionLost):
            await left

    @in_deferred
    async def test_what_it_holds(self) -> None:
        """It says for itself what it holds, without a token."""
        code, body, _ = await self.get("/demo/counts", None)
        self.assertEqual((code, body), (200, {"counts": self.gitlab.world.counts(), "refreshes": 0, "requests": 1}))
