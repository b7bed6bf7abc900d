"""The example environments, read by the configuration itself."""

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config import VARIABLES, Config, ConfigFaults, from_environment, load
from ops.tests.support import OPS

NEWER = {"SOCKET_ERROR_LOG_FILE"}
"""In the examples whether or not the table of variables has it already."""

DEVELOPMENT = {
    "environment": "development",
    "socket_path": "/tmp/gitlab-crawler-dev.sock",
    "log_level": "debug",
    "max_connections": 3,
    "heartbeat_interval": 10.0,
    "max_concurrent_jobs": 2,
    "database_url": None,
    "database_pool": 5,
    "metrics_interval": 30.0,
}
PRODUCTION = {
    "environment": "production",
    "socket_path": "/var/run/copilot-study/crawler.sock",
    "log_level": "info",
    "max_connections": 10,
    "heartbeat_interval": 60.0,
    "max_concurrent_jobs": 5,
    "connection_timeout": 120.0,
    "database_url": "postgresql://copilot_server:change-me@127.0.0.1:5432/copilot",
    "database_pool": 20,
    "query_timeout": 30.0,
    "transaction_timeout": 60.0,
    "allowed_origins": ("https://copilot.example.org",),
    "max_message_size": 2097152,
    "metrics_interval": 60.0,
    "cleanup_interval": 3600.0,
    "max_job_age": 604800.0,
    "max_error_log_age": 2592000.0,
}


def text_of(environment: str) -> str:
    """The example for *environment*."""
    return (OPS / "env" / f"{environment}.example").read_text("utf-8")


def values_in(text: str) -> dict[str, str]:
    """The variables that a file sets, as the configuration reads .env files."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items()}


class ExampleTests(SynchronousTestCase):
    """Both of them."""

    def load(self, environment: str, **more: str) -> Config:
        """The configuration of a process that has the example as its environment."""
        return load({"HOME": "/home/someone", **values_in(text_of(environment)), **more}, {}, {}, uid=1000)

    def assert_values(self, config: Config, expected: dict[str, object]) -> None:
        """*config* has these values, and the defaults of its environment everywhere else."""
        plain = {"COPILOT_ENV": config.environment, "HOME": "/home/someone"}
        if config.secret_keys:
            plain["COPILOT_SECRET_KEY"] = ",".join(config.secret_keys)
        default = load(plain, {}, {}, uid=1000)
        for variable in VARIABLES:
            wanted = expected.get(variable.field, getattr(default, variable.field))
            self.assertEqual(getattr(config, variable.field), wanted, variable.name)
        self.assertEqual(set(expected) - {variable.field for variable in VARIABLES}, set())

    def test_development(self) -> None:
        """Every value that is promised, and no other than the defaults beside them."""
        self.assert_values(self.load("development"), DEVELOPMENT)

    def test_production(self) -> None:
        """The same; only the key is left to the administrator, and missed by its name."""
        missing = self.assertRaises(ConfigFaults, self.load, "production")
        self.assertEqual([fault.variable for fault in missing.faults], ["COPILOT_SECRET_KEY"])
        config = self.load("production", COPILOT_SECRET_KEY=Fernet.generate_key().decode())
        self.assert_values(config, PRODUCTION)

    def test_as_env_files(self) -> None:
        """Copied to .env.<COPILOT_ENV> in the working directory they do the same."""
        directory = Path(self.mktemp())
        directory.mkdir()
        key = Fernet.generate_key().decode()
        for environment, expected in (("development", DEVELOPMENT), ("production", PRODUCTION)):
            shutil.copy(OPS / "env" / f"{environment}.example", directory / f".env.{environment}")
            given = {"COPILOT_ENV": environment, "HOME": "/home/someone"}
            self.patch(os, "environ", given | ({"COPILOT_SECRET_KEY": key} if environment == "production" else {}))
            self.patch(os, "geteuid", lambda: 1000)
            self.assert_values(from_environment(directory=directory), expected)

    def test_as_shell(self) -> None:
        """A shell that reads them sets the same values, and so does whatever reads NAME=value lines literally."""
        for environment in ("development", "production"):
            text = text_of(environment)
            script = "set -a; . /dev/stdin; env -0"
            answer = subprocess.run(
                ["/bin/sh", "-c", script], input=text, capture_output=True, text=True, check=True, env={}
            )
            shell = dict(pair.split("=", 1) for pair in answer.stdout.split("\0") if pair)
            literal = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
            self.assertEqual(values_in(text), literal)
            self.assertEqual({name: shell[name] for name in literal}, literal)

    def test_complete(self) -> None:
        """Every variable is there, set or commented out with the default that it has."""
        for environment in ("development", "production"):
            text = text_of(environment)
            shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", text, re.MULTILINE))
            known = {variable.name for variable in VARIABLES}
            self.assertEqual((shown.keys() | values_in(text).keys()) - NEWER, known - NEWER)
            self.assertEqual(shown.keys() & values_in(text).keys(), set())
            defaults = {variable.name: variable.default_in(environment) for variable in VARIABLES}
            interval = int(values_in(text)["SOCKET_HEARTBEAT_INTERVAL"])
            defaults |= {"SOCKET_HEARTBEAT_TIMEOUT": str(3 * interval)}
            for name, value in shown.items() - {(name, "") for name in NEWER}:
                computed = defaults[name].startswith("<")
                self.assertEqual(value, "" if computed else defaults[name], f"{environment}: {name}")

    def test_what_is_said(self) -> None:
        """The key is marked as an addition, and mute connections are said to count."""
        self.assertRegex(text_of("production"), r"in addition to[^=]*\nCOPILOT_SECRET_KEY=\n")
        for environment in ("development", "production"):
            self.assertRegex(text_of(environment), r"Mute connections count too[^=]*\nSOCKET_MAX_CONNECTIONS=\d+\n")
