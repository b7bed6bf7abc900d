"""``twistd copilot-socket``: options, and the service that runs one node in this process."""

import contextlib
import gc
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage

from copilot_socket import logs
from copilot_socket.activation import Inherited, inherited
from copilot_socket.clock import make_steady
from copilot_socket.config import Config, ConfigFaults, from_environment, option_names
from copilot_socket.core.printing import printable
from copilot_socket.core.vault import Vault
from copilot_socket.dumps import forbid_core_dumps
from copilot_socket.event_bus import NodeStarted
from copilot_socket.http.own_token import own_token
from copilot_socket.notify import ServiceManager
from copilot_socket.private_files import PrivateFileError
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres, keys_in_use
from copilot_socket.store.migrate import SchemaError, require_current
from copilot_socket.store.sealing import seal
from copilot_socket.wire.listening import SocketError

if TYPE_CHECKING:
    from copilot_socket.node import Node


class Options(usage.Options):
    """An option for each environment variable, which takes precedence over it."""

    synopsis = "[options]"
    longdesc = "Runs a node. Without any option or variable it uses an embedded PostgreSQL."
    optParameters = [[option.name, None, None, option.help] for option in option_names()]
    config: Config

    def postOptions(self) -> None:
        """Read the configuration. All faults are printed together, and the process exits with status 1."""
        given = {option.variable: self[option.name] for option in option_names() if self[option.name] is not None}
        try:
            self.config = from_environment(given)
            _check_certificates(self.config)
            self._log_as_configured(self.parent)
        except ConfigFaults as faults:
            _give_up(f"the configuration is at fault:\n{faults}")

    def _log_as_configured(self, twistd: usage.Options | None) -> None:
        """Make *twistd* log as configured, unless it has a logging option of its own. Raises ``ConfigFaults``."""
        if twistd is None or any(twistd.get(option) for option in ("logger", "logfile", "syslog")):
            return
        # A daemon has no standard output; twistd's own log has this name.
        beside = None if twistd.get("nodaemon") else Path(twistd.get("rundir", "."), "twistd.log")
        logs.destination.open(self.config, instead_of_stdout=beside)
        twistd["logger"] = "copilot_socket.logs.destination.observer"


