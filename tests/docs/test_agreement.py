"""docs/ agree with the code: links, tables, fields, routes, files."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from copilot_socket import client, gauges, memory, testing
from copilot_socket.config import load
from copilot_socket.core.acts import HTTP, REASONS
from copilot_socket.core.ends import SPENDING, Cause
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.inference import infer
from copilot_socket.core.jobs import (
    AREA_TYPES,
    ENTITY_TYPES,
    PLAIN_ENTITY_TYPES,
    SPAWNS,
    Event,
    Status,
)
from copilot_socket.core.messages import INCOMING
from copilot_socket.core.readiness import Unready
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.transitions import Job, Transition, decide
from copilot_socket.http import (
    channel,
    checks,
    documents,
    feed,
    job_handlers,
    messages,
    reference,
    requests,
    shared_answers,
    shares,
    site,
)
from copilot_socket.http.dashboard import PAGES
from copilot_socket.http.table import Parts, routes
from copilot_socket.metrics import Metrics
from copilot_socket.store import catalog, listing, submission
from copilot_socket.store.database import PoolUse
from copilot_socket.store.job_filters import CONDITIONS
from copilot_socket.store.job_lists import Order
from copilot_socket.wire.limits import MAX_REFUSED
from tests.cli import test_audit as test_commands
from tests.http import test_audit
from tests.store.test_job_lists import FAST

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = Path(copilot_socket.__file__).parent
REFUSED = "\u2013"
MIB = 1024 * 1024


def _text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _section(text: str, title: str) -> str:
    """What stands under the heading *title*, up to the next heading of its level or a higher one."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start is not None, f"there is no section {title}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def _rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """The names of an object's properties."""
    yield from schema.get("properties", {})


class LinkTests(SynchronousTestCase):
    """Links lead somewhere."""

    def test_links(self) -> None:
        """Every relative link of README.md and docs/ names a file that exists, and a heading that it has."""
        for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
            for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                self.assertTrue(file.exists(), f"{page.name}: {target}")
                if anchor:
                    headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
                    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
                    self.assertIn(anchor, anchors, f"{page.name}: {target}")


class MemoryTests(SynchronousTestCase):
    """The section "Memory" of docs/configuration.md."""

    def test_tls(self) -> None:
        """What a connection over TLS takes more, and those that are not admitted."""
        listens = ("", "tcp:1", "ssl:1:certKey=/c")
        given = [{"COPILOT_LISTEN": listen, "COPILOT_CRAWLER_TOKEN": "t"} for listen in listens]
        unix, tcp, tls = (memory.parts(load(each, {}, {}, uid=1000))["connections"] for each in given)
        connection = (tls - tcp) // (100 + MAX_REFUSED)
        self.assertIn(f"over TLS has {connection // 1024} KiB more", _section(_text("configuration.md"), "Memory"))
        self.assertGreater(tcp - unix, MAX_REFUSED * 64 * 1024)

    def test_table(self) -> None:
        """Each part, in MiB, is what the code calculates for both environments' defaults, and so is the sum."""
        rows = list(_rows(_section(_text("configuration.md"), "Memory")))
        shown = {row[0]: (int(row[2]), int(row[3])) for row in rows[1:]}
        configs = [load({"COPILOT_ENV": name}, {}, {}, uid=1000) for name in rows[0][2:]]
        development, production = ({**memory.parts(each), "total": memory.most(each)} for each in configs)
        expected = {part: (development[part], production[part]) for part in development}
        rounded = {part: tuple(round(size / memory.MIB) for size in sizes) for part, sizes in expected.items()}
        self.assertEqual(shown, rounded)

    def test_prerequisites(self) -> None:
        """The guide names the same sums."""
        sums = [memory.most(load({"COPILOT_ENV": name}, {}, {}, uid=1000)) for name in ("development", "production")]
        text = "[{} MiB with development's defaults, {} MiB with production's]"
        self.assertIn(text.format(*(round(each / memory.MIB) for each in sums)), _text("deployment.md"))


