"""The dashboard in Chromium, as a node serves it: it runs under its own policy, and so do its libraries."""

from typing import Any

from twisted.internet.threads import deferToThread

from ops.tests.pages import chromium_page, in_chromium, wait_for
from tests.support.crawler import in_reactor
from tests.support.server import NodeTestCase

CHART = """async () => {
  const { default: uPlot } = await import("/dashboard/vendor/uplot.js");
  const { useState } = await import("/dashboard/vendor/hooks.js");
  const { h, render } = await import("/dashboard/vendor/preact.js");
  const { default: htm } = await import("/dashboard/vendor/htm.js");
  const place = document.createElement("div");
  document.body.append(place);
  const Count = () => {
    const [count, setCount] = useState(1);
    const click = () => setCount(count + 1);
    return htm.bind(h)`<button id="count" style=${{ color: "red" }} onClick=${click}>${count}</button>`;
  };
  render(h(Count, null), place);
  document.querySelector("#count").click();
  await new Promise((next) => setTimeout(next, 50));
  const series = [{}, { label: "jobs", stroke: "blue" }];
  const chart = new uPlot({ width: 300, height: 200, series }, [[1, 2, 3], [4, 5, 6]], place);
  await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
  const found = { count: document.querySelector("#count").textContent, width: chart.root.offsetWidth };
  chart.destroy();
  return found;
}"""


def _visit(url: str) -> dict[str, Any]:
    """What is seen at *url*, and which answers were no success."""
    answers = []
    with chromium_page() as page:
        page.on("response", lambda response: answers.append((response.status, response.url.removeprefix(url))))
        page.goto(f"{url}/jobs/1?x")
        text = wait_for(page, lambda: page.evaluate("document.body.innerText"))
        chart = page.evaluate(CHART)
        return {"text": text, "chart": chart, "answers": answers, "faults": page.evaluate("window.faults")}


@in_chromium
class DashboardTests(NodeTestCase):
    """A visit without a token."""

    @in_reactor()
    async def test_visit(self) -> None:
        """The page shows something; its modules load, charts and components break no rule of its policy."""
        node = await self.node()
        seen = await deferToThread(_visit, f"http://127.0.0.1:{node.port}")
        self.assertEqual(seen["faults"], [])
        self.assertEqual(seen["chart"], {"count": "2", "width": 300})
        self.assertFalse(seen["text"].startswith("{"), seen["text"])  # a problem
        files = [(status, path) for status, path in seen["answers"] if not path.startswith("/api/")]
        self.assertIn((200, "/dashboard/vendor/preact.js"), files)
        self.assertEqual([each for each in files if each[0] != 200 and each[1] != "/favicon.ico"], [])
