"""What is told, as log lines with the ids of connections, crawlers, jobs and assignments."""

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from copilot_socket import telling
from copilot_socket.logs.levels import Levels

# Not attributes of the class: Twisted would name those after it.
_jobs = Logger("copilot_socket.store.jobs")
_delivery = Logger("copilot_socket.handlers.delivery")
_crawlers = Logger("copilot_socket.handlers.presence")
_tokens = Logger("copilot_socket.handlers.tokens")
_connections = Logger("copilot_socket.wire.connections")
_messages = Logger("copilot_socket.wire.messages")


class NewsLog:
    """Writes what is told as log lines, in the namespace of the part that tells it."""

    def __init__(self, levels: Levels) -> None:
        self.listeners: dict[type[telling.News], Callable[[Any], None]] = {
            telling.JobChanged: self._job,
            telling.JobsReported: self._reported,
            telling.ConnectionChanged: self._connection,
            telling.CrawlerChanged: self._crawler,
            telling.TokenRefreshed: self._token,
        }
        """Who logs which kind of news."""
        # A line that is thrown away in the end costs several microseconds all the same, and there are many a job.
        self._all_changes = levels.debugs(_jobs.namespace)
        if levels.debugs(_delivery.namespace):
            self.listeners[telling.JobSent] = self._sent
        if levels.debugs(_messages.namespace):
            self.listeners[telling.MessagesHandled] = self._handled

    def _job(self, news: telling.JobChanged) -> None:
        failed = news.status == "failed"
        if not failed and not self._all_changes:
            return
        emit = _jobs.warn if failed else _jobs.debug
        emit(
            "job {job} is {status} after {event} (assignment {assignment}, crawler {crawler}, {reason})",
            job=news.job_id,
            status=news.status,
            event=news.event,
            assignment=news.assignment,
            crawler=news.crawler,
            reason=news.reason,
            outcome=news.outcome,
        )

    def _reported(self, news: telling.JobsReported) -> None:
        if self._all_changes:
            for each in news.each():
                self._job(each)

    def _sent(self, news: telling.JobSent) -> None:
        _delivery.debug(
            "job {job} goes to crawler {crawler} as {assignment}",
            job=news.job_id,
            crawler=news.crawler,
            assignment=news.assignment,
            waited=news.waited,
        )

    def _connection(self, news: telling.ConnectionChanged) -> None:
        _connections.info(
            "connection {connection} of crawler {crawler} {event} ({reason})",
            connection=news.connection,
            crawler=news.crawler,
            event=news.event,
            reason=news.reason,
        )

    def _crawler(self, news: telling.CrawlerChanged) -> None:
        _crawlers.info("crawler {crawler} {event}", crawler=news.crawler, event=news.event)

    def _token(self, news: telling.TokenRefreshed) -> None:
        _tokens.info("token of account {account}: {outcome}", account=news.account, outcome=news.outcome)

    def _handled(self, news: telling.MessagesHandled) -> None:
        _messages.debug(
            "{count} {type}: {outcome} within {seconds:.6f} s",
            count=news.count,
            type=news.type,
            outcome=news.outcome,
            seconds=max(news.seconds)[0],
        )
