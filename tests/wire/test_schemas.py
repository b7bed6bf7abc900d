"""The schemas: sound, alike to both validators, and field by field like the classes."""

import copy
import json
from typing import Any

import attrs
import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core import replies
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.messages import INCOMING, DiscoveredJob, Entity, wire_name
from copilot_socket.wire.explaining import explaining
from copilot_socket.wire.schemas import deciding, load
from tests.wire.examples import RESUME, Json, full, minimal

JOB = replies.Job("J.1.x", "issue", "42", "https://gitlab", "t", "issues", 1, RESUME, "a/b", "project", "main")
SENT: list[replies.Reply] = [
    replies.Welcome("c1", "1", 10_000, 1 << 20, 2),
    replies.JobResponse((JOB,)),
    replies.TokenRefreshResponse("J.1.x", "t", "2026-01-01T00:00:00Z", True),
    replies.Ack("job_started", "m-1", "J.1.x"),
    replies.Error(ErrorCode.INVALID_MESSAGE, "no", "/data", "m-1", "J.1.x"),
    replies.JobCancel("J.1.x", "asked to"),
    replies.JobPause("J.1.x", "asked to"),
    replies.JobResume("J.1.x", "asked to"),
    replies.Shutdown("node", True, 8.0, "stopping"),
]
OUTGOING = {reply.wire()[0]: reply for reply in SENT}

_DECIDING = {type_: deciding(type_) for type_ in (*INCOMING, *OUTGOING)}
_EXPLAINING = {type_: explaining(type_) for type_ in (*INCOMING, *OUTGOING)}

_NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 5.0, 5.5, 1e300, -0.0, 2**53, 2**53 + 1, -(2**53) - 1, 2**31, 10_001,
    "", "x", "é\n", "\x00", "a\x00b", "x" * 65, "x" * 129, "x" * 256, "é" * 1025, "x" * 2049, "x" * 65_537,
    [], [None], ["x"], [""], [1], {}, {"a": 1}, {"a": "x"}, {"a": None}, {"currentPage": "x"},
    "idle", "fetching", "node",
]  # fmt: skip


def sent(reply: replies.Reply) -> Json:
    """*reply* with its envelope."""
    type_, job_id, data = reply.wire()
    message = {"type": type_, "timestamp": "t", "data": data}
    return message if job_id is None else {**message, "jobId": job_id}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in *value*: container and key."""
    found: list[tuple[Any, Any]] = []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        found += [(value, key), *places(inner)]
    return found


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Json]:
    """A valid message, spoilt (or not) in up to three places."""
    type_ = draw(st.sampled_from([*INCOMING, *OUTGOING]))
    if type_ in OUTGOING:
        message = copy.deepcopy(sent(OUTGOING[type_]))
    else:
        message = copy.deepcopy(draw(st.sampled_from([minimal(type_), full(type_)])))
    for _ in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(places(message) or [(message, "type")]))
        if draw(st.booleans()):
            container[key] = copy.deepcopy(draw(st.sampled_from(_NASTY)))
        else:
            container.pop(key, None) if isinstance(container, dict) else container.pop(key)
    return type_, message


class FileTests(SynchronousTestCase):
    """The files."""

    def test_one_file_a_type(self) -> None:
        """Each type of both directions has its file, and no file is without a type."""
        self.assertEqual(set(load()), {*INCOMING, *OUTGOING, "defs"})

    def test_sound(self) -> None:
        """Each is a valid JSON Schema 2020-12 that says what it is for, under its own name."""
        for name, schema in load().items():
            Draft202012Validator.check_schema(schema)
            jsonschema_rs.meta.validate(schema)
            self.assertEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
            self.assertEqual(schema["$id"], f"https://copilot-socket.invalid/schemas/{name}.json")
            self.assertTrue(schema["title"] and schema["description"])

    def test_type_is_fixed(self) -> None:
        """A schema accepts its own type only."""
        for type_ in INCOMING:
            self.assertTrue(_DECIDING[type_].is_valid(minimal(type_)))
            self.assertFalse(_DECIDING[type_].is_valid({**minimal(type_), "type": "other"}))

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


class AgreementTests(SynchronousTestCase):
    """jsonschema-rs decides, jsonschema explains: they must be of one mind."""

    @given(mutated())
    @settings(deadline=None, max_examples=500)
    def test_both_say_the_same(self, case: tuple[str, Json]) -> None:
        """Of any message near a valid one."""
        type_, message = case
        self.assertEqual(_DECIDING[type_].is_valid(message), _EXPLAINING[type_].is_valid(message))

    def test_every_nasty_value_in_every_place(self) -> None:
        """Each value in each place of each full message, one at a time."""
        for type_ in INCOMING:
            for at in range(len(places(full(type_)))):
                for nasty in _NASTY:
                    message = copy.deepcopy(full(type_))
                    container, key = places(message)[at]
                    container[key] = nasty
                    verdicts = _DECIDING[type_].is_valid(message), _EXPLAINING[type_].is_valid(message)
                    self.assertEqual(*verdicts, (type_, key, str(nasty)[:20]))


class FieldTests(SynchronousTestCase):
    """Classes and schemas match field by field."""

    def _assert_alike(self, cls: type, schema: Json) -> None:
        fields = {wire_name(cls, field.name): field for field in attrs.fields(cls)}
        self.assertEqual(set(fields), set(schema["properties"]), cls.__name__)
        needed = {name for name, field in fields.items() if field.default is attrs.NOTHING}
        self.assertEqual(needed, set(schema.get("required", ())), cls.__name__)
        defaults = {field.default for name, field in fields.items() if name not in needed}
        self.assertLessEqual(defaults, {None}, cls.__name__)

    def test_incoming(self) -> None:
        """What crawlers say: the same names, and the same ones optional."""
        for type_, cls in INCOMING.items():
            self._assert_alike(cls, load()[type_]["properties"]["data"])
        self._assert_alike(DiscoveredJob, load()["defs"]["$defs"]["discoveredJob"])
        self._assert_alike(Entity, load()["defs"]["$defs"]["entity"])

    def test_optional_means_null_too(self) -> None:
        """Where a field may be left out it may be null, in both directions; where it may not, it must not."""
        for type_ in (*INCOMING, *OUTGOING):
            whole = full(type_) if type_ in INCOMING else sent(OUTGOING[type_])
            schema = load()[type_]["properties"]["data"]
            for name in schema["properties"]:
                message = {**whole, "data": {**whole["data"], name: None}}
                optional = name not in schema.get("required", ())
                self.assertEqual(_DECIDING[type_].is_valid(message), optional, (type_, name))
        for name in load()["defs"]["$defs"]["job"]["properties"]:
            message = sent(replies.JobResponse((JOB,)))
            message["data"]["jobs"][0][name] = None
            required = load()["defs"]["$defs"]["job"]["required"]
            self.assertEqual(_DECIDING["job_response"].is_valid(message), name not in required, name)

    def test_outgoing(self) -> None:
        """What the server says: a full reply is valid and has each field of its schema, and no other."""
        for type_, reply in OUTGOING.items():
            message = sent(reply)
            self.assertTrue(_DECIDING[type_].is_valid(message), message)
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
            self.assertTrue(_DECIDING[message["type"]].is_valid(message), message)
            self.assertNotIn(None, [container[key] for container, key in places(message)])
