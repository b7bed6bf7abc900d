"""What the roles of tokens show, and that the server refuses what they do not show."""

from typing import Any

from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, in_node, shown
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor
from tests.support.server import InProcessNode, get_json

PAGES = {
    "read": ["Overview", "Jobs", "Errors", "Crawlers", "Accounts", "Areas", "Pauses", "Operations"],
    "operate": ["Audit log", "Settings"],
    "app": [],
    "admin": ["Tokens"],
}
"""In the navigation of each role, beside those of the roles before it."""
# What is tried from the page itself, by the role that it needs.
TRIES = {
    "operate": ("POST", "/api/v1/jobs/{job}/cancel", None),
    "app": ("POST", "/api/v1/accounts/acct/credential", {"access_token": "new"}),
    "admin": ("POST", "/api/v1/tokens", {"name": "mine", "role": "admin"}),
}
_SEND = """([method, path, body]) => fetch(path, {
  method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
}).then(({ status }) => status)"""


@in_chromium
class RoleTests(DashboardTestCase):
    """Tokens of each role, and limited ones."""

    async def _token(self, node: InProcessNode, role: str, **more: Any) -> str:
        status, answer = await get_json(
            node.port, "/api/v1/tokens", "POST", {"name": f"a-{role}-{len(more)}", "role": role, **more}
        )
        self.assertEqual(status, 201, answer)
        return str(answer["token"])

    @in_reactor(300)
    async def test_roles(self) -> None:
        """Each role sees its pages and acts; what it may not do is not shown, and is 403 when it is tried."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")
        roles = list(PAGES)
        tokens = {role: await self._token(node, role) for role in roles}

        def look(chromium: Chromium) -> None:
            expected: set[str] = set()
            for at, role in enumerate(roles):
                expected |= set(PAGES[role])
                page = chromium.visit(tokens[role])
                page.goto("/jobs")
                shown(page.get_by_role("row").filter(has_text="acme/shop1")).to_be_visible()
                navigation = page.get_by_role("navigation", name="Pages", exact=True)
                pages = {text.split("\n")[0].strip() for text in navigation.get_by_role("link").all_inner_texts()}
                assert pages == expected, (role, pages)
                operates = int(at >= roles.index("operate"))
                shown(act(page, "Submit a job")).to_have_count(operates)
                shown(page.get_by_label("Select issues of acme/shop1")).to_have_count(operates)
                page.goto(f"/jobs/{job}")
                shown(page.get_by_role("region", name="Why")).to_contain_text("queued")
                shown(act(page, "Cancel issues of acme/shop1")).to_have_count(operates)
                for needed, (method, path, body) in TRIES.items():
                    if at < roles.index(needed):
                        status = page.evaluate(_SEND, [method, path.format(job=job), body])
                        assert status == 403, (role, path, status)
            page = chromium.visit(tokens["read"])
            for path, needed in (("/audit", "operate"), ("/settings", "operate"), ("/tokens", "admin")):
                page.goto(path)
                shown(page.get_by_role("main")).to_contain_text(f"it needs the role {needed}")
                assert page.watched.failed == [], page.watched.failed  # it was not even asked for

        await self.browse(node.port, look)
        self.assertEqual(self.status_of(job), "queued")

    @in_reactor(300)
    async def test_limited(self) -> None:
        """A token that is limited to an account or a user sees the jobs of these, and those that are new."""
        node = await self.node()
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('other', 'gitlab-onprem', 'http://gitlab.test', 'token')"
        )
        jobs = self.query(
            "INSERT INTO jobs (account_id, user_id, command, full_path) VALUES"
            " ('acct', 'ann', 'issues', 'acme/mine'), ('other', 'bob', 'issues', 'acme/theirs') RETURNING id"
        )
        theirs = str(jobs[1][0])
        tokens = [
            await self._token(node, "app", accounts=["acct"]),
            await self._token(node, "app", users=["ann"], expires_at=None),
        ]

        def look(chromium: Chromium) -> None:
            for number, token in enumerate(tokens):
                page = chromium.visit(token)
                page.goto("/jobs")
                rows = page.get_by_role("row").filter(has_text="acme/")
                shown(rows).to_have_count(1 + number)
                shown(rows.last).to_contain_text("acme/mine")
                shown(page.locator(".live")).to_have_text("Live")
                in_node(self._submit, node, number)
                act(page, "Show 1 new job").click()
                shown(rows).to_have_count(2 + number)
                shown(page.get_by_role("link", name="Pauses")).to_have_count(0)
                page.goto(f"/jobs/{theirs}")
                shown(page.get_by_role("alert")).to_be_visible()
                for method, path in (("POST", f"/api/v1/jobs/{theirs}/cancel"), ("GET", "/api/v1/accounts/other")):
                    assert page.evaluate(_SEND, [method, path, None]) in (403, 404), path
                page.goto("/crawlers")
                shown(page.get_by_role("main")).to_contain_text("Your token is limited to some accounts or users")
                page.goto("/")  # which is about all
                shown(page).to_have_url(f"{chromium.origin}/jobs")

        await self.browse(node.port, look)
        self.assertEqual(self.status_of(theirs), "queued")

    @in_reactor()
    async def test_several(self) -> None:
        """A token that is limited to several accounts and users follows each of their jobs, and finds their areas."""
        node = await self.node()
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('other', 'gitlab-onprem', 'http://gitlab.test', 'token')"
        )
        [(job,)] = self.query(
            "INSERT INTO jobs (account_id, user_id, command, full_path)"
            " VALUES ('other', 'bob', 'issues', 'acme/shop') RETURNING id"
        )
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type)"
            " VALUES ('http://gitlab.test', 'acme/theirs', 1, 'Theirs', 'project');"
            " INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT 'other', gitlab_origin, full_path FROM areas"
        )
        accounts = ["acct", "other"]
        both = await self._token(node, "app", accounts=accounts, users=["ann", "bob"])
        some = await self._token(node, "app", accounts=accounts)

        def look(chromium: Chromium) -> None:
            page = chromium.visit(both)
            page.goto(f"/jobs/{job}")
            shown(page.locator(".live")).to_have_text("Live")
            why = page.get_by_role("region", name="Why")
            shown(why).to_contain_text("queued")
            in_node(self._cancel, node, str(job))
            shown(why).to_contain_text("cancelled")
            page = chromium.visit(some)
            page.goto("/areas")
            page.get_by_label("Account").select_option("other")
            shown(page.get_by_role("row").filter(has_text="acme/theirs")).to_be_visible()

        await self.browse(node.port, look)

    async def _cancel(self, node: InProcessNode, job: str) -> None:
        status, _ = await get_json(node.port, f"/api/v1/jobs/{job}/cancel", "POST")
        self.assertEqual(status, 200)

    async def _submit(self, node: InProcessNode, number: int) -> None:
        """A job of the token's account and user, and one of others."""
        for account, user in (("other", "bob"), ("acct", "ann")):
            job = {"account_id": account, "user_id": user, "command": "commits", "full_path": f"acme/new{number}"}
            status, answer = await get_json(node.port, "/api/v1/jobs", "POST", job)
            self.assertEqual(status, 201, answer)
