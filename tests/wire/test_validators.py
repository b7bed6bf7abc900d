"""The decoder: bytes to messages, and what is said of those that are none."""

import json

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.messages import INCOMING, Discovery, JobProgress, JobRequest, JobsDiscovered
from tests.wire.decoding import DecoderCase, decoded
from tests.wire.examples import DISCOVERED, ENTITY, JOB, RESUME, Json, full, minimal, with_data

REFUSED: list[tuple[str, Json, str]] = [
    ("hello", {"crawlerId": ""}, "/data/crawlerId"),
    ("hello", {"crawlerId": "c" * 129}, "/data/crawlerId"),
    ("hello", {"crawlerId": 5}, "/data/crawlerId"),
    ("hello", {"crawlerId": None}, "/data/crawlerId"),
    ("hello", {"version": 1}, "/data/version"),
    ("hello", {"token": ["x"]}, "/data/token"),
    ("hello", {"maxJobs": 0}, "/data/maxJobs"),
    ("hello", {"maxJobs": 1.5}, "/data/maxJobs"),
    ("hello", {"maxJobs": True}, "/data/maxJobs"),
    ("hello", {"entityTypes": "issue"}, "/data/entityTypes"),
    ("hello", {"entityTypes": ["issue", 1]}, "/data/entityTypes/1"),
    ("hello", {"assignments": [None]}, "/data/assignments/0"),
    ("hello", {"assignments": ["x"] * 10_001}, "/data/assignments"),
    ("hello", {"capabilities": {}}, "/data/capabilities"),
    ("heartbeat", {"activeJobs": -1}, "/data/activeJobs"),
    ("heartbeat", {"activeJobs": True}, "/data/activeJobs"),
    ("heartbeat", {"activeJobs": "5"}, "/data/activeJobs"),
    ("heartbeat", {"totalProcessed": 0.5}, "/data/totalProcessed"),
    ("heartbeat", {"systemStatus": "sleeping"}, "/data/systemStatus"),
    ("heartbeat", {"uptime": "1"}, "/data/uptime"),
    ("job_request", {"limit": 0}, "/data/limit"),
    ("job_started", {"entityType": 1}, "/data/entityType"),
    ("job_started", {"entityId": 42}, "/data/entityId"),
    ("job_progress", {"stage": "begun"}, "/data/stage"),
    ("job_progress", {"entityType": ""}, "/data/entityType"),
    ("job_progress", {"processed": -1}, "/data/processed"),
    ("job_progress", {"total": "20"}, "/data/total"),
    ("job_progress", {"message": 5}, "/data/message"),
    ("job_progress", {"message": "x" * 65_537}, "/data/message"),
    ("job_progress", {"resumeState": []}, "/data/resumeState"),
    ("job_progress", {"resumeState": {"currentPage": "3"}}, "/data/resumeState/currentPage"),
    ("job_progress", {"itemCounts": {"a/b~c": "x"}}, "/data/itemCounts/a~1b~0c"),
    ("job_progress", {"currentPage": 1.5}, "/data/currentPage"),
    ("job_progress", {"processingRate": False}, "/data/processingRate"),
    ("job_progress", {"estimatedTimeRemaining": "1"}, "/data/estimatedTimeRemaining"),
    ("job_progress", {"items": {}}, "/data/items"),
    ("job_completed", {"success": 1}, "/data/success"),
    ("job_completed", {"finalCounts": None}, "/data/finalCounts"),
    ("job_completed", {"outputFiles": [1]}, "/data/outputFiles/0"),
    ("job_failed", {"error": None}, "/data/error"),
    ("job_failed", {"isRecoverable": "yes"}, "/data/isRecoverable"),
    ("job_failed", {"stackTrace": "x" * 262_145}, "/data/stackTrace"),
    ("job_failed", {"partialCounts": {"a": None}}, "/data/partialCounts/a"),
    ("job_failed", {"context": "x"}, "/data/context"),
    ("jobs_discovered", {"discovered_jobs": None}, "/data/discovered_jobs"),
    ("jobs_discovered", {"discovery_summary": {"total_users": "1"}}, "/data/discovery_summary/total_users"),
    ("discovery", {"entityType": 1}, "/data/entityType"),
    ("discovery", {"entities": {}}, "/data/entities"),
    ("token_refresh_request", {"current_token_expired": 1}, "/data/current_token_expired"),
    ("token_refresh_request", {"last_successful_request": 1}, "/data/last_successful_request"),
]


