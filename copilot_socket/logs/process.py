"""The log of this process."""

from pathlib import Path
from typing import TextIO, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogPublisher,
)

from copilot_socket.config import Config, ConfigFaults, Fault
from copilot_socket.logs.files import LogFile, Output, standard_output
from copilot_socket.logs.levels import Levels
from copilot_socket.logs.limiter import Limiter
from copilot_socket.logs.lines import LINES

ERRORS = Levels("error")


class Destination:
    """Where this process logs to. The one object of its kind (:data:`destination`): twistd takes the name of a
    function for its logger and calls it without arguments, so what it should do has to be left somewhere.
    """

    log = Logger()

    def __init__(self) -> None:
        self._observers: list[ILogObserver] = []
        self._files: list[LogFile] = []

    def open(self, config: Config, instead_of_stdout: Path | None = None) -> None:
        """Open what *config* asks for; *instead_of_stdout* is for daemons. Raises ``ConfigFaults``."""
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
        """The observer that twistd logs to."""
        return Limiter(LogPublisher(*self._observers))

    def reopen(self) -> None:
        """Follow the names of the log files after they were moved away, and log that."""
        failed = {}
        for file in self._files:
            try:
                file.reopen()
            except OSError as error:
                failed[file] = error
        for file in self._files:
            if file in failed:
                self.log.error("{path} can't be opened anew: {error}", path=file.name, error=failed[file])
            else:
                self.log.info("{path} is opened anew", path=file.name)

    def close(self) -> None:
        """Be done with the files."""
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