class ProtocolTests(SynchronousTestCase):
    """docs/protocol.md."""

    def setUp(self) -> None:
        self.text = _text("protocol.md")

    def test_life_of_a_job(self) -> None:
        """Each cell of events and states says what the state machine decides."""
        rows = [row for row in _rows(_section(self.text, "The life of a job")) if len(row) == 1 + len(Status)]
        states = [Status(name) for name in rows[0][1:]]
        self.assertEqual([row[0] for row in rows[1:]], sorted((str(event) for event in Event), key=_order(rows)))
        for row in rows[1:]:
            for state, cell in zip(states, row[1:], strict=True):
                answer = decide(Job(state), Event(row[0]), RetryPolicy(), 0.5)
                expected = str(answer.status) if isinstance(answer, Transition) else REFUSED
                self.assertEqual(cell.split(" ")[0], expected, f"{row[0]}, {state}")

    def test_edges(self) -> None:
        """Every edge of the diagram is in the table of states under the same letter, and the other way round."""
        section = _section(self.text, "The life of a job")
        drawn = {
            (before, after, letter)
            for before, after, label in re.findall(r"^ +(\w+) --> (\w+): (.+)$", section, re.MULTILINE)
            for letter in re.findall(r"\b([A-Z])\b", label)
        }
        rows = [row for row in _rows(section) if len(row) == 1 + len(Status)]
        said = {
            (before, match[1], match[2])
            for row in rows[1:]
            for before, cell in zip(rows[0][1:], row[1:], strict=True)
            if (match := re.fullmatch(r"(\w+) \(([A-Z])\)", cell)) is not None
        }
        self.assertEqual(drawn - {edge for edge in drawn if edge[2] == "G"}, said - {e for e in said if e[2] == "G"})
        self.assertEqual({edge[:2] for edge in drawn if edge[2] == "G"}, {e[:2] for e in said if e[2] == "G"})
        explained = {row[0] for row in _rows(section) if len(row) == 2 and re.fullmatch("[A-Z]", row[0])}
        self.assertEqual(explained, {edge[2] for edge in drawn})

    def test_messages_from_crawlers(self) -> None:
        """Each message has a section that names each of its fields, and marks just those that may be left out."""
        for type_ in INCOMING:
            section = _section(self.text, f"`{type_}`")
            schema = json.loads((ROOT / "schemas" / f"{type_}.json").read_text("utf-8"))
            data = schema["properties"]["data"]
            rows = {row[0]: row for row in _rows(section)}
            for name in _fields(data):
                shown = f"`{name}`" if name in data.get("required", ()) else f"`{name}`?"
                self.assertIn(shown, rows, type_)
            self.assertEqual("data` may be left out" in section, "data" not in schema["required"], type_)
            if "jobId" in schema["required"]:
                self.assertIn("With `jobId`.", section)

    def test_messages_to_crawlers(self) -> None:
        """Each message of the server is documented, with each of its fields."""
        section = _section(self.text, "From server to crawler")
        outgoing = {path.stem for path in (ROOT / "schemas").glob("*.json")} - {"defs", *INCOMING}
        for type_ in outgoing:
            self.assertIn(f"`{type_}`", section)
            schema = json.loads((ROOT / "schemas" / f"{type_}.json").read_text("utf-8"))
            for name in _fields(schema["properties"]["data"]):
                self.assertIn(f"`{name}`", section, type_)
        defs = json.loads((ROOT / "schemas" / "defs.json").read_text("utf-8"))["$defs"]
        rows = {row[0] for row in _rows(section)}
        for name in _fields(defs["job"]):
            self.assertIn(f"`{name}`" if name in {*defs["job"]["required"], "command", "try"} else f"`{name}`?", rows)

    def test_errors(self) -> None:
        """Every code is documented, and no other."""
        codes = [row[0].strip("`") for row in _rows(_section(self.text, "Errors"))][1:]
        self.assertEqual(codes, [str(code) for code in ErrorCode])

    def test_entity_types(self) -> None:
        """The table of commands, the plain list, and what discovery spawns."""
        section = _section(self.text, "Getting work")
        pairs = [(row[at], row[at + 1]) for row in _rows(section) for at in (0, 3) if row[at] not in ("command", "")]
        self.assertEqual({a.strip("`"): b.strip("`") for a, b in pairs}, dict(ENTITY_TYPES))
        plain = section.split("for plain crawlers:")[1].split("Jobs that")[0]
        self.assertEqual(tuple(re.findall(r"`(\w+)`", plain)), PLAIN_ENTITY_TYPES)
        spawns = {}
        for kinds, commands in list(_rows(_section(self.text, "Discovery")))[1:]:
            for kind in re.findall(r"`(\w+)`", kinds):
                spawns[kind] = tuple(re.findall(r"`(\w+)`", commands))
        self.assertEqual(spawns, dict(SPAWNS))
        self.assertEqual(set(AREA_TYPES), {"crawl_group", "crawl_project", "group", "project"})