class AcceptedTests(DecoderCase):
    """Valid messages."""

    def test_every_type(self) -> None:
        """Minimal and full messages of each type become its class."""
        for type_, cls in INCOMING.items():
            for example in (minimal(type_), full(type_)):
                message = self.decode(example)
                self.assertIsInstance(message.data, cls)
                self.assertEqual((message.type, message.faults), (type_, ()))
                self.assertEqual(message.job_id, example.get("jobId"))
                self.assertEqual(message.size, len(json.dumps(example)))

    def test_parsed_form_given_along(self) -> None:
        """With the parsed form or without, the message is the same."""
        for type_ in INCOMING:
            data = json.dumps(full(type_)).encode()
            given = decoded(data, json.loads(data))
            self.assertEqual((given.data, given.ref, given.size), (decoded(data).data, "m-1", len(data)))

    def test_fields_arrive(self) -> None:
        """Every field of a full report has its value, lists as tuples."""
        expected = JobProgress(
            "discovering", "issue", 10, 20, "half {way} é", RESUME, {"issue": 10, "note": 2.5}, 2, 1.5, 9,
        )  # fmt: skip
        self.assertEqual(self.decode(full("job_progress")).data, expected)

    def test_data_left_out(self) -> None:
        """Where every field of data is optional, nothing, null and {} are the same."""
        for type_ in ("job_request", "job_started", "token_refresh_request"):
            message = minimal(type_)
            others = [self.decode(each).data for each in ({**message, "data": None}, {**message, "data": {}})]
            self.assertEqual(others, [self.decode(message).data] * 2)

    def test_null_is_as_good_as_nothing(self) -> None:
        """In the envelope and in data."""
        message = {**with_data("hello", version=None, maxJobs=None, entityTypes=None), "id": None, "jobId": None}
        decoded, expected = self.decode(message), self.decode(minimal("hello"))
        self.assertEqual((decoded.ref, decoded.job_id, decoded.data), (expected.ref, expected.job_id, expected.data))

    def test_whole_floats_are_integers(self) -> None:
        """5.0 is an integer, and an int from here on."""
        limit = self.decode(with_data("job_request", limit=5.0)).data
        assert isinstance(limit, JobRequest)
        self.assertEqual(repr(limit.limit), "5")
        areas = self.decode(with_data("discovery", entities=[{**ENTITY, "id": 7.0, "parentId": 8.0}])).data
        assert isinstance(areas, Discovery)
        self.assertEqual(repr(areas.entities[0].gitlab_id), "7")
        jobs = self.decode(with_data("jobs_discovered", discovered_jobs=[{**DISCOVERED, "priority": 3.0}])).data
        assert isinstance(jobs, JobsDiscovered)
        self.assertEqual(repr(jobs.discovered_jobs[0].priority), "3")

    def test_timestamp_is_any_string(self) -> None:
        """It decides nothing."""
        self.assertEqual(self.decode({**minimal("job_request"), "timestamp": "yesterday"}).ref, "yesterday")


