"""Areas over HTTP."""

from typing import Any

from copilot_socket.core.jobs import Status
from copilot_socket.store import area_lists, totals
from tests.http.test_tokens import TokenTestCase

AREAS = "/api/v1/areas"
ORIGIN = "https://gitlab.example"


class AreaTests(TokenTestCase):
    """GET /api/v1/areas."""

    async def add_areas(self) -> None:
        """Four areas, at two GitLabs, one day apart each, the first one ten days ago."""
        await self.account()
        for number, (origin, path, name, kind) in enumerate(
            (
                (ORIGIN, "g/p", "Project", "project"),
                (ORIGIN, "g", "Group", "group"),
                ("https://x", "g", "X", "group"),
                (ORIGIN, "g-b/p", "100%", "project"),
            )
        ):
            self.query(
                "INSERT INTO areas (gitlab_origin, full_path, name, type, created_at)"
                " VALUES (%s, %s, %s, %s, now() - %s * interval '80 hours')",
                *(origin, path, name, kind, 3 - number),
            )

    async def listed(self, query: str, limit: int = 2) -> list[str]:
        """The paths of all pages, and the total agrees; those of the other GitLab with its name."""
        found: list[str] = []
        cursor = ""
        while True:
            path = "&".join(filter(None, (f"{AREAS}?limit={limit}&total=true", query, cursor)))
            page = (await self.get(path)).document
            found += [
                row["full_path"] if row["gitlab_origin"] == ORIGIN else f"x:{row['full_path']}"
                for row in page["areas"]
            ]
            if page["next"] is None:
                self.assertEqual((page["total"], page["total_exact"]), (len(found), True), query)
                return found
            cursor = f"cursor={page['next']}"

    async def test_filters_and_orders(self) -> None:
        """By GitLab and path, or by age; filters narrow them to a type, GitLab or path, or what an account sees."""
        await self.add_areas()
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT 'acme', gitlab_origin, full_path FROM areas WHERE full_path <> 'g-b/p'"
        )
        for query, expected in (
            ("", ["g", "g-b/p", "g/p", "x:g"]),
            ("type=group", ["g", "x:g"]),
            ("gitlab_origin=HTTPS://X:443/api/v4/", ["x:g"]),
            ("account_id=acme", ["g", "g/p"]),
            ("account_id=acme&type=project", ["g/p"]),
            ("account_id=none", []),
            ("search=P", ["g", "g-b/p", "g/p"]),
            ("search=100%25", ["g-b/p"]),
            ("search=project&type=group", []),
            ("path_prefix=g", ["g", "g/p", "x:g"]),
            ("path_prefix=/g/&gitlab_origin=" + ORIGIN, ["g", "g/p"]),
            ("path_prefix=g/p", ["g/p"]),
            ("order=full_path&type=project", ["g-b/p", "g/p"]),
            ("order=created_at", ["g/p", "g", "x:g", "g-b/p"]),
            ("order=-created_at", ["g-b/p", "x:g", "g", "g/p"]),
            ("order=-created_at&type=group", ["x:g", "g"]),
        ):
            for limit in (1, 2, 100):
                self.assertCountEqual(await self.listed(query, limit), expected, query)
                if "order=" in query:
                    self.assertEqual(await self.listed(query, limit), expected, query)
        bad = f"{AREAS}?type=user&limit=-1&order=name&include=x&path_prefix=//"
        self.assertEqual(self.paths(await self.get(bad)), ["?type", "?limit", "?order", "?include", "?path_prefix"])

    async def add_jobs(self) -> None:
        """Jobs on these areas, of two accounts; and one on the same path at another GitLab."""
        await self.add_areas()
        await self.account("b")
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
            " SELECT t.id, a.gitlab_origin, a.full_path FROM accounts t, areas a"
            " WHERE (t.id = 'acme' OR full_path = 'g') AND a.gitlab_origin = t.gitlab_origin"
        )
        for account, command, path, status, finished, url in (
            ("acme", "issues", "g/p", "completed", "2026-01-02Z", ORIGIN),
            ("acme", "issues", "g/p", "completed", "2026-01-03Z", f"{ORIGIN}/sub"),
            ("b", "issues", "g/p", "completed", "2026-01-04Z", ORIGIN),
            ("b", "issues", "g/p", "failed", "2026-01-05Z", ORIGIN),
            ("acme", "commits", "g/p", "queued", None, ORIGIN),
            ("acme", "group", "g", "completed", "2026-01-06Z", "https://x"),
            ("acme", "issues", "g/p/sub", "completed", "2026-01-07Z", ORIGIN),
        ):
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, status, finished_at, gitlab_url, tries)"
                " VALUES (%s, %s, %s, %s, %s, %s, 1)",
                *(account, command, path, status, finished, url),
            )

    async def test_one(self) -> None:
        """One area at its GitLab, with what is known of its jobs by command, and who may see it."""
        await self.add_jobs()
        origin = "https%3A%2F%2Fgitlab.example"
        area = (await self.get(f"{AREAS}/{origin}/g%2Fp")).document
        [listed] = (await self.get(f"{AREAS}?path_prefix=g/p&include=counts,commands")).document["areas"]
        self.assertEqual(
            area,
            {
                **listed,
                "jobs_by_command": {"commits": {"queued": 1}, "issues": {"completed": 3, "failed": 1}},
                "account_ids": ["acme"],
            },
        )
        self.assertEqual((await self.get(f"{AREAS}/{origin}/g")).document["account_ids"], ["acme", "b"])
        other = (await self.get(f"{AREAS}/HTTPS:%2F%2FX:443/g")).document
        self.assertEqual((other["jobs_by_command"], other["account_ids"]), ({"group": {"completed": 1}}, []))
        for path in (f"{origin}/nowhere", "https%3A%2F%2Fnowhere/g", "nowhere/g", f"{origin}/%00", f"{origin}/%2F"):
            self.assertEqual((await self.get(f"{AREAS}/{path}")).status, 404, path)
        limited = await self.make("limited", "app", accounts=["acme"])
        self.assertEqual((await self.get(f"{AREAS}/{origin}/g", headers=limited)).status, 403)

    async def included(self, headers: Any = None, query: str = "") -> dict[str, Any]:
        """Accounts, jobs (other than none) and completions, by path."""
        answer = await self.get(f"{AREAS}?include=counts,commands{query}", headers=headers or {})
        return {
            f"{row['gitlab_origin']}/{row['full_path']}": (
                row["accounts"],
                {state: count for state, count in row["jobs"].items() if count},
                row["last_completed"],
            )
            for row in answer.document["areas"]
        }

    async def test_jobs(self) -> None:
        """On request areas say who may see them, their jobs by state, and when each command was last completed."""
        await self.add_jobs()
        expected = {
            f"{ORIGIN}/g": (2, {}, {}),
            f"{ORIGIN}/g-b/p": (1, {}, {}),
            f"{ORIGIN}/g/p": (1, {"completed": 3, "failed": 1, "queued": 1}, {"issues": "2026-01-04T00:00:00Z"}),
            "https://x/g": (0, {"completed": 1}, {"group": "2026-01-06T00:00:00Z"}),
        }
        self.assertEqual(await self.included(), expected)
        [row] = (await self.get(f"{AREAS}?include=commands&path_prefix=g/p")).document["areas"]
        self.assertEqual((row["last_completed"], "jobs" in row), ({"issues": "2026-01-04T00:00:00Z"}, False))
        [row] = (await self.get(f"{AREAS}?include=counts&path_prefix=g/p")).document["areas"]
        self.assertEqual((set(row["jobs"]), "last_completed" in row), (set(map(str, Status)), False))
        self.assertEqual((await self.get(f"{AREAS}?include=counts&search=nothing")).document["areas"], [])

    async def test_limited(self) -> None:
        """A token that is limited to accounts learns of no other accounts and their jobs."""
        await self.add_jobs()
        headers = await self.make("b", "app", accounts=["b"])
        self.assertEqual((await self.get(f"{AREAS}?include=counts", headers=headers)).status, 403)
        self.assertEqual(await self.included(headers, "&account_id=b"), {f"{ORIGIN}/g": (1, {}, {})})
        self.query(
            "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path) VALUES ('b', %s, 'g/p')", ORIGIN
        )
        found = await self.included(headers, "&account_id=b")
        self.assertEqual(
            found[f"{ORIGIN}/g/p"], (1, {"completed": 1, "failed": 1}, {"issues": "2026-01-04T00:00:00Z"})
        )
        self.assertEqual((await self.get(f"{AREAS}/stats", headers=headers)).status, 403)

    async def test_stats(self) -> None:
        """Areas by GitLab and type, those found of late, and discoveries; beyond the bound these are estimates."""
        stats = (await self.get(f"{AREAS}/stats")).document
        self.assertEqual((stats["areas"], [row["total"] for row in stats["found"]]), ([], [0, 0]))
        self.assertEqual(stats["discoveries"]["last_completed_at"], None)
        await self.add_areas()
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, finished_at, tries) VALUES"
            " ('acme', 'GROUP_PROJECT_DISCOVERY', NULL, 'completed', '2026-01-02Z', 1),"
            " ('acme', 'GROUP_PROJECT_DISCOVERY', 'g', 'completed', '2026-01-03Z', 1),"
            " ('acme', 'GROUP_PROJECT_DISCOVERY', NULL, 'failed', '2026-01-04Z', 1),"
            " ('acme', 'issues', 'g/p', 'completed', '2026-01-05Z', 1)"
        )
        stats = (await self.get(f"{AREAS}/stats")).document
        shown = [(row["gitlab_origin"], row["type"], row["total"]) for row in stats["areas"]]
        expected = [
            (ORIGIN, "group", 1),
            (ORIGIN, "project", 2),
            ("https://x", "group", 1),
            ("https://x", "project", 0),
        ]
        self.assertEqual(shown, expected)
        self.assertEqual([(row["days"], row["total"]) for row in stats["found"]], [(1, 1), (7, 3)])
        self.assertTrue(all(row["total_exact"] for row in stats["areas"] + stats["found"]))
        jobs = dict.fromkeys(map(str, Status), 0)
        self.assertEqual(
            stats["discoveries"],
            {"jobs": {**jobs, "completed": 2, "failed": 1}, "last_completed_at": "2026-01-03T00:00:00Z"},
        )
        for module in (area_lists, totals):
            self.patch(module, "COUNTED", 1)
        stats = (await self.get(f"{AREAS}/stats")).document
        self.assertEqual(
            [(row["total_exact"], row["total"] >= 1 or row["total"] == 0) for row in stats["areas"]],
            [(True, True), (False, True), (True, True), (True, True)],
        )
        self.assertEqual([row["total_exact"] for row in stats["found"]], [True, False])
