"""The settings of a node over HTTP: where each comes from, and never a secret."""

from copilot_socket import memory
from copilot_socket.config import VARIABLES, load
from tests.http.harness import SiteTestCase

SETTINGS = "/api/v1/settings"
MARK = "hush-hush"
KEY = f"{MARK.replace('-', '_'):A<43}="
SECRETS = {
    "DATABASE_URL": f"postgresql://me:{MARK}@db.example:5433/crawls?sslpassword={MARK}",
    "COPILOT_HTTP_TOKEN": MARK,
    "COPILOT_CRAWLER_TOKEN": f"{MARK}1,{MARK}2",
    "COPILOT_SECRET_KEY": KEY,
    "GITLAB_CLIENT_SECRET": MARK,
}
OTHERS = {"GITLAB_CLIENT_ID": "app", "GITLAB_URL": "https://gitlab.example", "SOCKET_LEASE": "20000", "PORT": "0"}


class SettingsTests(SiteTestCase):
    """Of a node with all secrets."""

    config = load({**SECRETS, **OTHERS}, {"SOCKET_LOG_LEVEL": "warn"}, {"socket-mode": "600"}, uid=1000)

    async def test_secrets(self) -> None:
        """None is shown, in whatever form."""
        self.assertEqual(SECRETS.keys(), {variable.name for variable in VARIABLES if variable.secret})
        answer = await self.get(SETTINGS)
        for secret in (MARK, KEY):
            self.assertNotIn(secret.encode(), answer.body)
        shown = {setting["name"]: setting for setting in answer.document["settings"]}
        self.assertEqual(shown["DATABASE_URL"]["value"], "postgresql://me:***@db.example:5433/crawls")
        for name in SECRETS.keys() - {"DATABASE_URL"}:
            self.assertEqual((shown[name]["value"], shown[name]["secret"]), ("***", True), name)

    async def test_content(self) -> None:
        """Every variable, with its source, its default and its unit; the memory, and versions."""
        self.query(
            "INSERT INTO nodes (id, host, pid, started_at, lease_expires_at)"
            " VALUES ('node', 'h', 1, '2026-01-05T10:00:00Z', now()) RETURNING 1"
        )
        document = (await self.get(SETTINGS)).document
        shown = {setting["name"]: setting for setting in document["settings"]}
        self.assertEqual(list(shown), [variable.name for variable in VARIABLES])
        for name, value, default, source, origin, unit in (
            ("SOCKET_LEASE", "20000", "30000", "environment", "environment", "ms"),
            ("SOCKET_LOG_LEVEL", "warn", "debug", "file", ".env.development", None),
            ("SOCKET_MAX_MESSAGE_SIZE", "1048576", "1048576", "default", "default", "bytes"),
            ("SOCKET_HEARTBEAT_TIMEOUT", "30000", "30000", "default", "default", "ms"),
            ("COPILOT_HTTP_PORT", "0", "3000", "environment", "environment, as PORT", None),
            ("SOCKET_ERROR_LOG_FILE", None, None, "default", "default", None),
        ):
            found = shown[name]
            self.assertEqual(
                [found[each] for each in ("value", "default", "source", "origin", "unit")],
                [value, default, source, origin, unit],
                name,
            )
        terms = {term["what"]: term["bytes"] for term in document["memory"]["terms"]}
        self.assertEqual((terms, document["memory"]["total"]), (memory.parts(self.config), memory.most(self.config)))
        self.assertEqual((document["node_id"], document["started_at"]), ("node", "2026-01-05T10:00:00Z"))
        self.assertRegex(document["postgresql"], r"^\d+")

    async def test_role(self) -> None:
        """Whoever may only read does not see them."""
        for role, status in (("read", 403), ("operate", 200)):
            answer = await self.post("/api/v1/tokens", {"name": role, "role": role})
            headers = {"Authorization": f"Bearer {answer.document['token']}"}
            self.assertEqual((await self.get(SETTINGS, headers=headers)).status, status)