class RefusedTests(DecoderCase):
    """Invalid messages."""

    def test_table(self) -> None:
        """Each fault is named with its place."""
        for type_, fields, path in REFUSED:
            error = self.refused(with_data(type_, **fields))
            self.assertEqual(error.path, path, (type_, str(fields)[:60]))
            self.assertLess(len(error.message), 300)

    def test_what_is_required(self) -> None:
        """Each required field, and data itself, is missed by name."""
        for type_ in INCOMING:
            example = minimal(type_)
            for name in set(example) - {"type"}:
                error = self.refused({key: value for key, value in example.items() if key != name})
                self.assertEqual((error.path, error.message), ("", f"required and missing: {name}"))
            for name in example.get("data", {}):
                rest = {key: value for key, value in example["data"].items() if key != name}
                error = self.refused({**example, "data": rest})
                self.assertEqual((error.path, error.message), ("/data", f"required and missing: {name}"))

    def test_envelope(self) -> None:
        """The envelope's own fields."""
        message = {**minimal("job_started"), "id": "m"}
        for name, value in [("id", 5), ("id", "x" * 65), ("jobId", 5), ("jobId", ""), ("jobId", "x" * 256),
                            ("jobId", None), ("timestamp", 5), ("timestamp", "x" * 129), ("data", [])]:  # fmt: skip
            self.assertEqual(self.refused({**message, name: value}).path, f"/{name}", (name, value))

    def test_type(self) -> None:
        """A type that is missing or no string is invalid; one that is not known is unknown_type, the server's too."""
        for type_ in (None, 5, ["hello"], {}):
            self.assertEqual(self.refused({**minimal("hello"), "type": type_}).path, "/type")
        self.assertEqual(self.refused({"timestamp": "t"}).path, "/type")
        for type_ in ("welcome", "Hello", "", "x" * 100_000, "\x00", "\ud800"):
            error = self.refused({**minimal("hello"), "type": type_}, ErrorCode.UNKNOWN_TYPE)
            self.assertEqual((error.path, error.ref), ("/type", minimal("hello")["timestamp"]))
            self.assertLess(len(error.message), 400)
            self.assertTrue(error.message.isascii())

    def test_says_what_is_allowed(self) -> None:
        """The message of an error is enough to mend the fault by."""
        for fields, wanted in [
            (
                {"stage": "begun"},
                '"begun" must be one of discovering, fetching, completed, failed',
            ),
            ({"processed": -1}, "-1 is out of range: at least 0"),
            ({"processed": "1"}, '"1" must be of type integer'),
            ({"total": "1"}, '"1" must be of type integer or null'),
            ({"resumeState": 5}, "5 must be of type object or null"),
            ({"entityType": "x" * 65}, "too long: at most 64 are allowed, 65 were given"),
        ]:
            self.assertEqual(self.refused(with_data("job_progress", **fields)).message, wanted)

    def test_long_values_are_not_repeated(self) -> None:
        """An error is short, however long what it is about."""
        for fields in ({"stage": "x" * 90_000}, {"itemCounts": {"k" * 90_000: "x"}}, {"processed": ["x" * 90_000]}):
            error = self.refused(with_data("job_progress", **fields))
            assert error.path is not None
            self.assertLess(len(error.message) + len(error.path), 1500)

    def test_secrets_are_not_repeated(self) -> None:
        """A value in the place of a token is not shown."""
        for token in (["s3cret"], "s3cret" + "x" * 5000, {"s3cret": 1}, "s3cret\x00"):
            error = self.refused(with_data("hello", token=token))
            self.assertNotIn("s3cret", f"{error} {error.path}")
        error = self.refused(with_data("hello", token=12345678))
        self.assertNotIn("12345678", error.message)

    def test_carries_what_it_answers(self) -> None:
        """The message's id, else its timestamp, and its job, as far as they can be read and sent back."""
        bad = {**with_data("job_started", entityId=5), "id": "m"}
        error = self.refused(bad)
        self.assertEqual((error.ref, error.job_id), ("m", JOB["jobId"]))
        self.assertEqual(self.refused({**bad, "id": None}).ref, bad["timestamp"])
        for unreadable in (5, "x" * 5000, "\x00", "\ud800", ["x"]):
            error = self.refused({**bad, "id": unreadable, "jobId": unreadable})
            self.assertEqual((error.ref, error.job_id), (bad["timestamp"], None))
