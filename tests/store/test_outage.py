"""Causes of errors, and the log of an outage."""

from typing import Any

import psycopg2
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.readiness import Unready
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.outage import QUIET, REPEAT, Outages, Unfit, cause_of
from tests.support.postgres import SynchronousDatabaseTestCase, as_role, with_database

REFUSED = 'connection to server at "127.0.0.1", port 5432 failed: Connection refused'


class CauseTests(SynchronousDatabaseTestCase):
    """Errors as PostgreSQL and libpq make them."""

    def _error(self, statement: str) -> psycopg2.Error:
        return self.assertRaises(psycopg2.Error, self.query, statement)

    def _away(self, url: str) -> DatabaseAway:
        """The error of a connection to *url* that can't be made."""
        try:
            psycopg2.connect(url, connect_timeout=2)
        except psycopg2.Error as error:
            away = DatabaseAway(str(error))
            away.__cause__ = error
            return away
        raise AssertionError("it can be made")

    def test_of_statements(self) -> None:
        """An SQLSTATE gives the cause; one for faults of the data gives none."""
        for statement, cause in (
            ("SET transaction_read_only = on; CREATE TABLE x ()", Unready.READ_ONLY),
            ("SELECT * FROM nowhere", Unready.TABLES),
            ("SELECT nothing FROM jobs", Unready.TABLES),
            ("SET ROLE pg_monitor; DELETE FROM jobs", Unready.RIGHTS),
            ("INSERT INTO jobs (account_id, command) VALUES ('nobody', 'issues')", None),
            ("SELECT 1/0", None),
            ("SET statement_timeout = 1; SELECT pg_sleep(5)", None),
        ):
            self.assertIs(cause_of(self._error(statement)), cause, statement)

    def test_of_codes(self) -> None:
        """States that a test can't produce, by SQLSTATEs from PostgreSQL's manual."""
        for code, cause in (
            ("53100", Unready.DISK_FULL),
            ("53200", Unready.RESOURCES),
            ("53300", Unready.CONNECTIONS),
            ("58030", Unready.RESOURCES),
            ("57P03", Unready.STARTING),
            ("08006", Unready.UNREACHABLE),
        ):
            error: Any = type("Error", (psycopg2.OperationalError,), {"pgcode": code})("no words")
            self.assertIs(cause_of(error), cause, code)

    def test_of_connections(self) -> None:
        """The error of a connection that can't be made has a text only."""
        for url, cause in (
            ("postgresql://a@127.0.0.1:1/d", Unready.UNREACHABLE),
            (with_database(self.database_url, "nowhere"), Unready.LOGIN),
            (as_role(self.database_url, "nobody"), Unready.LOGIN),
        ):
            self.assertIs(cause_of(self._away(url)), cause, url)
        for words, cause in (
            ("FATAL:  the database system is starting up", Unready.STARTING),
            ("FATAL:  sorry, too many clients already", Unready.CONNECTIONS),
            ("session is read-only", Unready.READ_ONLY),
            ("server is in hot standby mode", Unready.STANDBY),
            ("no answer from the database within 3 s", Unready.NO_ANSWER),
            ("the connection was closed", Unready.UNREACHABLE),
        ):
            self.assertIs(cause_of(DatabaseAway(words)), cause, words)

    def test_of_what_it_was_raised_from(self) -> None:
        """The SQLSTATE of the original error counts, however it was wrapped."""
        away = DatabaseAway("the connection was closed")
        away.__cause__ = self._error("SELECT * FROM nowhere")
        self.assertIs(cause_of(away), Unready.TABLES)

    def test_of_others(self) -> None:
        """Other errors have no cause."""
        self.assertIsNone(cause_of(ValueError("no space left, no answer")))
        self.assertIs(cause_of(Unfit(Unready.STANDBY, "standby")), Unready.STANDBY)


class OutageLogTests(SynchronousTestCase):
    """Log lines about an outage, on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.outages = Outages(self.clock)
        self.lines: list[tuple[str, str]] = []

    def _said(self, during: Any) -> list[tuple[str, str]]:
        """Levels and texts that are logged *during* a call."""
        with capturedLogs() as events:
            during()
        return [(event["log_level"].name, formatEvent(event)) for event in events]

    def _fails(self, seconds: float, *errors: BaseException) -> list[tuple[str, str]]:
        """The lines logged while statements fail eight times a second."""

        def during() -> None:
            for _ in range(round(seconds * 8)):
                for error in errors:
                    self.outages.failed(error)
                self.clock.advance(0.125)

        return self._said(during)

    def _works(self, seconds: float) -> list[tuple[str, str]]:
        def during() -> None:
            for _ in range(round(seconds)):
                self.outages.worked()
                self.clock.advance(1.0)

        return self._said(during)

    def test_once_a_minute(self) -> None:
        """The first failure is logged immediately, then one line a minute with the number of the others."""
        lines = self._fails(130.0, DatabaseAway(REFUSED))
        said = f"The database is unreachable: {REFUSED}"
        more = f"{said} (479 more like it)"
        self.assertEqual(lines, [("error", said), ("error", more), ("error", more)])

    def test_the_end(self) -> None:
        """The end is logged once, with the duration up to the first success."""
        self._fails(8.0, DatabaseAway(REFUSED))
        self.clock.advance(2.0)
        self.assertEqual(self._works(60.0), [("info", "The database is back after 10.0 s")])

    def test_half_an_outage(self) -> None:
        """While some statements fail and others succeed, the outage goes on."""
        error = Unfit(Unready.DISK_FULL, "could not extend file")
        lines = self._fails(1.0, error)
        for _ in range(20):
            lines += self._works(2.0) + self._fails(0.125, error)
        self.assertEqual(lines, [("error", "Disk full: PostgreSQL has no space left: could not extend file")])
        self.assertEqual(len(self._works(QUIET + 2.0)), 1)

    def test_each_cause(self) -> None:
        """Another cause is logged immediately; both are logged once a minute."""
        lines = self._fails(30.0, DatabaseAway(REFUSED), DatabaseAway("FATAL:  the database system is starting up"))
        self.assertEqual([level for level, _ in lines], ["error", "error"])
        self.assertIn("PostgreSQL is starting up or shutting down: FATAL", lines[1][1])

    def test_one_outage_after_the_other(self) -> None:
        """An outage of the same cause within a minute is not logged, nor is its end."""
        self._fails(1.0, DatabaseAway(REFUSED))
        self.assertEqual(len(self._works(5.0)), 1)
        self.assertEqual(self._fails(1.0, DatabaseAway(REFUSED)) + self._works(5.0), [])
        self.clock.advance(REPEAT)
        lines = self._fails(1.0, DatabaseAway(REFUSED)) + self._works(5.0)
        self.assertEqual([level for level, _ in lines], ["error", "info"])
        self.assertIn("(15 more like it)", lines[0][1])

    def test_faults_of_data(self) -> None:
        """A statement that is refused for its data is no outage."""
        self.assertEqual(self._fails(1.0, ValueError("broken")), [])
        self.assertEqual(self._works(10.0), [])

    def test_levels(self) -> None:
        """An outage is logged at level error."""
        with capturedLogs() as events:
            self.outages.failed(DatabaseAway(REFUSED))
        self.assertEqual(
            [(event["log_level"], event["cause"]) for event in events], [(LogLevel.error, "unreachable")]
        )
