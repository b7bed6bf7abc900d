"""ops/grafana: a dashboard that Grafana can import, each of whose queries finds data in a real Prometheus."""

import json
import re
from collections import Counter
from itertools import combinations
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from ops.tests.prometheus import MonitoredTestCase
from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until

FILES = OPS / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboards" / "copilot-socket.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {item["name"] for item in DASHBOARD["templating"]["list"]}
VALUES = {"job": "copilot-socket", "instance": ".+", "__rate_interval": "1m"}
"""What Grafana would put in place of the variables that stand in queries."""


def substituted(expression: str) -> str:
    """*expression* as Grafana sends it."""
    return re.sub(r"\$(\w+)", lambda found: VALUES[found[1]], expression)


class FileTests(SynchronousTestCase):
    """The files as Grafana reads them."""

    def test_dashboard(self) -> None:
        """It has a name of its own, and panels that are told apart and do not lie on each other."""
        self.assertEqual((DASHBOARD["uid"], DASHBOARD["title"]), ("copilot-socket", "copilot-socket"))
        self.assertNotIn("id", DASHBOARD)  # a database's own number: importing would fail
        for name in ("id", "title"):
            self.assertEqual([key for key, count in Counter(p[name] for p in PANELS).items() if count > 1], [])
        for one, other in combinations(PANELS, 2):
            self.assertFalse(_overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"]))
        for panel in PANELS:
            self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)
            self.assertTrue(panel["type"] == "row" or (panel["targets"] and panel["description"]), panel["title"])

    def test_variables(self) -> None:
        """Each variable that is used is declared, and the data source is one of them."""
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
        self.assertEqual(used, VARIABLES)
        sources = [p["datasource"]["uid"] for p in PANELS if "datasource" in p]
        self.assertEqual(set(sources), {"${datasource}"})

    def test_provisioning(self) -> None:
        """The files of provisioning name a Prometheus and a directory of dashboards."""
        source = yaml.safe_load((FILES / "provisioning/datasources/prometheus.yml").read_text())
        provider = yaml.safe_load((FILES / "provisioning/dashboards/copilot-socket.yml").read_text())
        self.assertEqual((source["apiVersion"], provider["apiVersion"]), (1, 1))
        self.assertEqual([item["type"] for item in source["datasources"]], ["prometheus"])
        self.assertEqual([item["type"] for item in provider["providers"]], ["file"])


@needs("prometheus")
class QueryTests(MonitoredTestCase):
    """Every query, asked."""

    @in_reactor()
    async def test_each_query_gives_data(self) -> None:
        """With a working node behind it no panel is empty, and each variable has values."""
        prometheus = await self.prometheus(await self.busy_node())
        for panel in PANELS:
            for target in panel.get("targets", ()):
                question = substituted(target["expr"])
                await until(lambda question=question: prometheus.query(question), f"{panel['title']}: {question}")
        for item in DASHBOARD["templating"]["list"]:
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", item.get("definition", ""))
            if found is not None:
                series = await prometheus.query(substituted(found[1]))
                self.assertTrue(all(found[2] in one["metric"] for one in series) and series, item["name"])
        for annotation in DASHBOARD["annotations"]["list"]:
            await prometheus.query(substituted(annotation["expr"]))


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))
