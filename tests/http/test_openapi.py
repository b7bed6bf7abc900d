"""The description of the API."""

from typing import Annotated, Any

import attrs
import orjson
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.access import Role
from copilot_socket.http.bodies import JobBody
from copilot_socket.http.checks import timestamp
from copilot_socket.http.endpoints import endpoint_of
from copilot_socket.http.fields import fields_of
from copilot_socket.http.openapi import body_schema
from copilot_socket.store.submission import NewJob
from tests.http.conformity import description, disagreement, table
from tests.http.harness import SiteTestCase

PATH = "/api/v1/openapi.json"


class DescriptionTests(SynchronousTestCase):
    """The document itself."""

    def test_valid(self) -> None:
        """It is an OpenAPI 3.1 document."""
        validate(description())

    def test_routes(self) -> None:
        """Each route is described: what it does, for which role, and which errors it gives."""
        for route in table():
            operation = description()["paths"][route.pattern][route.method.lower()]
            self.assertTrue(operation["summary"].endswith("."), route.pattern)
            self.assertEqual(operation.get("x-role"), None if route.needs is None else str(route.needs))
            self.assertTrue("404" in operation["responses"] or "{" not in route.pattern, route.pattern)
            self.assertEqual({"401", "403"} <= operation["responses"].keys(), route.needs is not None, route.pattern)
            self.assertEqual("415" in operation["responses"], route.method != "GET", route.pattern)
        ids = [each["operationId"] for path in description()["paths"].values() for each in path.values()]
        self.assertEqual(len(set(ids)), len(table()))

    def test_everything_is_described(self) -> None:
        """Every parameter and every field has a description, unless that of its schema says it all."""
        for schema_name, schema in description()["components"]["schemas"].items():
            self.assertIn("description", schema, schema_name)
            for name, each in schema.get("properties", {}).items():
                self.assertTrue("description" in each or "$ref" in each or "anyOf" in each, f"{schema_name}.{name}")
        for path in description()["paths"].values():
            for operation in path.values():
                for parameter in operation["parameters"]:
                    self.assertTrue(parameter["description"], parameter)

    def test_requests_are_closed(self) -> None:
        """What a request must have is required, null stands for what is left out, and there is nothing else."""
        schema = description()["components"]["schemas"]["AccountChange"]
        self.assertEqual((schema["additionalProperties"], schema["required"]), (False, []))
        weight, most = schema["properties"]["weight"], schema["properties"]["max_running"]
        self.assertEqual((weight["type"], weight["default"]), (["integer", "null"], None))
        self.assertEqual((most["type"], "default" in most), (["integer", "null"], False))
        host = description()["components"]["schemas"]["HostBody"]
        self.assertEqual((host["required"], "default" in host["properties"]["max_running"]), (["max_running"], False))

    def test_jobs(self) -> None:
        """Jobs are stored as they are read: rows with the fields of their class."""
        self.assertEqual(fields_of(JobBody).keys(), NewJob.__annotations__.keys())
        required = {name for name, field in fields_of(JobBody).items() if field.required}
        self.assertEqual(required, NewJob.__required_keys__)

    def test_disagreement(self) -> None:
        """The test of answers finds what is missing, too much, of another type, or not described."""
        good = {"id": "c", "mode": "serving"}
        target = "/api/v1/crawlers/c/drain"

        def found(status: int = 200, **fields: Any) -> str | None:
            value = {name: each for name, each in (good | fields).items() if each is not ...}
            return disagreement("POST", target, status, "application/json", value)

        self.assertIsNone(found())
        for fields in ({"id": ...}, {"more": 1}, {"id": 1}, {"mode": "idle"}):
            self.assertIn("CrawlerMode", found(**fields) or "", fields)
        self.assertIn("not described", found(status=201) or "")


@attrs.frozen
class Hidden:
    """A class whose default hides the check of the same name."""

    timestamp: Annotated[str | None, timestamp] = None


class CheckTests(SynchronousTestCase):
    """Classes of requests."""

    def test_hidden_check(self) -> None:
        """An attribute whose default hides its check is refused."""
        self.assertIn("timestamp must have one check", str(self.assertRaises(TypeError, fields_of, Hidden)))

    def test_what_a_schema_excludes(self) -> None:
        """What the schema of a field excludes, its check refuses: types, lengths, bounds, names."""
        bodies = {body for route in table() if (body := endpoint_of(route.handler).body) is not None}
        fields = [field for body in bodies for field in fields_of(body).values()]
        excluded = 0
        for field in fields:
            of = field.check.of
            allowed = Draft202012Validator(dict(field.check.schema) if of is None else body_schema(of))
            for value in (
                None,
                {},
                [],
                True,
                "",
                "\0",
                "ä b",
                "x" * 70_000,
                10**20,
                -(10**20),
                1.5,
                [1],
                ["x"] * 2000,
            ):
                if not allowed.is_valid(value):
                    self.assertRaises(ValueError, field.check, value)
                    excluded += 1
        self.assertGreater(excluded, 8 * len(fields))


class ServedTests(SiteTestCase):
    """The document over HTTP."""

    async def test_served(self) -> None:
        """Whoever may read gets it, the same bytes each time, with every route that there is."""
        answer = await self.get(PATH)
        self.assertEqual((answer.status, answer.header("content-type")), (200, "application/json"))
        self.assertEqual(answer.body, (await self.get(PATH)).body)
        self.assertEqual(orjson.loads(answer.body), description())
        self.assertEqual((await self.get(PATH, headers={"Authorization": None})).status, 401)
        self.assertEqual((await self.get(f"{PATH}?x=1")).status, 422)

    async def test_what_means_nothing(self) -> None:
        """Probes may send any query; the body of a GET means nothing, that of an action without one must be empty."""
        self.assertEqual((await self.get("/health/live?t=1")).status, 200)
        self.assertEqual((await self.get("/api/v1/stats?t=1")).status, 422)
        self.assertEqual((await self.get("/api/v1/stats", data=b"x")).status, 200)
        for body, status in ((b"{}", 409), (b'{"x": 1}', 422), (b"[]", 422)):
            answer = await self.post("/api/v1/queue/resume", data=body, headers={"Content-Type": "application/json"})
            self.assertEqual(answer.status, status, body)
        self.assertEqual((await self.post("/api/v1/queue/resume", data=b"{}")).status, 415)

    async def test_whole_numbers(self) -> None:
        """3.0 is an integer, as in JSON Schema; 3.5 is none."""
        await self.account()
        for number, status in ((3.0, 200), (3.5, 422), (1e300, 422)):
            answer = await self.request("PATCH", "/api/v1/accounts/acme", json={"weight": number})
            self.assertEqual(answer.status, status, number)
        self.assertEqual(self.query("SELECT weight FROM accounts"), [(3,)])

    async def test_limited(self) -> None:
        """A limited token may read it, too: it holds nothing of anybody."""
        made = await self.post("/api/v1/tokens", {"name": "web", "role": str(Role.APP), "accounts": ["acme"]})
        headers = {"Authorization": f"Bearer {made.document['token']}"}
        self.assertEqual((await self.get(PATH, headers=headers)).status, 200)
