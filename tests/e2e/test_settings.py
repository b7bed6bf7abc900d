"""What a database or a role may have set: a node works all the same."""

from collections.abc import Mapping
from typing import Any

from copilot_socket.store import migrate
from tests.support.acts import ACT
from tests.support.crawler import in_reactor
from tests.support.postgres import drop_database, execute, fresh_database, name_of, with_search_path
from tests.support.server import NodeTestCase, get_json

SETTINGS: Mapping[str, str] = {
    "array_nulls": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "client_encoding": "SQL_ASCII",
    "client_min_messages": "debug1",
    "DateStyle": "SQL, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "enable_indexscan": "off",
    "extra_float_digits": "-15",
    "idle_session_timeout": "50",
    "IntervalStyle": "sql_standard",
    "lock_timeout": "1",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "search_path": "pg_catalog, public",
    "standard_conforming_strings": "off",
    "TimeZone": "Pacific/Kiritimati",
    "transform_null_equals": "on",
    "xmloption": "document",
}
"""Other than PostgreSQL's own defaults."""
STATE = {"path": "a\\b'c\"d", "text": "ünï €😀 %s"}
DUE = "2031-01-02T03:04:05Z"


class SettingsTests(NodeTestCase):
    """A small life of jobs."""

    async def ask(self, port: int, path: str, method: str = "GET", body: Any = None) -> Any:
        """The answer of the HTTP port, which is no refusal."""
        status, answer = await get_json(port, f"/api/v1{path}", method, body)
        self.assertLess(status, 300, answer)
        return answer

    async def live(self) -> None:
        """Jobs come in both ways, are handed out, reported on, done, failed, retried, and shown as they were."""
        node = await self.node()
        account = {
            "provider": "gitlab-cloud",
            "gitlab_url": "https://x",
            "access_token": "t",
            "token_expires_at": DUE,
        }
        await self.ask(node.port, "/accounts/%C3%A4", "PUT", account)
        crawler = await self.greeted(node, maxJobs=5)
        [waiting, later] = (
            await self.ask(
                node.port,
                "/jobs",
                "POST",
                [
                    {"account_id": "ä", "command": "issues", "full_path": "g/\\p'", "resume_state": STATE},
                    {"account_id": "ä", "command": "commits", "full_path": "g/p", "scheduled_at": DUE},
                ],
            )
        )["ids"]
        first = await crawler.take_job()
        self.assertEqual((first["fullPath"], first["resumeState"]), ("g/\\p'", STATE))
        self.assertEqual((await crawler.answer(crawler.progress(first["id"], 1, resumeState=STATE)))["type"], "ack")
        await crawler.told("job_failed", first["id"], error="it's \\ 'so'", isRecoverable=False, context=STATE)
        shown = await self.ask(node.port, f"/jobs/{waiting}")
        self.assertEqual((shown["status"], shown["resume_state"]), ("failed", STATE))
        self.assertEqual(
            (shown["errors"][0]["error_message"], shown["errors"][0]["context"]), ("it's \\ 'so'", STATE)
        )
        await self.ask(node.port, f"/jobs/{waiting}/retry", "POST")
        again = await crawler.take_job()
        self.assertEqual((await crawler.answer(crawler.complete(again["id"])))["type"], "ack")
        crawler.say("job_request")
        self.add_jobs(prefix="late")
        self.assertEqual((await crawler.job())["fullPath"], "late1")
        self.assertEqual((await self.ask(node.port, f"/jobs/{later}"))["scheduled_at"], DUE)
        self.assertEqual((await self.ask(node.port, "/accounts/%C3%A4"))["token_expires_at"], DUE)
        self.assertEqual((await self.ask(node.port, "/jobs?status=completed"))["jobs"][0]["id"], waiting)

    @in_reactor()
    async def test_all_of_them(self) -> None:
        """Settings of the database that change how statements are read, judged or answered."""
        for name, value in SETTINGS.items():
            quoted = value if "," in value and name == "search_path" else f"'{value}'"
            execute(self.database_url, f'ALTER DATABASE "{name_of(self.database_url)}" SET {name} = {quoted}')
        await self.live()

    @in_reactor()
    async def test_another_schema(self) -> None:
        """The tables in a schema of their own, found by search_path, beside another program's accounts."""
        public = fresh_database(migrated=False)
        self.addCleanup(drop_database, public)
        execute(
            public, "CREATE SCHEMA crawling; CREATE TABLE public.accounts (id text, provider text, gitlab_url text)"
        )
        execute(public, "INSERT INTO public.accounts VALUES ('acct', 'gitlab-cloud', 'https://elsewhere.test')")
        self.database_url = with_search_path(public, "crawling")
        migrate.upgrade(self.database_url, ACT)
        self.add_account()
        await self.live()
        node = await self.node()
        crawler = await self.greeted(node, "another")
        crawler.say("job_request")
        execute(public, "INSERT INTO crawling.jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/q')")
        self.assertEqual((await crawler.job())["gitlabUrl"], "http://gitlab.test")

    @in_reactor()
    async def test_without_triggers(self) -> None:
        """Sessions in which ordinary triggers do not fire, as those of replication."""
        setting = "session_replication_role = replica"
        execute(self.database_url, f'ALTER DATABASE "{name_of(self.database_url)}" SET {setting}')
        await self.live()