class Application(MultiService):
    """Starts the database and the node; handles signals, the service manager and the exit status."""

    log = Logger()

    def __init__(self, options: Options, reactor: Any, sockets: Inherited) -> None:
        super().__init__()
        self._options = options
        self._sockets = sockets
        self._service_manager: ServiceManager | None = None
        self._reactor = reactor
        self._embedded: EmbeddedPostgres | None = None
        self._stopping = False

    def privilegedStartService(self) -> None:
        """Create the node and listen, before the reactor runs: errors are printed, with exit status 1."""
        config = self._options.config
        # First: logs may be rotated while a node starts, and SIGHUP would end the process.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reload))
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _ignore)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_early)
        for warning in config.warnings:
            self.log.warn("{warning}", warning=warning)
        try:
            node = self._node(config)
            node.setServiceParent(self)
            self._service_manager = service_manager = ServiceManager(node.status, self._reactor, os.environ)
            self._service_manager.setServiceParent(self)
            node.bus.subscribe_by_type({NodeStarted: lambda _: service_manager.notify()})
            super().privilegedStartService()
        except (
            EmbeddedError,
            SchemaError,
            SocketError,
            CannotListenError,
            ConfigFaults,
            PrivateFileError,
        ) as error:
            self._stop_embedded()
            _give_up(_explain(error))
        except SystemExit:  # a signal, see above
            self._stop_embedded()
            raise
        except Exception as error:
            self._stop_embedded()
            self.log.failure("The node can't start")
            _give_up(f"{type(error).__name__}: {error} (see the log for a traceback)")

    def startService(self) -> None:
        """Start the node and handle signals."""
        super().startService()
        # After the reactor has installed its own handlers, which re-raise the signal at exit.
        self._reactor.callWhenRunning(self._take_signals)
        # Objects from the start are permanent: each full collection would traverse them, which blocks for 25 ms.
        self._reactor.callWhenRunning(gc.freeze)
        # Messages make no reference cycles: a collection after each 700 objects took 5 % of the time.
        gc.set_threshold(10_000, 20, 20)

    def stopService(self) -> "Deferred[Any]":
        """Stop the node, then the embedded database unless another process uses it."""
        d: Deferred[Any] = Deferred.fromCoroutine(self._stop_all())
        return d

    async def _stop_all(self) -> None:
        try:
            stopped = super().stopService()
            if stopped is not None:
                await stopped
        finally:
            self._stop_embedded()

    def _node(self, config: Config) -> "Node":
        """Start the database in a thread while the node's modules are imported: each takes about as long."""
        with ThreadPoolExecutor(1) as beside:
            database = beside.submit(self._database, config)
            from copilot_socket import descriptors  # noqa: PLC0415 - see above
            from copilot_socket.node import Node  # noqa: PLC0415

            limit = descriptors.raise_limit()
            shares = descriptors.shares(config, limit)
            shortage = descriptors.shortage(config, limit, shares)
            if shortage is not None:
                self.log.warn("{shortage}", shortage=shortage)
            dsn, keys = database.result()
            token = config.http_token or own_token(config.state_dir)
            used = attrs.evolve(config, secret_keys=keys, http_token=token)
            return Node(used, dsn, self._reactor, self._sockets, shares)

    def _database(self, config: Config) -> tuple[str, tuple[str, ...]]:
        """Start or check the database; its URL, and the keys of its tokens. Raises EmbeddedError or SchemaError."""
        if config.database_url is not None:
            require_current(config.database_url, upgrade=False)
            return config.database_url, config.secret_keys
        self._embedded = EmbeddedPostgres(config.state_dir)
        dsn = self._embedded.start()
        for notice in require_current(dsn, upgrade=True).notices:
            self.log.warn("The database was upgraded: {notice}", notice=notice)
        keys = keys_in_use(config.state_dir, config.secret_keys)
        seal(dsn, Vault(keys))
        return dsn, keys

    def _stop_embedded(self) -> None:
        if self._embedded is not None:
            try:
                self._embedded.stop()
            except Exception as error:  # must not hide why the node ends
                self.log.error("The embedded database could not be stopped: {error}", error=error)

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)

    def _stop_early(self, number: int, _frame: Any) -> None:
        """A signal while starting, before anything is accepted: exit with status 0. A second one: immediately."""
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        raise SystemExit(0)

    def _on_stop_signal(self, number: int, _frame: Any) -> None:
        """The first signal stops the node gracefully; a second one exits immediately."""
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        self._reactor.callFromThread(self._reactor.stop)

    def _reload(self) -> None:
        """SIGHUP: reopen the log files."""
        if self._service_manager is None:
            logs.destination.reopen()
            return
        self._service_manager.reloading()
        logs.destination.reopen()
        self._service_manager.notify()


def _check_certificates(config: Config) -> None:
    """Raises ``ConfigFaults`` if the files of a TLS endpoint can't be used."""
    if config.listen:
        from copilot_socket.crawler_ports import certificate_faults  # noqa: PLC0415 - nobody else needs it so early

        if faults := certificate_faults(config):
            raise ConfigFaults(faults, config)


def _ignore(_number: int, _frame: Any) -> None:
    """Ignore a signal. Child processes would inherit SIG_IGN, but not a handler."""


def _give_up(why: str) -> NoReturn:
    """Print *why* and exit with status 1, bypassing twistd's redirection of standard error, which would lose it."""
    with contextlib.suppress(
        OSError, ValueError, AttributeError
    ):  # closed, or the disk is full: the exit status remains
        lines = "\n".join(map(printable, f"copilot-socket can't start: {why}".splitlines()))
        sys.__stderr__.write(f"{lines}\n")  # type: ignore[union-attr]
        sys.__stderr__.flush()  # type: ignore[union-attr]
    raise SystemExit(1)


def _explain(error: Exception) -> str:
    if isinstance(error, CannotListenError):
        return f"{error} (set COPILOT_HTTP_HOST and COPILOT_HTTP_PORT)"
    return str(error)


def makeService(options: Options) -> IService:
    """The service for twistd."""
    forbid_core_dumps()
    try:
        sockets = inherited(os.environ)
    except SocketError as error:
        _give_up(str(error))
    from twisted.internet import reactor  # noqa: PLC0415 - twistd may install another reactor first

    make_steady(reactor)
    if sys.__stdout__ is not None:  # None: closed
        sys.__stdout__.reconfigure(line_buffering=True)
    return Application(options, reactor, sockets)
