"""``copilot-socket open``: what it prints, and when it opens a browser."""

import json
import webbrowser

from copilot_socket.cli import open as command
from copilot_socket.cli.open import _has_display
from tests.cli.support import SiteCommandTestCase
from tests.http.test_tokens import SESSION, bearer


class OpenTests(SiteCommandTestCase):
    """The command, at a real site."""

    def setUp(self) -> None:
        super().setUp()
        self.opened: list[str] = []
        self.patch(webbrowser, "open", self.opened.append)
        self.patch(command, "_has_display", lambda *_: True)

    async def test_link(self) -> None:
        """It has a code in its fragment that starts a session, once."""
        link = (await self.call(command)).rstrip("\n")
        before, _, code = link.partition("/#code=")
        self.assertEqual(before, f"http://127.0.0.1:{self.number}")
        self.assertEqual([(await self.post(SESSION, headers=bearer(code))).status for _ in range(2)], [201, 401])
        self.assertEqual(self.opened, [])

    async def test_json(self) -> None:
        """The link, and until when it is good."""
        answer = json.loads(await self.call(command, "--json"))
        self.assertEqual(answer.keys(), {"url", "expires_at"})

    async def test_browser(self) -> None:
        """It is opened on a terminal with a display, unless it is only to be printed."""
        self.patch(self.out, "isatty", lambda: True)
        await self.call(command, "--print")
        self.assertEqual(self.opened, [])
        link = (await self.call(command)).rstrip("\n")
        self.assertEqual(self.opened, [link])

    def test_displays(self) -> None:
        """Where a browser can show something."""
        for environ, platform, expected in (
            ({}, "linux", False),
            ({"DISPLAY": ""}, "linux", False),
            ({"DISPLAY": ":0"}, "linux", True),
            ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
            ({}, "darwin", True),
            ({"SSH_CONNECTION": "x"}, "darwin", False),
        ):
            self.assertEqual(_has_display(environ, platform), expected, (environ, platform))
