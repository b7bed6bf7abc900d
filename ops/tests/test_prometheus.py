"""ops/prometheus: checked and tried with promtool, and run by a real Prometheus in front of a real node."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from ops.tests.prometheus import FILES, TOKEN, MonitoredTestCase, fetch, lay_out
from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until
from tests.support.server import short_directory

RULES = FILES / "rules"
CASES = sorted((FILES / "tests").glob("*.yml"))


def promtool(*arguments: str | Path, given: bytes = b"") -> tuple[int, str]:
    """The exit status of promtool, and all that it said."""
    result = subprocess.run(["promtool", *arguments], input=given, capture_output=True, check=False, timeout=60)
    return result.returncode, (result.stdout + result.stderr).decode()


def rules(name: str) -> list[dict[str, Any]]:
    """All rules of one file."""
    groups = yaml.safe_load((RULES / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@needs("promtool")
class FileTests(SynchronousTestCase):
    """What promtool makes of the files."""

    def setUp(self) -> None:
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def test_configuration(self) -> None:
        """The configuration, the rules and the file of targets are sound."""
        status, said = promtool("check", "config", lay_out(self.directory, "127.0.0.1:1"))
        self.assertEqual(status, 0, said)
        shipped = yaml.safe_load((FILES / "targets" / "nodes.yml").read_text())
        self.assertEqual(shipped, [{"targets": ["127.0.0.1:3000"]}])

    def test_cases(self) -> None:
        """In each case just the alerts fire that are said to."""
        status, said = promtool("test", "rules", *CASES)
        self.assertEqual(status, 0, said)

    def test_cases_can_fail(self) -> None:
        """For each alert a case notices when it never fires, and one when it always does."""
        names = {rule["alert"] for rule in rules("alerts.yml")}
        for expression in ("vector(0) > 1", "vector(1)"):
            complaints = self._all_alerts_as(expression)
            unnoticed = sorted(name for name in names if name not in complaints)
            self.assertEqual(unnoticed, [], f"no case notices that these are {expression}")

    def _all_alerts_as(self, expression: str) -> str:
        """What promtool says of the cases with *expression* in place of every alert's own, at once."""
        shutil.copytree(FILES, self.directory, dirs_exist_ok=True)
        path = self.directory / "rules" / "alerts.yml"
        changed = yaml.safe_load(path.read_text())
        for group in changed["groups"]:
            for rule in group["rules"]:
                rule["expr"] = expression
                rule.pop("for", None)
        path.write_text(yaml.safe_dump(changed))
        status, said = promtool("test", "rules", *(self.directory / "tests" / case.name for case in CASES))
        self.assertNotEqual(status, 0)
        return said

    def test_alerts_are_explained(self) -> None:
        """Each alert has its section in the guide, and the guide has no other."""
        guide = (OPS.parent / "docs" / "deployment" / "monitoring.md").read_text()
        explained = [line.removeprefix("### ") for line in guide.splitlines() if line.startswith("### Copilot")]
        self.assertEqual(sorted(explained), sorted(rule["alert"] for rule in rules("alerts.yml")))


@needs("prometheus", "promtool")
class ScrapeTests(MonitoredTestCase):
    """A real Prometheus and a real node."""

    @in_reactor()
    async def test_a_working_node(self) -> None:
        """Its metrics are in good style, it is scraped with its token, and every recording rule gives something."""
        server = await self.busy_node()
        prometheus = await self.prometheus(server)
        await until(lambda: self._up(prometheus), "the target is up")
        for rule in rules("recording.yml"):
            await until(lambda rule=rule: prometheus.query(rule["record"]), f"{rule['record']} gives something")
        health = {rule["name"]: rule["health"] for group in await self._groups(prometheus) for rule in group["rules"]}
        self.assertEqual(set(health.values()), {"ok"}, health)
        self.assertNotEqual(await prometheus.query('copilot_token_refreshes_total{outcome="refreshed"} > 0'), [])
        page = await fetch(f"http://127.0.0.1:{server.port}/metrics", TOKEN)
        self.assertEqual(promtool("check", "metrics", given=page), (0, ""))

    @in_reactor()
    async def test_refused(self) -> None:
        """A node that refuses Prometheus is an alert, too, and Prometheus says why."""
        server = await self.process(COPILOT_HTTP_TOKEN=TOKEN, SOCKET_ENABLE_METRICS="false").start()
        prometheus = await self.prometheus(server, token="another")

        async def refused() -> bool:
            return "404" in (await prometheus.target())["lastError"]

        await until(refused, "the target is refused")
        await until(lambda: prometheus.query('ALERTS{alertname="CopilotNodeDown"}'), "the alert is on its way")

    @staticmethod
    async def _up(prometheus: Any) -> bool:
        target = await prometheus.target()
        return bool(target["health"] == "up")

    @staticmethod
    async def _groups(prometheus: Any) -> Any:
        return (await prometheus.api("rules"))["groups"]