class CauseTests(SynchronousTestCase):
    """docs/protocol.md, "Causes"."""

    text = _text("protocol.md")

    def test_all(self) -> None:
        """Every cause has its row, with whether it spends an attempt."""
        rows = [row for row in _rows(_section(self.text, "Causes")) if len(row) == 3][1:]
        spends = {Cause(name): row[2] == "yes" for row in rows for name in re.findall(r"`(\w+)`", row[0])}
        self.assertEqual(spends, {cause: cause in SPENDING for cause in Cause})

    def test_inferred(self) -> None:
        """Each example has the cause that is written beside it."""
        rows = [row for row in _rows(_section(self.text, "Causes")) if len(row) == 2][1:]
        self.assertGreater(len(rows), 20)
        for reported, cause in rows:
            data = json.loads(reported.strip("`"))
            self.assertEqual(infer(data["error"], data.get("errorType"), data.get("context")).cause, cause.strip("`"))


class HttpTests(SynchronousTestCase):
    """docs/http.md."""

    def test_routes(self) -> None:
        """Every endpoint is documented, and no other."""
        parts = cast(Parts, _Anything())
        there = {f"{route.method} {route.pattern}" for route in routes(parts)}
        self.assertEqual(set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", _text("http.md"))), there)

    def test_pages(self) -> None:
        """So is every page of the dashboard."""
        [row] = re.findall(r"(?m)^\| (`/`, .*?) \|", _text("http.md"))
        self.assertEqual(tuple(re.findall(r"`([^`]+)`", row)), PAGES)

    def test_reference(self) -> None:
        """docs/api.md is what the code makes (``python -m copilot_socket.http.reference >docs/api.md``)."""
        self.assertEqual(_text("api.md"), reference.page(reference.table()))

    def test_limits(self) -> None:
        """The limits are those of the code."""
        text = _section(_text("http.md"), "Limits")
        for number, unit in (
            (requests.MAX_BODY / MIB, "MiB"),
            (submission.MAX_JOBS, "jobs"),
            (documents.MAX_VALUE, "characters"),
            (checks.MAX_STATE, "bytes"),
            (checks.MAX_LEVELS, "levels"),
            (shares.MAX_BODIES / MIB, "MiB"),
            (shares.MAX_ANSWERS / MIB, "MiB"),
            (shared_answers.MAX_SHARED / MIB, "MiB"),
            (shares.UNCOUNTED / 1024, "KiB"),
            (job_handlers.LARGE_SUBMISSIONS, "|"),
            (requests.SMALL_CHUNK, "bytes"),
            (listing.PAGE_BYTES / MIB, "MiB"),
            (channel.MAX_CONNECTIONS, ","),
            (feed.MAX_STREAMS, "of them"),
            (channel.REQUEST_TIMEOUT, "s"),
            (requests.ANSWER_TIMEOUT, "s"),
            (channel.Channel.totalHeadersSize / 1024, "KiB"),
            (channel.Channel.maxHeaders, "headers"),
            (site.MAX_PARAMETERS, "query parameters"),
        ):
            self.assertIn(f" {number:,.0f}{'' if unit == ',' else ' '}{unit}", text)
        self.assertIn(f"first {messages.MAX_FAULTS}", _text("http.md"))
        self.assertIn(f"latest {catalog.LATEST}", _text("http.md"))

    def test_finding_jobs(self) -> None:
        """Every filter is documented; those that are said to be fast are the ones whose plans are tested."""
        section = _text("http.md").split("\n### Finding jobs\n")[1].split("\n### ")[0]
        rows = list(_rows(section))
        at = rows.index(["filters", "order"])
        named = {name for row in rows[:at] for name in re.findall(r"`(\w+)`", row[0])}
        self.assertEqual(named, CONDITIONS.keys() - {"ids"})
        promised = set()
        for row in rows[at + 1 :]:
            orders = re.findall(r"`(\w+)`", row[1]) or list(map(str, Order))
            promised |= {(frozenset(re.findall(r"`(\w+)`", row[0])), order) for order in orders}
        self.assertEqual(promised, {(frozenset(found), str(order)) for found, order in FAST.values()})

    def test_metrics(self) -> None:
        """Every metric is documented under its scraped name."""
        text = _text("http.md")
        registry = CollectorRegistry()
        Metrics(registry)
        gauges.register(cast(gauges.Live, _Idle()), registry)
        endings = {"counter": "_total", "info": "_info"}
        for family in registry.collect():
            if not family.name.startswith("process_"):
                self.assertIn(f"`{family.name}{endings.get(family.type, '')}", text)

    def test_causes(self) -> None:
        """Every cause of a node that is not ready is documented, with its sentence."""
        rows = list(_rows(_section(_text("http.md"), "Causes")))[1:]
        shown = {row[0].strip("`"): row[1] for row in rows}
        self.assertEqual(shown, {cause.label: cause.sentence for cause in Unready})


class AuditLogTests(SynchronousTestCase):
    """The section "Audit log" of docs/http.md."""

    def setUp(self) -> None:
        text = re.sub(r"^```.*?^```", "", _text("http.md"), flags=re.MULTILINE | re.DOTALL)
        self.rows = list(_rows(_section(text, "Audit log")))

    def test_reasons(self) -> None:
        """Every reason to refuse somebody is documented once, at its door, and no other."""
        rows = [row for row in self.rows if row[0].strip("`") in REASONS]
        found = [(row[0].strip("`"), reason) for row in rows for reason in re.findall(r"`(\w+)`", row[1])]
        self.assertCountEqual(found, [(door, reason) for door, reasons in REASONS.items() for reason in reasons])

    def test_actions(self) -> None:
        """Every action that is recorded is documented once, and no other."""
        begin, end = ([row[0] for row in self.rows].index(heading) for heading in ("action", "door"))
        found = [action for row in self.rows[begin:end] for action in re.findall(r"`([\w.]+)`", row[0])]
        made = {row[0] for step in test_audit.STEPS for row in step.rows} | set(test_audit.ELSEWHERE.values())
        made |= {row[0] for _, rows in test_commands.COMMAND_LINES for row in rows}
        made |= {"migrate", "cleanup", "operation.end"}
        self.assertCountEqual(found, made)

    def test_reasons_of_the_gate(self) -> None:
        """Each reason of the HTTP port is one that the gate gives, and it gives no other."""
        given = re.findall(r'_refuse\(head, visitor, \w+, "(\w+)"', (PACKAGE / "http/gate.py").read_text("utf-8"))
        self.assertEqual(set(given), set(REASONS[HTTP]))


REPORTS = ["rate_limit", "refresh_token", "complete", "fail", "release"]
"""What a job calls of its crawler."""


class ClientTests(SynchronousTestCase):
    """docs/client.md."""

    def test_signatures(self) -> None:
        """What the tables of a class say of its methods, and their parameters, is so."""
        classes: list[tuple[str, type, list[str]]] = [
            ("Job", client.Job, ["read", "interrupt"]),
            ("The plain client", client.Crawler, ["report", "left", *REPORTS]),
            ("Testing", testing.Server, ["do", "start", "stop"]),
        ]
        text = (DOCS / "client.md").read_text("utf-8")
        for heading, class_, others in classes:
            section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
            rows = re.findall(rf"^\| `(?:{class_.__name__}|(\w+))\((.*?)\)`(?= \|)", section, re.MULTILINE)
            for name, written in rows:
                parameters = list(inspect.signature(getattr(class_, name or "__init__")).parameters.values())[1:]
                names = re.findall(r"(?:^|, )\*?(\w+)", written.replace("*, ", ""))
                self.assertEqual(names, [each.name for each in parameters], f"{class_.__name__}.{name}")
            named = {name for name, member in inspect.getmembers(class_, inspect.isfunction) if name[0] != "_"}
            found = {name for name in named if f"`{name}(" in section}
            self.assertEqual(named - found - set(others), set(), class_.__name__)


ABOUT_THE_CODE = [DOCS / name for name in ("architecture.md", "development.md", "glossary.md")]


class ArchitectureTests(SynchronousTestCase):
    """docs/architecture.md and the records beside it."""

    def test_files_exist(self) -> None:
        """Every file that these pages name in backquotes is there."""
        folders = (ROOT, PACKAGE, *(PACKAGE / part for part in ("handlers", "store", "core")))
        for page in [*ABOUT_THE_CODE, *(DOCS / "adr").glob("*.md")]:
            for name in re.findall(r"`([\w/]+(?:\.(?:py|sql|md|json)|/))`", page.read_text("utf-8")):
                self.assertTrue(any((folder / name).exists() for folder in folders), f"{page.name}: {name}")

    def test_members_exist(self) -> None:
        """So is every member of a class of ours, in the module of its class."""
        modules = [path.read_text("utf-8") for path in PACKAGE.rglob("*.py")]
        members = {
            each
            for page in ABOUT_THE_CODE
            for each in re.findall(r"`([A-Z]\w+)\.([a-z]\w+)`", page.read_text("utf-8"))
        }
        self.assertIn(("TurnBatcher", "slowly"), members)
        for class_, member in members:
            theirs = [text for text in modules if f"class {class_}" in text]
            if theirs:
                self.assertTrue(any(re.search(rf"\b{member}\b", text) for text in theirs), f"{class_}.{member}")


class _Idle:
    """An idle node."""

    crawlers: Mapping[str, int] = {}
    pauses: Mapping[str, int] = {}
    pool = PoolUse(1, 0, 0)

    def __getattr__(self, name: str) -> int:
        return 0


class _Anything:
    """Stands for any part; none is used to make the table of routes."""

    def __getattr__(self, name: str) -> Any:
        return None


def _order(rows: list[list[str]]) -> Any:
    """The order in which the page lists events."""
    return [row[0] for row in rows].index
