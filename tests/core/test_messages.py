"""The classes of messages."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core import replies
from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import (
    ELEMENTS,
    INCOMING,
    Fault,
    Hello,
    JobCompleted,
    JobRequest,
    JobsDiscovered,
    JobStarted,
    Message,
    wire_name,
)


class MessageTests(SynchronousTestCase):
    """Message and its data."""

    def test_answers_refer_to_the_id_else_to_the_timestamp(self) -> None:
        """An id is the reference, however short."""
        for id_, ref in (("m", "m"), ("", ""), (None, "t")):
            value = {"timestamp": "t", "id": id_}
            self.assertEqual(Message("job_request", None, value, lambda _: JobRequest()).ref, ref)

    def test_frozen_and_slotted(self) -> None:
        """No value changes on its way, and none takes more room than its fields.

        Those that come with every job are frozen to the type checker only.
        """
        with_every_job = {JobRequest, JobStarted, JobCompleted}
        for cls in {Fault, *INCOMING.values()}:
            self.assertNotIn("__dict__", vars(cls), cls)
            self.assertEqual(cls.__setattr__ is Hello.__setattr__, cls not in with_every_job, cls)
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, Hello("c"), "crawler_id", "d")

    def test_names_on_the_wire(self) -> None:
        """Camel case, with the protocol's exceptions."""
        self.assertEqual(wire_name(Hello, "crawler_id"), "crawlerId")
        self.assertEqual(wire_name(JobsDiscovered, "discovered_jobs"), "discovered_jobs")

    def test_lists_that_can_do_without_elements_exist(self) -> None:
        """They are fields of their class."""
        for type_, name in ELEMENTS.items():
            self.assertIn(name, {field.name for field in attrs.fields(INCOMING[type_])})


class SecretTests(SynchronousTestCase):
    """repr() of classes with tokens."""

    def test_not_in_repr(self) -> None:
        """No class with a token shows it."""
        job = replies.Job("J.1.x", "issue", "42", "u", "s3cret", "issues", 1)
        answer = replies.TokenRefreshResponse("J.1.x", "s3cret", "t", True)
        for value in (Hello("c", token="s3cret"), job, replies.JobResponse((job,)), answer):
            self.assertNotIn("s3cret", repr(value))


class ErrorTests(SynchronousTestCase):
    """ProtocolError."""

    def test_tells_code_and_message(self) -> None:
        """str() gives code and message; the other attributes are for the reply."""
        error = ProtocolError(ErrorCode.UNKNOWN_JOB, "no such job", ref="m", job_id="J.1.x")
        self.assertEqual(str(error), "unknown_job: no such job")
        self.assertEqual((error.path, error.ref, error.job_id), (None, "m", "J.1.x"))
