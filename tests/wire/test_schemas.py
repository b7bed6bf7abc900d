"""The schemas: sound, bounded, and field by field like the classes."""

import json
import tracemalloc

import attrs
import jsonschema_rs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core import replies
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.messages import ELEMENTS, INCOMING, wire_name
from copilot_socket.wire.schemas import bounds, load, of_element, of_type
from tests.wire.examples import RESUME, Json, full, minimal, places, with_data

JOB = replies.Job("J.1.x", "issue", "42", "https://gitlab", "t", "issues", 1, RESUME, "a/b", "project", "main")
SENT: list[replies.Reply] = [
    replies.Welcome("c1", "1", 10_000, 1 << 20, 2),
    replies.JobResponse((JOB,)),
    replies.TokenRefreshResponse("J.1.x", "t", "2026-01-01T00:00:00Z", True),
    replies.Ack("job_started", "m-1", "J.1.x"),
    replies.Error(ErrorCode.INVALID_MESSAGE, "no", "/data", "m-1", "J.1.x"),
    replies.JobCancel("J.1.x", "requested"),
    replies.JobPause("J.1.x", "requested"),
    replies.JobResume("J.1.x", "requested"),
    replies.Shutdown("node", True, 8.0, "stopping"),
]
NOT_KEPT = {"items"}
"""Fields of which nothing is made."""
OUTGOING = {reply.wire()[0]: reply for reply in SENT}

_SCHEMAS = {type_: of_type(type_) for type_ in (*INCOMING, *OUTGOING)}


def sent(reply: replies.Reply) -> Json:
    """*reply* with its envelope."""
    type_, job_id, data = reply.wire()
    message = {"type": type_, "timestamp": "t", "data": data}
    return message if job_id is None else {**message, "jobId": job_id}


class FileTests(SynchronousTestCase):
    """The files."""

    def test_one_file_a_type(self) -> None:
        """Each type of both directions has its file, and no file is without a type."""
        self.assertEqual(set(load()), {*INCOMING, *OUTGOING, "defs"})

    def test_sound(self) -> None:
        """Each is a valid JSON Schema 2020-12 that says what it is for, under its own name."""
        for name, schema in load().items():
            jsonschema_rs.meta.validate(schema)
            self.assertEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
            self.assertEqual(schema["$id"], f"https://copilot-socket.invalid/schemas/{name}.json")
            self.assertTrue(schema["title"] and schema["description"])

    def test_type_is_fixed(self) -> None:
        """A schema accepts its own type only."""
        for type_ in INCOMING:
            self.assertTrue(_SCHEMAS[type_].accepts(minimal(type_)))
            self.assertFalse(_SCHEMAS[type_].accepts({**minimal(type_), "type": "other"}))

    def test_unknown_fields_are_allowed(self) -> None:
        """No schema closes an object."""
        for name, schema in load().items():
            self.assertNotIn('"additionalProperties": false', json.dumps(schema), name)

    def test_job_id_is_required_where_there_is_a_job(self) -> None:
        """Reports and what answers them name the assignment."""
        named = {name for name, schema in load().items() if "jobId" in schema.get("required", ())}
        without = {
            "hello",
            "heartbeat",
            "job_request",
            "discovery",
            "rate_limit",
            "welcome",
            "job_response",
            "ack",
            "error",
            "shutdown",
        }
        self.assertEqual(named, {*INCOMING, *OUTGOING} - without)

    def test_error_codes(self) -> None:
        """The codes of the schema are those of the server."""
        codes = load()["error"]["properties"]["data"]["properties"]["code"]["enum"]
        self.assertEqual(codes, [str(code) for code in ErrorCode])


class BoundTests(SynchronousTestCase):
    """Everything that is kept has a bound."""

    def _assert_bounded(self, schema: Json, where: str) -> None:
        if "$ref" in schema:
            schema = load()["defs"]["$defs"][schema["$ref"].rpartition("/")[2]]
        types = schema.get("type", ["enum"] if {"enum", "const"} & set(schema) else ["object", "array", "string"])
        types = {types} if isinstance(types, str) else set(types)
        if "x-maxBytes" in schema:
            return
        self.assertNotIn("object", types, where)
        if "string" in types:
            self.assertIn("maxLength", schema, where)
        if "array" in types and "items" in schema and where.rpartition("/")[2] not in ELEMENTS.values():
            self.assertIn("maxItems", schema, where)
            self._assert_bounded(schema["items"], f"{where}/0")

    def test_every_field(self) -> None:
        """A string has a length, a list a number of elements, and a free object a number of bytes."""
        for type_ in INCOMING:
            for name, schema in load()[type_]["properties"].items():
                fields = schema["properties"].items() if name == "data" else [(name, schema)]
                for field, inner in fields:
                    self._assert_bounded(inner, f"{type_}/{field}")
        for name in ("discoveredJob", "entity"):
            for field, schema in load()["defs"]["$defs"][name]["properties"].items():
                self._assert_bounded(schema, f"{name}/{field}")

    def test_the_numbers(self) -> None:
        """Those of the protocol."""
        sizes = {
            (type_, name): bound.size
            for type_ in INCOMING
            for name, bound in bounds(type_).items()
            if bound is not None and bound.size is not None
        }
        expected = {
            ("heartbeat", "memoryUsage"): 262_144,
            ("job_progress", "resumeState"): 65_536,
            ("job_progress", "itemCounts"): 262_144,
            ("job_completed", "finalCounts"): 262_144,
            ("job_failed", "resumeState"): 65_536,
            ("job_failed", "partialCounts"): 262_144,
            ("job_failed", "context"): 262_144,
            ("job_released", "resumeState"): 65_536,
            ("jobs_discovered", "discovery_summary"): 262_144,
        }
        self.assertEqual(sizes, expected)


