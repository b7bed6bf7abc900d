"""Log lines: text, to standard output or a file that SIGHUP reopens, from the configured level up."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)

from copilot_socket import telling

LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}


class ReopenableFile:
    """Appends text to a file; :meth:`reopen` follows its name after it was moved away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()

    def write(self, text: str) -> int:
        """Write *text* through to the file."""
        return self._file.write(text)

    def flush(self) -> None:
        """Push out what is buffered."""
        self._file.flush()

    def reopen(self) -> None:
        """Open the file of that name anew; the old one stays in use if that fails."""
        new = self._open()
        old, self._file = self._file, new
        old.close()

    def _open(self) -> TextIO:
        return self._path.open("a", encoding="utf-8", buffering=1)


class Destination:
    """Where this process logs to. The one object of its kind (:data:`destination`): twistd takes the name of a
    function for its logger and calls it without arguments, so what it should do has to be left somewhere.
    """

    level = "info"
    out: "TextIO | ReopenableFile" = sys.stdout

    def observer(self) -> ILogObserver:
        """The observer that twistd logs to."""
        return observer(self.level, self.out)

    def reopen(self) -> bool:
        """Follow the log file's name; False where there is no file. Raises ``OSError``."""
        if not isinstance(self.out, ReopenableFile):
            return False
        self.out.reopen()
        return True


destination = Destination()


def output(path: Path | None) -> "TextIO | ReopenableFile":
    """Where log lines go."""
    return sys.stdout if path is None else ReopenableFile(path)


def observer(level: str, out: "TextIO | ReopenableFile") -> ILogObserver:
    """Writes text lines of *level* and above to *out*."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LEVELS[level])
    return FilteringLogObserver(textFileLogObserver(cast(TextIO, out)), [predicate])


class NewsLog:
    """Writes what is told as log lines of *level* and above, with connection, crawler and job ids."""

    log = Logger("copilot_socket.news")

    def __init__(self, level: str = "debug") -> None:
        self._lines: dict[type, Callable[[telling.News], None]] = {
            telling.JobChanged: self._job,
            telling.ConnectionChanged: self._connection,
            telling.CrawlerChanged: self._crawler,
            telling.TokenRefreshed: self._token,
        }
        # A line that is thrown away in the end costs several microseconds all the same, and there are four a job.
        self._debug = level == "debug"
        if self._debug:
            self._lines[telling.JobSent] = self._sent

    def __call__(self, news: telling.News) -> None:
        """Log *news*, if it is of a kind that is logged."""
        line = self._lines.get(type(news))
        if line is not None:
            line(news)

    def _job(self, news: telling.News) -> None:
        assert isinstance(news, telling.JobChanged)
        failed = news.status == "failed"
        if not failed and not self._debug:
            return
        emit = self.log.warn if failed else self.log.debug
        emit(
            "job {news.job_id} is {news.status} after {news.event} (assignment {news.assignment}, "
            "crawler {news.crawler}, {news.reason})",
            news=news,
        )

    def _sent(self, news: telling.News) -> None:
        self.log.debug("job {news.job_id} goes to crawler {news.crawler} as {news.assignment}", news=news)

    def _connection(self, news: telling.News) -> None:
        self.log.info(
            "connection {news.connection} of crawler {news.crawler} {news.event} ({news.reason})", news=news
        )

    def _crawler(self, news: telling.News) -> None:
        self.log.info("crawler {news.crawler} {news.event}", news=news)

    def _token(self, news: telling.News) -> None:
        self.log.info("token of account {news.account}: {news.outcome}", news=news)
