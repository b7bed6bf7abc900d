"""State events as log lines, with the ids of connections, crawlers, jobs and assignments."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from copilot_socket import event_bus
from copilot_socket.core.identity import crawler_name
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.printing import printable
from copilot_socket.logs.levels import Levels
from copilot_socket.logs.rates import Burst, OncePerMinute

JOBS_A_SECOND = 10
"""Lines a second about completions, failures and discoveries each; further ones are summed up in one line."""
CONNECTIONS_A_SECOND = 100

_FAILURES = frozenset({Event.FAILED, Event.FAILED_FOR_GOOD, Event.INCOMPLETE, Event.TIMED_OUT})

# Not class attributes: Twisted would override their namespace.
_jobs = Logger("copilot_socket.store.jobs")
_delivery = Logger("copilot_socket.handlers.dispatch.delivery")
_crawlers = Logger("copilot_socket.handlers.presence")
_hosts = Logger("copilot_socket.handlers.dispatch.holds")
_budgets = Logger("copilot_socket.handlers.budgets")
_pauses = Logger("copilot_socket.handlers.dispatch.restrictions")
_tokens = Logger("copilot_socket.handlers.tokens")
_connections = Logger("copilot_socket.wire.connections")
_messages = Logger("copilot_socket.wire.messages")
_audit = Logger("copilot_socket.audit")
_webhooks = Logger("copilot_socket.handlers.webhooks")


class EventLog:
    """Writes state events as log lines, in the namespace of the part that publishes them."""

    def __init__(self, levels: Levels, reactor: IReactorTime) -> None:
        # Even a line that is dropped costs microseconds, and there are several for each job.
        self._writes = partial(levels.writes, _jobs.namespace)
        self._all_changes = self._writes(LogLevel.debug)
        lowest = LogLevel.info if self._writes(LogLevel.info) else LogLevel.warn
        self._all_refused = levels.writes(_messages.namespace, LogLevel.debug)
        self._completed = Burst(JOBS_A_SECOND, reactor, _sum(_jobs, "jobs completed"))
        self._failed = Burst(JOBS_A_SECOND, reactor, _sum(_jobs, "jobs failed", lowest))
        self._found = Burst(JOBS_A_SECOND, reactor, _sum(_jobs, "parts of discoveries were stored"))
        self._came = Burst(CONNECTIONS_A_SECOND, reactor, _sum(_connections, "changes of connections and crawlers"))
        self._refused = OncePerMinute(reactor.seconds)
        self._flapping = OncePerMinute(reactor.seconds)
        self._turned_away = OncePerMinute(reactor.seconds)
        self._undelivered = OncePerMinute(reactor.seconds)
        self.subscriptions: dict[type[event_bus.StateEvent], Callable[[Any], None]] = {}
        """State event → the method that logs it."""
        for logger, level, kind, subscriber in (
            (_jobs, LogLevel.warn, event_bus.JobChanged, self._job),
            (_jobs, LogLevel.info, event_bus.JobsReported, self._reported),
            (_jobs, LogLevel.info, event_bus.DiscoveryStored, self._discovery),
            (_connections, LogLevel.info, event_bus.ConnectionChanged, self._connection),
            (_crawlers, LogLevel.info, event_bus.CrawlerChanged, self._crawler),
            (_tokens, LogLevel.info, event_bus.TokenRefreshed, self._token),
            (_hosts, LogLevel.warn, event_bus.HostChanged, self._host),
            (_pauses, LogLevel.info, event_bus.PauseChanged, self._pause),
            (_budgets, LogLevel.info, event_bus.BudgetChanged, self._budget),
            (_messages, LogLevel.info, event_bus.MessageRefused, self._refusal),
            (_audit, LogLevel.warn, event_bus.Refused, self._denial),
            (_webhooks, LogLevel.info, event_bus.WebhookTried, self._webhook),
            (_messages, LogLevel.debug, event_bus.MessagesHandled, self._handled),
            (_delivery, LogLevel.debug, event_bus.JobSent, self._sent),
        ):
            if levels.writes(logger.namespace, level):
                self.subscriptions[kind] = subscriber

    def stop(self) -> None:
        """Write the outstanding summaries."""
        for burst in (self._completed, self._failed, self._found, self._came):
            burst.over()

    def _job(self, change: event_bus.JobChanged) -> None:
        failed = change.status == Status.FAILED
        level = LogLevel.warn if failed else LogLevel.info if change.event in _FAILURES else LogLevel.debug
        # Only lines that the level lets through count against the limit.
        if self._writes(level) and (self._all_changes or self._failed.room()):
            self._write(level, change)

    def _reported(self, change: event_bus.JobsReported) -> None:
        completed = change.status == Status.COMPLETED
        attempts = change.attempts
        if not self._all_changes:
            attempts = attempts[: self._completed.room(len(attempts))] if completed else ()
        for each in attrs.evolve(change, attempts=attempts).each() if attempts else ():
            self._write(LogLevel.info if completed else LogLevel.debug, each)

    def _write(self, level: Any, change: event_bus.JobChanged) -> None:
        """Log one change of a job, without its empty fields."""
        fields = {
            "what": " ".join(filter(None, (change.command, change.full_path))),
            "assignment": change.assignment,
            "crawler": None if change.crawler is None else crawler_name(change.crawler),
            "outcome": change.outcome,
            "reason": change.error or change.reason,
        }
        known = {name: value for name, value in fields.items() if value}
        shown = [_SHOWN[name] for name in _SHOWN if name in known]
        text = "job {job} is {status} after {event}" + (": {reason}" if "reason" in known else "")
        text += f" ({', '.join(shown)})" if shown else ""
        _jobs.emit(level, text, job=change.job_id, status=str(change.status), event=str(change.event), **known)

    def _discovery(self, change: event_bus.DiscoveryStored) -> None:
        if self._all_changes or self._found.room():
            _jobs.info(
                "job {job} discovered {areas} areas, {jobs} new jobs (assignment {assignment}, crawler {crawler})",
                job=change.job_id,
                areas=change.areas,
                jobs=change.jobs,
                assignment=change.assignment,
                crawler=crawler_name(change.crawler),
            )

    def _sent(self, change: event_bus.JobSent) -> None:
        _delivery.debug(
            "job {job} sent to crawler {crawler} as {assignment}",
            job=change.job_id,
            crawler=change.crawler,
            assignment=change.assignment,
            waited=change.waited,
        )

    def _connection(self, change: event_bus.ConnectionChanged) -> None:
        if self._came.room():
            _connections.info(
                "connection {connection} {event}: crawler {crawler}" + (", {reason}" if change.reason else ""),
                **attrs.asdict(change),
            )

    def _crawler(self, change: event_bus.CrawlerChanged) -> None:
        if self._came.room():
            _crawlers.info("crawler {crawler} {event}", **attrs.asdict(change))

    def _token(self, change: event_bus.TokenRefreshed) -> None:
        _tokens.info("token of account {account}: {outcome}", **attrs.asdict(change))

    def _host(self, change: event_bus.HostChanged) -> None:
        if change.event == "held":
            _hosts.warn(
                "{origin} is unavailable: its jobs are held back, and probe it one at a time", origin=change.origin
            )
        else:
            _hosts.info("{origin} is available again: its jobs are released", origin=change.origin)

    def _budget(self, change: event_bus.BudgetChanged) -> None:
        of = f"account {change.account} at {change.origin}" if change.account else change.origin
        of += f", throttle {change.name}" if change.name else ""
        if self._flapping.counted(f"{change.event} {of}") is None:
            return
        match change.event:
            case "closed":
                _budgets.warn(
                    "The budget of requests of {of} is closed: no job starts until it is reset or opened", of=of
                )
            case "throttled":
                text = "The budget of requests of {of} is half used up: {count} jobs at a time"
                _budgets.info(text, of=of, count=change.jobs_allowed)
            case _:
                _budgets.info("The budget of requests of {of} is ample again", of=of)

    def _pause(self, change: event_bus.PauseChanged) -> None:
        text = "Pause {pause} of {covered} {event}"
        text += (" by {author}" if change.author else "") + (": {reason}" if change.reason else "")
        covered = f"{change.scope.replace('_', ' ')} {change.target or ''}".rstrip()
        _pauses.info(
            text, pause=change.pause, covered=covered, event=change.event, author=change.author, reason=change.reason
        )

    def _refusal(self, change: event_bus.MessageRefused) -> None:
        more = 0 if self._all_refused else self._refused.counted(change.crawler)
        if more is None:
            return
        text = "{type} of crawler {crawler} refused, {code}" + (": {error}" if change.error else "")
        text += " ({more} more of its messages since the last such line)" if more else ""
        emit = _messages.debug if self._all_refused else _messages.info
        emit(
            text,
            type=change.type,
            crawler=change.crawler,
            connection=change.connection,
            code=str(change.code),
            error=change.error,
            more=more or None,
        )

    def _denial(self, change: event_bus.Refused) -> None:
        more = self._turned_away.counted(f"{change.door} {change.reason} {change.actor} {change.address}")
        if more is None:
            return
        who = change.actor if change.address is None else f"{change.actor} at {change.address}"
        text = "{who} was refused over {door}, {reason}: {what}"
        text += " ({more} more since the last such line)" if more else ""
        _audit.warn(
            text, who=who, door=change.door, reason=change.reason, what=printable(change.what), more=more or None
        )

    def _webhook(self, attempt: event_bus.WebhookTried) -> None:
        if attempt.outcome == "gone":
            text = "Webhook {webhook} is made inactive: its receiver says that it is gone"
            _webhooks.warn(text, webhook=attempt.webhook)
        elif attempt.outcome != "delivered":
            more = self._undelivered.counted(f"{attempt.webhook} {attempt.outcome}")
            if more is None:
                return
            failed = attempt.outcome == "failed"
            again = "it is not tried again" if failed else "it is tried again"
            text = "Webhook {webhook} could not be told of {event}, {again}: {error}"
            text += " ({more} more since the last such line)" if more else ""
            _webhooks.emit(
                LogLevel.warn if failed else LogLevel.info,
                text,
                webhook=attempt.webhook,
                event=attempt.event,
                again=again,
                error=attempt.error,
                more=more or None,
            )

    def _handled(self, change: event_bus.MessagesHandled) -> None:
        _messages.debug(
            "{count} {type}: {outcome} within {seconds:.6f} s",
            count=change.count,
            type=change.type,
            outcome=change.outcome,
            seconds=max(change.seconds)[0],
        )


_SHOWN = {"what": "{what}", "assignment": "assignment {assignment}", "crawler": "crawler {crawler}"}


def _sum(logger: Logger, what: str, level: Any = LogLevel.info) -> Callable[[int], None]:
    """A function that logs the number of further *what* in a second."""

    def say(count: int) -> None:
        logger.emit(level, "{count} more {what} in the last second", count=count, what=what, log_limited=True)

    return say