class ExplanationTests(SynchronousTestCase):
    """explain()."""

    def test_names_that_look_like_an_index(self) -> None:
        """A field may be called anything, digits too."""
        for name in ("0", "7", "007", "-1", "1.5", "a/b~c", "\u0663", "9" * 30):
            path, text = _SCHEMAS["job_completed"].explain(
                with_data("job_completed", finalCounts={"1": 1, name: "x"})
            )
            self.assertEqual(path, "/data/finalCounts/" + name.replace("~", "~0").replace("/", "~1"))
            self.assertEqual(text, '"x" must be of type number')

    def test_of_an_element(self) -> None:
        """The pointer begins in the element."""
        schema = of_element("jobs_discovered")
        self.assertEqual(schema.explain({"job_type": 5})[0], "")
        self.assertEqual(schema.explain(None), ("", "null must be of type object"))

    def test_first_of_very_many(self) -> None:
        """Of many faults one is reported; the others cost nothing."""

        def room(number: int) -> int:
            message = with_data("hello", assignments=[1] * number)
            tracemalloc.start()
            self.assertEqual(_SCHEMAS["hello"].explain(message)[0], "/data/assignments/0")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

        room(10)
        self.assertLess(room(10_000), 2 * room(10))


class FieldTests(SynchronousTestCase):
    """Classes and schemas match field by field."""

    def _assert_alike(self, cls: type, schema: Json) -> None:
        fields = {wire_name(cls, field.name): field for field in attrs.fields(cls)}
        self.assertEqual(set(fields), set(schema["properties"]) - NOT_KEPT, cls.__name__)
        needed = {name for name, field in fields.items() if field.default is attrs.NOTHING}
        self.assertEqual(needed, set(schema.get("required", ())), cls.__name__)
        defaults = {field.default for name, field in fields.items() if name not in needed}
        self.assertLessEqual(defaults, {None}, cls.__name__)

    def test_incoming(self) -> None:
        """What crawlers say: the same names, and the same ones optional."""
        for type_, cls in INCOMING.items():
            self._assert_alike(cls, load()[type_]["properties"]["data"])

    def test_optional_means_null_too(self) -> None:
        """Where a field may be left out it may be null, in both directions; where it may not, it must not."""
        for type_ in (*INCOMING, *OUTGOING):
            whole = full(type_) if type_ in INCOMING else sent(OUTGOING[type_])
            schema = load()[type_]["properties"]["data"]
            for name in schema["properties"]:
                message = {**whole, "data": {**whole["data"], name: None}}
                optional = name not in schema.get("required", ())
                self.assertEqual(_SCHEMAS[type_].accepts(message), optional, (type_, name))
        for name in load()["defs"]["$defs"]["job"]["properties"]:
            message = sent(replies.JobResponse((JOB,)))
            message["data"]["jobs"][0][name] = None
            required = load()["defs"]["$defs"]["job"]["required"]
            self.assertEqual(_SCHEMAS["job_response"].accepts(message), name not in required, name)

    def test_outgoing(self) -> None:
        """What the server says: a full reply is valid and has each field of its schema, and no other."""
        for type_, reply in OUTGOING.items():
            message = sent(reply)
            self.assertTrue(_SCHEMAS[type_].accepts(message), message)
            self.assertEqual(set(message["data"]), set(load()[type_]["properties"]["data"]["properties"]), type_)
        job = sent(OUTGOING["job_response"])["data"]["jobs"][0]
        self.assertEqual(set(job), set(load()["defs"]["$defs"]["job"]["properties"]))

    def test_nothing_is_sent_as_null(self) -> None:
        """Fields without a value are left out, and what is left is valid."""
        bare: list[replies.Reply] = [
            replies.JobResponse((replies.Job("J.1.x", "issue", "42", "u", "t", "issues", 1),)),
            replies.JobResponse(),
            replies.Ack("heartbeat", "t"),
            replies.Error(ErrorCode.INTERNAL, "no"),
            replies.JobCancel("J.1.x"),
            replies.Shutdown("crawler", False, 0),
        ]
        for reply in bare:
            message = sent(reply)
            self.assertTrue(_SCHEMAS[message["type"]].accepts(message), message)
            self.assertNotIn(None, [container[key] for container, key in places(message)])
