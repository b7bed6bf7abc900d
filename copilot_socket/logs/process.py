"""The log of this process."""

import os
import platform
from pathlib import Path
from typing import TextIO, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogPublisher,
)

import twisted
from copilot_socket import __version__
from copilot_socket.config import Config, ConfigFaults, Fault
from copilot_socket.logs.files import LogFile, Output, standard_output
from copilot_socket.logs.levels import Levels
from copilot_socket.logs.limiter import Limiter
from copilot_socket.logs.lines import LINES

ERRORS = Levels("error")


class Destination:
    """Where this process logs to. A singleton (:data:`destination`), since twistd takes its logger only as the name
    of a function, which it calls without arguments.
    """

    log = Logger()

    def __init__(self) -> None:
        self._observers: list[ILogObserver] = []
        self._files: list[LogFile] = []

    def open(self, config: Config, instead_of_stdout: Path | None = None) -> None:
        """Open the log files of *config*; daemons log to *instead_of_stdout*. Raises ``ConfigFaults``."""
        levels = Levels(config.log_level, config.debug)
        faults = []
        try:
            self._write_to(_output(config.log_file or instead_of_stdout), config, levels)
        except OSError as error:
            faults.append(_fault(config, "SOCKET_LOG_FILE", error))
        try:
            if config.error_log_file is not None:
                self._write_to(LogFile(config.error_log_file), config, ERRORS)
        except OSError as error:
            faults.append(_fault(config, "SOCKET_ERROR_LOG_FILE", error))
        if faults:
            raise ConfigFaults(faults, config)

    def _write_to(self, out: Output, config: Config, levels: Levels) -> None:
        lines = FileLogObserver(cast(TextIO, out), LINES[config.log_format])
        self._observers.append(FilteringLogObserver(lines, [levels.predicate]))
        if isinstance(out, LogFile):
            self._files.append(out)

    def observer(self) -> ILogObserver:
        """The observer that twistd logs to; it writes a first line with program and versions."""
        publisher = LogPublisher(*self._observers)
        Logger("copilot_socket.node", observer=publisher).info(
            "copilot-socket {version} (process {pid}, Python {python}, Twisted {twisted})",
            version=__version__,
            pid=os.getpid(),
            python=platform.python_version(),
            twisted=twisted.__version__,
        )
        return Limiter(publisher)

    def reopen(self) -> None:
        """Reopen the log files by name after they were renamed, and log that."""
        failed = {}
        for file in self._files:
            try:
                file.reopen()
            except OSError as error:
                failed[file] = error
        for file in self._files:
            if file in failed:
                self.log.error("{path} can't be reopened: {error}", path=file.name, error=failed[file])
            else:
                self.log.info("{path} is reopened", path=file.name)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files.clear()
        self._observers.clear()


destination = Destination()


def _output(path: Path | None) -> Output:
    return standard_output() if path is None else LogFile(path)


def _fault(config: Config, name: str, error: OSError) -> Fault:
    setting = next(setting for setting in config.describe() if setting.name == name)
    return Fault(name, setting.value, f"a file that can be written to ({error.strerror})", setting.origin)
