"""How long trial waits for a test."""

from twisted.trial.unittest import TestCase

from tests.support.crawler import in_reactor


class PatienceTests(TestCase):
    """Tests that run in the reactor."""

    def test_longer_than_usual(self) -> None:
        """A test may take as long as it says, also if that is longer than what trial waits by itself."""

        class Slow(TestCase):
            @in_reactor(500)
            async def test_slow(self) -> None:
                """Is not run."""

        self.assertGreater(Slow("test_slow").getTimeout(), 500)
