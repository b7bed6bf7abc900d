"""For commands that need no node: direct access to the database, and a reactor for asynchronous work."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import complain
from copilot_socket.config import Config
from copilot_socket.core.vault import Vault
from copilot_socket.store.embedded import EmbeddedPostgres, keys_in_use
from copilot_socket.store.migrate import require_current

T = TypeVar("T")


@contextmanager
def ready_database(config: Config) -> Iterator[str]:
    """The URL of the configured database, with its schema up to date; an embedded one runs inside the block.

    Raises SchemaError or EmbeddedError if it can't be used, CommandError if a statement fails.
    """
    embedded = None if config.database_url is not None else EmbeddedPostgres(config.state_dir, tell=complain)
    try:
        url = config.database_url if embedded is None else embedded.start()
        assert url is not None
        require_current(url, upgrade=embedded is not None)
        yield url
    except psycopg2.Error as error:
        raise CommandError(f"the database reported an error: {' '.join(str(error).split())}") from error
    finally:
        if embedded is not None:
            embedded.stop()  # no effect while a node uses it


def vault(config: Config) -> Vault:
    """The vault for the tokens of the configured database. Call it inside :func:`ready_database`."""
    given = config.secret_keys
    return Vault(given if config.database_url is not None else keys_in_use(config.state_dir, given))


def run_in_reactor(work: Callable[[Any], Awaitable[T]]) -> T:
    """Call *work* with the reactor, run that until the result is there, and return or raise it. Once a process."""
    from twisted.internet import reactor  # noqa: PLC0415 - not for commands that need none
    from twisted.internet.defer import Deferred, ensureDeferred  # noqa: PLC0415
    from twisted.python.failure import Failure  # noqa: PLC0415

    outcomes: list[Any] = []

    def begin() -> None:
        d: Deferred[Any] = ensureDeferred(_coroutine(work, reactor))
        d.addBoth(outcomes.append)
        d.addBoth(lambda _: reactor.stop() if reactor.running else None)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcomes:
        raise KeyboardInterrupt
    [outcome] = outcomes
    if isinstance(outcome, Failure):
        outcome.raiseException()
    result: T = outcome
    return result


async def _coroutine(work: Callable[[Any], Awaitable[T]], reactor: Any) -> T:
    return await work(reactor)
