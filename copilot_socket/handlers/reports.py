"""Reports of crawlers: submitted to the writer, and answered once they are stored."""

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.folding import Verdict
from copilot_socket.core.messages import Message
from copilot_socket.core.pending import PendingReply
from copilot_socket.core.replies import Ack, Reply
from copilot_socket.core.reports import ENDINGS, Body, Progressed, Refused, Report
from copilot_socket.handlers.crawlers import Crawler, Held, Link
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.store.writer import Unstorable, Writer

_REFUSALS = {
    Verdict.STALE: (ErrorCode.STALE_ASSIGNMENT, "This attempt has already ended; report ignored"),
    Verdict.UNKNOWN: (ErrorCode.UNKNOWN_JOB, "No assignment has ever had this id"),
    Verdict.UNAUTHORIZED: (ErrorCode.UNAUTHORIZED, "Another connected crawler holds this assignment"),
}


class Reports:
    """Submits reports to the writer."""

    def __init__(self, writer: Writer, dispatcher: Dispatcher) -> None:
        self._writer = writer
        self._dispatcher = dispatcher

    def submit(self, link: Link, message: Message, body: Body) -> PendingReply:
        """Store *body*, the report in *message*; the reply resolves after the commit."""
        assert message.job_id is not None  # the schema says so
        reply = self._submit(link.crawler, message.job_id, body, message.size, message.ref, ack(link, message))
        if link.crawler.plain and isinstance(body, ENDINGS):
            link.crawler.fenced.discard(message.job_id)
            self._dispatcher.next_job(link, link.crawler.max_jobs)
        return reply

    def _submit(
        self, crawler: Crawler, assignment: str, body: Body, size: int, ref: str, acknowledgement: Reply | None
    ) -> PendingReply:
        crawler.reported_since_request = True
        number = crawler.begin()
        held = crawler.held.get(assignment)
        if held is not None:
            held.reported = True
        if held is None or isinstance(body, ENDINGS):
            crawler.last_change = number
        crawler.adopting += held is None
        reply = _ReportReply(self._dispatcher, crawler, assignment, ref, body, number, held is None, acknowledgement)
        self._writer.enqueue(Report(assignment, crawler.key, body, size), reply)
        return reply

    def refused(self, crawler: Crawler, assignment: str, body: Refused) -> None:
        """Store that a discovery of *assignment* was refused, if *crawler* holds it."""
        self._submit(crawler, assignment, body, len(body.error), "", None).listen(_Mention(), None)

    def mention(self, link: Link, message: Message) -> "Deferred[None]":
        """Store that the crawler has the job that *message* names, as an empty report would.

        The Deferred fires with None once that is stored or refused; *message* is answered separately.
        """
        mentioned = _Mention()
        self.submit(link, message, Progressed({})).listen(mentioned, None)
        return mentioned


class _Mention(Deferred[None]):
    """See :class:`copilot_socket.core.pending.Listener`. May be cancelled."""

    def answered(self, reply: Reply | None, about: None) -> None:
        """The report is stored."""
        if not self.called:
            self.callback(None)

    def failed(self, problem: Exception, about: None) -> None:
        """The report is refused; the attempt may have ended."""
        self.answered(None, about)


@attrs.define(eq=False)
class _ReportReply(PendingReply):
    """The pending reply to a report. Keeps neither the message nor the connection."""

    dispatcher: Dispatcher
    crawler: Crawler
    assignment: str
    ref: str
    body: Body
    number: int
    """See :meth:`Crawler.begin`."""
    adopting: bool
    """Whether the crawler was not known to hold the assignment."""
    acknowledgement: Reply | None

    def callback(self, verdict: Verdict) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        try:
            reply = self._stored(verdict)
        except Exception as error:
            self.reject(error)
        else:
            self.resolve(reply)

    def errback(self, error: Unstorable) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        self.crawler.adopting -= self.adopting
        self.crawler.end(self.number)
        self.reject(_refusal(ErrorCode.INTERNAL, "The database rejected this message; it was discarded", self))

    def _stored(self, verdict: Verdict) -> Reply | None:
        crawler, body = self.crawler, self.body
        if verdict is not Verdict.STORED or isinstance(body, ENDINGS):
            if crawler.drop(self.assignment):
                self.dispatcher.wake()
        else:
            self._heard()
        crawler.adopting -= self.adopting
        crawler.end(self.number)
        if self.adopting:
            self.dispatcher.wake()
        if verdict is Verdict.STORED:
            return self.acknowledgement
        code, text = _REFUSALS[verdict]
        raise _refusal(code, text, self, path="/jobId")

    def _heard(self) -> None:
        """The crawler holds the assignment."""
        if self.assignment not in self.crawler.held:
            self.crawler.held[self.assignment] = Held(None, reported=True)


def ack(link: Link, message: Message) -> Reply | None:
    """The acknowledgement of *message*, if the crawler has the capability ``ack``."""
    if "ack" not in link.capabilities:
        return None
    return Ack(type=message.type, ref=message.ref, job_id=message.job_id)


def _refusal(code: ErrorCode, text: str, reply: _ReportReply, **where: Any) -> ProtocolError:
    return ProtocolError(code, text, ref=reply.ref, job_id=reply.assignment, **where)
