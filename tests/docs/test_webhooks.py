"""docs/http.md, "Webhooks": the examples verify what a node sends."""

import re
import shutil
import time
from pathlib import Path
from typing import Any

import orjson
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.core.webhooks import headers, new_secret
from tests.support.crawler import in_reactor
from tests.support.server import run_for, short_directory

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
BODY = '{"id":"01K","event":"ping","data":{"reason":"ü"}}'.encode()


def example(language: str) -> str:
    """The one in *language*."""
    section = PAGE.read_text("utf-8").split("\n## Webhooks\n")[1].split("\n## ")[0]
    [found] = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(found)


def cases(now: float) -> list[tuple[bool, str, dict[str, str], bytes]]:
    """Whether it is right, the secret, the headers, and the body of messages."""
    secret, other = new_secret(), new_secret()

    def sent(*secrets: str, at: float = now) -> dict[str, str]:
        return {name.lower(): value for name, value in headers("01K", BODY, secrets, at).items()}

    return [
        (True, secret, sent(secret), BODY),
        (True, secret, sent(other, secret), BODY),
        (True, secret, sent(secret, at=now - 200), BODY),
        (False, secret, sent(other), BODY),
        (False, secret, sent(secret, at=now - 400), BODY),
        (False, secret, sent(secret, at=now + 400), BODY),
        (False, secret, sent(secret), BODY + b" "),
        (False, secret, {**sent(secret), "webhook-id": "01L"}, BODY),
        (False, secret, {**sent(secret), "webhook-timestamp": str(int(now) + 1)}, BODY),
        (False, secret, {**sent(secret), "webhook-timestamp": "x"}, BODY),
        (False, secret, {**sent(secret), "webhook-signature": "v1,ü v2"}, BODY),
    ]


class PythonTests(SynchronousTestCase):
    """The example in Python."""

    def test_verify(self) -> None:
        """It accepts what is right, and nothing else."""
        names: dict[str, Any] = {}
        exec(example("python"), names)
        for right, secret, given, body in cases(names["time"].time()):
            self.assertIs(names["verify"](secret, given, body), right, given)


class JavaScriptTests(TestCase):
    """The example in JavaScript."""

    if shutil.which("node") is None:
        skip = "node is not installed"

    @in_reactor()
    async def test_verify(self) -> None:
        """The same."""
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        given = [[secret, sent, body.decode()] for _, secret, sent, body in cases(time.time())]
        program = f"""{example("js")}
        for (const [secret, headers, body] of {orjson.dumps(given).decode()})
          console.log(verify(secret, headers, Buffer.from(body)));
        """
        (directory / "verify.mjs").write_text(program, "utf-8")
        node, _ = run_for(self, [str(shutil.which("node")), "verify.mjs"], {}, directory)
        self.assertEqual(await node.ended, 0, node.err)
        expected = [str(right).lower() for right, *_ in cases(0.0)]
        self.assertEqual(node.out.decode().split(), expected)
