"""The status of groups of errors, and the unit of their history."""

from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.error_groups import GroupStatus, status_of, unit_of

NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


class ErrorGroupTests(SynchronousTestCase):
    """status_of(), unit_of()."""

    def test_status(self) -> None:
        """To be ignored comes first, then that it has occurred again."""
        for errors_since_retry, status in (
            (None, GroupStatus.OPEN),
            (0, GroupStatus.RETRIED),
            (1, GroupStatus.REGRESSED),
        ):
            self.assertIs(status_of(ignored=False, errors_since_retry=errors_since_retry), status)
            self.assertIs(status_of(ignored=True, errors_since_retry=errors_since_retry), GroupStatus.IGNORED)

    def test_unit(self) -> None:
        """Up to three days by hour."""
        self.assertEqual(unit_of(NOW, NOW + timedelta(days=3)), "hour")
        self.assertEqual(unit_of(NOW, NOW + timedelta(days=3, seconds=1)), "day")
        self.assertEqual(unit_of(NOW, NOW - timedelta(days=9)), "hour")
