"""The configuration: valid and invalid values of each variable, precedence, agreement with the documentation."""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config import (
    VARIABLES,
    Config,
    ConfigFaults,
    Fault,
    Variable,
    from_environment,
    load,
    masked_url,
    option_names,
)
from copilot_socket.core.endpoints import UNIXEndpoint

KEY = "A" * 43 + "="
SECRET = "hush-hush"
NONE: Mapping[str, str] = {}
HOME = {"HOME": "/home/someone"}

# For every variable: a value that is allowed, what it becomes, and values that are faults.
VALUES: dict[str, tuple[str, object, list[str]]] = {
    "COPILOT_ENV": ("test", "test", ["staging", "../x"]),
    "SOCKET_PATH": ("/run/a.sock", "/run/a.sock", ["relative.sock", "/run/", "/" + "x" * 107, "/" + "ä" * 54]),
    "SOCKET_MODE": ("0600", 0o600, ["9", "888", "66", "00660", "0o66", "077", "rw", "-660"]),
    "SOCKET_LOG_LEVEL": ("WARN", "warn", ["warning", "loud"]),
    "SOCKET_LOG_FORMAT": ("JSON", "json", ["xml", "jsonl"]),
    "SOCKET_LOG_FILE": ("/var/log/x", Path("/var/log/x"), []),
    "SOCKET_ERROR_LOG_FILE": ("/var/log/errors", Path("/var/log/errors"), ["-"]),
    "SOCKET_MAX_CONNECTIONS": ("7", 7, ["0", "-1", "1.5", "many", "1_0", "\u0661", "100001"]),
    "SOCKET_HEARTBEAT_INTERVAL": ("1500", 1.5, ["0", "10s", "3600001"]),
    "SOCKET_HEARTBEAT_TIMEOUT": ("45500", 45.5, ["0", "10000", "9999"]),
    "SOCKET_CONNECTION_TIMEOUT": ("1000", 1.0, ["0", "x"]),
    "SOCKET_RECONNECT_GRACE": ("0", 0.0, ["-1", "3600001"]),
    "SOCKET_LEASE": ("100", 0.1, ["99", "x"]),
    "SOCKET_SHUTDOWN_TIMEOUT": ("0", 0.0, ["-1", "x"]),
    "SOCKET_MAX_CONCURRENT_JOBS": ("9", 9, ["0", "1001"]),
    "SOCKET_PLAIN_JOBS": ("2", 2, ["0", "3"]),
    "SOCKET_MAX_JOBS_LIMIT": ("7", 7, ["0", "1001"]),
    "SOCKET_MAX_MESSAGE_SIZE": ("4096", 4096, ["0", "1023", "8388609", "1MB"]),
    "SOCKET_MESSAGE_RATE": ("5", 5, ["1000001", "-1", "fast"]),
    "SOCKET_JOB_TIMEOUT": ("60000", 60.0, ["0", "x"]),
    "SOCKET_RETRY_ATTEMPTS": ("1", 1, ["0", "101"]),
    "SOCKET_RETRY_DELAY": ("0", 0.0, ["-1", "x"]),
    "DATABASE_URL": (
        f"postgres://a:{SECRET}@h/d",
        f"postgres://a:{SECRET}@h/d",
        [
            f"mysql://a:{SECRET}@h",
            f"host={SECRET}",
            f"postgresql://a:{SECRET}@h:0/d",
            f"postgresql://{SECRET}@[h/d",
            *(f"postgresql://a:1{mark}{SECRET}@h/d" for mark in "@/?"),
            f"postgresql://h/{SECRET}@/d",
            f"postgresql://h?password={SECRET}@x/d",
            f"postgresql:///d?host={SECRET}@h",
        ],
    ),
    "DATABASE_CONNECTION_POOL": ("12", 12, ["0", "151"]),
    "SOCKET_QUERY_TIMEOUT": ("500", 0.5, ["0", "x"]),
    "SOCKET_TRANSACTION_TIMEOUT": ("30000", 30.0, ["0", "29999"]),
    "SOCKET_CLEANUP_INTERVAL": ("1000", 1.0, ["0"]),
    "SOCKET_MAX_JOB_AGE": ("1000", 1.0, ["0"]),
    "SOCKET_MAX_ERROR_LOG_AGE": ("1000", 1.0, ["0"]),
    "COPILOT_AUDIT_AGE": ("1000", 1.0, ["0"]),
    "SOCKET_ENABLE_METRICS": ("Off", False, ["maybe", "2"]),
    "SOCKET_METRICS_INTERVAL": ("1000", 1.0, ["0"]),
    "SOCKET_ALLOWED_ORIGINS": (
        "https://A.example, http://b.example:80,https://[::1]:0444",
        ("https://a.example", "http://b.example", "https://[::1]:444"),
        ["*", "a.example", "https://a.example/", "https://a.example/x", "ftp://a.example", "https://u@a.example"],
    ),
    "COPILOT_HTTP_HOST": ("::1", "::1", ["example.org", "300.1.1.1"]),
    "COPILOT_HTTP_PORT": ("0", 0, ["65536", "http"]),
    "COPILOT_HTTP_TOKEN": (SECRET, SECRET, [f"{SECRET} {SECRET}", f"{SECRET}é", SECRET * 800]),
    "COPILOT_HTTP_RATE": ("0", 0, ["-1", "1.5", "many"]),
    "COPILOT_CRAWLER_TOKEN": ("new, old", ("new", "old"), [f"{SECRET} {SECRET}", f"a,{SECRET}é", SECRET * 800, ","]),
    "COPILOT_CRAWLER_UIDS": ("0, 1000", (0, 1000), ["root", "-1", "1.5", ","]),
    "COPILOT_SECRET_KEY": (f"{KEY}, {KEY}", (KEY, KEY), [SECRET, f"{KEY},{SECRET}", "A" * 44, ","]),
    "COPILOT_STATE_DIR": (
        "~/state",
        Path("/home/someone/state"),
        ["relative", f"/{'a/' * 450}b", f"/{'a' * 256}", "/a\nb"],
    ),
    "DEBUG": (
        "express:*, socket:wire websocket:x,socket:*",
        ("socket:wire", "socket:*"),
        ["socket:wires", "socket:", "socket:wire,-socket:store", "socket:Wire", "socket:store.*"],
    ),
    "COPILOT_LISTEN": (
        "unix:/run/a.sock:mode=600 ;\n unix:address=/b\\:c",
        (
            UNIXEndpoint("unix:/run/a.sock:mode=600", "/run/a.sock", 0o600),
            UNIXEndpoint("unix:address=/b\\:c", "/b:c"),
        ),
        ["tcp:1234", "tcp:x", "unix:a", "systemd:domain=INET:index=0", "ssl:1", "ssl:1:certKey=c", "x=tcp:1"],
    ),
    "GITLAB_URL": (
        "https://GitLab.example.org:443/api/v4",
        "https://gitlab.example.org",
        ["gitlab.example.org", "ftp://h", "https://", "https://h?x", "https://h#x", "https://h/\\x", "https://h:x"],
    ),
    "GITLAB_CLIENT_ID": ("id", "id", ["i d"]),
    "GITLAB_CLIENT_SECRET": (SECRET, SECRET, [f"{SECRET} x"]),
}
NEEDED_WITH = {
    "GITLAB_CLIENT_ID": {"GITLAB_URL": "https://h"},
    "GITLAB_CLIENT_SECRET": {"GITLAB_URL": "https://h", "GITLAB_CLIENT_ID": "id"},
}


def one_line(variable: Variable) -> str:
    """The line of docs/configuration.md that says the same as the table's row."""

    def shown(environment: str) -> str:
        default = variable.default_in(environment)
        return f"`{default}`" if default and not default.startswith("<") else default.strip("<>")

    names = f"`{variable.name}`"
    if variable.or_else:
        names += f" (or else `{variable.or_else}`)"
    if variable.synonym:
        names += f" (also as `{variable.synonym}`)"
    cells = (names, shown("development"), shown("production"), variable.parser.allowed, variable.help)
    return "| " + " | ".join(cells) + " |"


def faults_of(environ: Mapping[str, str], *, uid: int = 1000) -> list[Fault]:
    """The faults of an environment; none when it is right."""
    try:
        load({**HOME, **environ}, NONE, NONE, uid=uid)
    except ConfigFaults as error:
        return list(error.faults)
    return []


class TableTests(SynchronousTestCase):
    """Every variable, by its row."""

    def test_complete(self) -> None:
        """Rows, fields of Config, options, and the values tried below belong together one to one."""
        fields = [field.name for field in attrs.fields(Config) if field.name not in ("settings", "warnings")]
        self.assertEqual(sorted(fields), sorted(variable.field for variable in VARIABLES))
        self.assertEqual(list(VALUES), [variable.name for variable in VARIABLES])
        secret = {variable.name for variable in VARIABLES if variable.secret} - {"DATABASE_URL"}
        self.assertEqual([option.variable for option in option_names()], [x for x in VALUES if x not in secret])
        self.assertEqual(option_names()[1].name, "socket-path")

    def test_documented(self) -> None:
        """docs/configuration.md has each variable with both defaults and what is allowed."""
        text = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
        found = [line for line in text.splitlines() if line.startswith("| `")]
        self.assertEqual(found, [one_line(variable) for variable in VARIABLES])

    def test_allowed_values(self) -> None:
        """An allowed value is taken, from an option as from the environment, and parsed as its field has it."""
        for variable in VARIABLES:
            text, value, _ = VALUES[variable.name]
            given = {**NEEDED_WITH.get(variable.name, {}), variable.name: text}
            configs = [load({**HOME, **given}, NONE, NONE, uid=1000)]
            if not variable.secret:
                configs.append(load(HOME, NONE, given, uid=1000))
            for config in configs:
                self.assertEqual(getattr(config, variable.field), value, variable.name)

    def test_password_as_an_option(self) -> None:
        """A database URL may be an option, where everybody sees it; one with a password in it may not."""
        given = {"DATABASE_URL": "postgresql://me@h/d"}
        self.assertEqual(load(HOME, NONE, given, uid=1000).database_url, given["DATABASE_URL"])
        for url in (f"postgresql://me:{SECRET}@h/d", f"postgresql://h/d?password={SECRET}"):
            error = self.assertRaises(ConfigFaults, load, HOME, NONE, {"DATABASE_URL": url}, uid=1000)
            self.assertIn("DATABASE_URL_FILE", str(error))
            self.assertNotIn(SECRET, str(error))

    def test_faulty_values(self) -> None:
        """Any other value is one fault that names the variable, the value unless secret, and what is allowed."""
        for variable in VARIABLES:
            for text in VALUES[variable.name][2]:
                given = {**NEEDED_WITH.get(variable.name, {}), variable.name: text}
                faults = faults_of(given)
                self.assertEqual([fault.variable for fault in faults], [variable.name], text)
                message = str(faults[0])
                self.assertIn(f"{variable.name} is", message)
                self.assertIn("allowed is", message)
                self.assertIn("***" if variable.secret else repr(text), message)
                self.assertNotIn(SECRET, message + repr(faults))


class LoadTests(SynchronousTestCase):
    """What several variables or places do together."""

    def test_nothing_set(self) -> None:
        """Nothing at all is a development configuration on the embedded database."""
        config = load(HOME, NONE, NONE, uid=1000)
        self.assertEqual((config.environment, config.database_url), ("development", None))
        self.assertEqual((config.heartbeat_interval, config.heartbeat_timeout), (10.0, 30.0))
        self.assertEqual((config.log_level, config.log_format, config.debug), ("debug", "text", ()))
        self.assertEqual((config.socket_mode, config.http_port), (0o660, 3000))

    def test_production(self) -> None:
        """Production has defaults of its own; NODE_ENV chooses them where COPILOT_ENV is not set."""
        config = load({**HOME, "NODE_ENV": "production"}, NONE, NONE, uid=1000)
        self.assertEqual((config.environment, config.database_pool), ("production", 20))
        self.assertEqual((config.log_level, config.log_format), ("info", "json"))
        self.assertEqual((config.heartbeat_interval, config.heartbeat_timeout), (60.0, 180.0))
        self.assertEqual(config.socket_path, "/var/run/copilot-study/crawler.sock")
        both = {**HOME, "NODE_ENV": "production", "COPILOT_ENV": "development"}
        self.assertEqual(load(both, NONE, NONE, uid=1000).environment, "development")

    def test_test_environment(self) -> None:
        """`test` has development's defaults."""
        config = load({**HOME, "COPILOT_ENV": "test"}, NONE, NONE, uid=1000)
        self.assertEqual((config.environment, config.log_level), ("test", "debug"))

    def test_bad_environment_name(self) -> None:
        """A bad name is a fault of the variable that it came from."""
        self.assertEqual([fault.variable for fault in faults_of({"NODE_ENV": "staging"})], ["NODE_ENV"])

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from(["", "  ", "1", "2", "3"]), min_size=3, max_size=3))
    def test_precedence(self, texts: list[str]) -> None:
        """Precedence is option, environment, .env file, default; empty and blank values count as unset."""
        option, environment, file = ({"SOCKET_RETRY_ATTEMPTS": text} for text in texts)
        config = load({**HOME, **environment}, file, option, uid=1000)
        winner = next((text for text in texts if text.strip()), "3")
        self.assertEqual(config.retry_attempts, int(winner))
        origins = ["option", "environment", ".env.development", "default"]
        origin = next((origin for origin, text in zip(origins, texts, strict=False) if text.strip()), "default")
        setting = next(s for s in config.describe() if s.name == "SOCKET_RETRY_ATTEMPTS")
        self.assertEqual((setting.value, setting.origin), (winner, origin))

    def test_file_does_not_choose_itself(self) -> None:
        """COPILOT_ENV has no effect in the .env file, which it selects."""
        self.assertEqual(load(HOME, {"COPILOT_ENV": "production"}, NONE, uid=1000).environment, "development")

    def test_timeout_follows_interval(self) -> None:
        """The heartbeat time-out defaults to three times the interval in force."""
        given = {**HOME, "SOCKET_HEARTBEAT_INTERVAL": "2000"}
        self.assertEqual(load(given, NONE, NONE, uid=1000).heartbeat_timeout, 6.0)

    def test_port(self) -> None:
        """PORT counts where COPILOT_HTTP_PORT is set nowhere, and is named when it is wrong."""
        self.assertEqual(load({**HOME, "PORT": "81"}, NONE, NONE, uid=1000).http_port, 81)
        given = {**HOME, "PORT": "81"}
        self.assertEqual(load(given, {"COPILOT_HTTP_PORT": "82"}, NONE, uid=1000).http_port, 82)
        self.assertEqual([fault.variable for fault in faults_of({"PORT": "x"})], ["PORT"])

    def test_pool_by_two_names(self) -> None:
        """Either name sets the pool; both are fine when they agree, and a stronger place settles it."""
        one, other = "DATABASE_CONNECTION_POOL", "SOCKET_DATABASE_CONNECTION_POOL"
        self.assertEqual(load({**HOME, other: "7"}, NONE, NONE, uid=1000).database_pool, 7)
        self.assertEqual(load({**HOME, one: "7", other: "7"}, NONE, NONE, uid=1000).database_pool, 7)
        self.assertEqual(load({**HOME, other: "7"}, NONE, {one: "8"}, uid=1000).database_pool, 8)
        self.assertEqual([fault.variable for fault in faults_of({one: "7", other: "8"})], [other])

    def test_together(self) -> None:
        """What contradicts something else is a fault, unless the other is the faulty one."""
        for values, variable in (
            ({"SOCKET_HEARTBEAT_INTERVAL": "60000", "SOCKET_HEARTBEAT_TIMEOUT": "60000"}, "SOCKET_HEARTBEAT_TIMEOUT"),
            ({"SOCKET_QUERY_TIMEOUT": "70000"}, "SOCKET_TRANSACTION_TIMEOUT"),
            ({"SOCKET_MAX_CONCURRENT_JOBS": "3", "SOCKET_PLAIN_JOBS": "4"}, "SOCKET_PLAIN_JOBS"),
            ({"SOCKET_MAX_CONCURRENT_JOBS": "3", "SOCKET_MAX_JOBS_LIMIT": "2"}, "SOCKET_MAX_JOBS_LIMIT"),
            ({"SOCKET_LOG_FILE": "./log", "SOCKET_ERROR_LOG_FILE": "log"}, "SOCKET_ERROR_LOG_FILE"),
            ({"GITLAB_CLIENT_SECRET": SECRET, "GITLAB_URL": "http://h"}, "GITLAB_CLIENT_ID"),
            ({"GITLAB_CLIENT_ID": "id"}, "GITLAB_URL"),
            ({"COPILOT_ENV": "production", "DATABASE_URL": "postgresql://h/d"}, "COPILOT_SECRET_KEY"),
            ({"SOCKET_HEARTBEAT_INTERVAL": "x", "SOCKET_HEARTBEAT_TIMEOUT": "60"}, "SOCKET_HEARTBEAT_INTERVAL"),
        ):
            self.assertEqual([fault.variable for fault in faults_of(values)], [variable], values)

    def test_unknown_names(self) -> None:
        """A misspelt variable is a fault in the .env file; other programs' variables are ignored."""
        for name, nearest in (
            ("SOCKET_MAX_CONNECTION", "SOCKET_MAX_CONNECTIONS"),
            ("COPILOT_HTTP_TOKEN_FIL", "COPILOT_HTTP_TOKEN_FILE"),
            ("SOCKET_PATH_FILE", "SOCKET_PATH"),
            ("COPILOT_NONSENSE", None),
        ):
            text = f"{name} (.env.development) is not a variable of copilot-socket"
            text += f": is {nearest} meant?" if nearest else ""
            error = self.assertRaises(ConfigFaults, load, HOME, {name: SECRET}, NONE, uid=1000)
            self.assertEqual(str(error), text)
            config = load({**HOME, name: SECRET}, NONE, NONE, uid=1000)
            self.assertEqual(config.warnings, (text.replace(".env.development", "environment"),))
        for name, nearest in (("DATABASE_URLL", "DATABASE_URL"), ("socket_path", "SOCKET_PATH")):
            for environ, dotenv in (({**HOME, name: "x"}, NONE), (HOME, {name: "x"})):
                [warning] = load(environ, dotenv, NONE, uid=1000).warnings
                self.assertIn(f"is not a variable of copilot-socket: is {nearest} meant?", warning)
        self.assertEqual(load(HOME, {"GITLAB_URLS": "x", "GITLAB_URL": "https://x"}, NONE, uid=1000).warnings, ())
        known = {"SOCKET_DATABASE_CONNECTION_POOL": "5", "COPILOT_ENV": "test", "NODE_ENV": "x", "GITLAB_X": "x"}
        self.assertEqual(load(HOME, known, NONE, uid=1000).warnings, ())

    def test_key_not_needed(self) -> None:
        """Without DATABASE_URL, and outside production, there need be no key."""
        self.assertEqual(faults_of({"COPILOT_ENV": "production"}), [])
        self.assertEqual(faults_of({"DATABASE_URL": "postgresql://h/d"}), [])

    def test_all_faults_at_once(self) -> None:
        """Every fault is reported, and the configuration without them is available for reports."""
        given = {"SOCKET_MODE": "9", "DATABASE_URL": "x", "PORT": "x", "SOCKET_LEASE": "250"}
        error = self.assertRaises(ConfigFaults, load, {**HOME, **given}, NONE, NONE, uid=1000)
        self.assertEqual({fault.variable for fault in error.faults}, {"SOCKET_MODE", "DATABASE_URL", "PORT"})
        self.assertEqual(len(str(error).splitlines()), 3)
        assert error.usable is not None
        self.assertEqual((error.usable.socket_mode, error.usable.lease), (0o660, 0.25))

    def test_state_directory(self) -> None:
        """The state directory follows XDG, and is the system's for root and in production."""
        system = "/var/lib/copilot-study"
        for environ, uid, expected in (
            (HOME, 1000, "/home/someone/.local/state/copilot-socket"),
            ({**HOME, "XDG_STATE_HOME": "/elsewhere"}, 1000, "/elsewhere/copilot-socket"),
            ({**HOME, "XDG_STATE_HOME": "relative"}, 1000, "/home/someone/.local/state/copilot-socket"),
            ({**HOME, "XDG_STATE_HOME": "/elsewhere"}, 0, system),
            ({**HOME, "COPILOT_ENV": "production"}, 1000, system),
            ({**HOME, "COPILOT_STATE_DIR": "/mine"}, 0, "/mine"),
        ):
            self.assertEqual(load(environ, NONE, NONE, uid=uid).state_dir, Path(expected))
        [fault] = faults_of({"XDG_STATE_HOME": "/" + "x" * 900})
        self.assertRegex(
            str(fault), r"^COPILOT_STATE_DIR is '/x*/copilot-socket' \(default\): allowed is an absolute"
        )

    def test_secrets_are_masked(self) -> None:
        """Neither the configuration's repr nor its description shows a secret."""
        given = {
            "DATABASE_URL": f"postgresql://user:{SECRET}@h:5/d?sslpassword={SECRET}",
            "COPILOT_HTTP_TOKEN": SECRET,
            "COPILOT_SECRET_KEY": KEY,
            "GITLAB_URL": "https://h",
            "GITLAB_CLIENT_ID": "id",
            "GITLAB_CLIENT_SECRET": SECRET,
        }
        config = load({**HOME, **given}, NONE, NONE, uid=1000)
        shown = repr(config) + repr(config.describe())
        self.assertNotIn(SECRET, shown)
        self.assertNotIn(KEY, shown)
        self.assertIn("postgresql://user:***@h:5/d", shown)

    def test_a_password_in_the_url_of_gitlab(self) -> None:
        """A GITLAB_URL with a password is refused, and not repeated."""
        [fault] = faults_of({"GITLAB_URL": f"https://me:{SECRET}@h"})
        self.assertEqual(fault.variable, "GITLAB_URL")
        self.assertNotIn(SECRET, str(fault))
        self.assertIn("https://***@h", str(fault))

    def test_masked_url(self) -> None:
        """A masked URL names user, host, port and database and nothing else."""
        self.assertEqual(masked_url("postgresql:///d?host=/run/pg&password=x"), "postgresql://:***@%2Frun%2Fpg/d")
        self.assertEqual(masked_url("postgresql://h/"), "postgresql://h/")
        self.assertEqual(masked_url("nonsense"), "***")


class EdgeTests(SynchronousTestCase):
    """The process's environment and the .env file."""

    def setUp(self) -> None:
        """A working directory and an environment of our own."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.patch(os, "environ", dict(HOME))

    def load(self, **overrides: str) -> Config:
        """The configuration as the process would have it."""
        return from_environment(overrides, directory=self.directory)

    def test_file_of_the_environment(self) -> None:
        """The file named after the environment is read, and no other; a dollar sign in it is a dollar sign."""
        (self.directory / ".env.development").write_text("SOCKET_LEASE=1000\nCOPILOT_HTTP_TOKEN='a$HOME'\n# x\n")
        (self.directory / ".env.production").write_text("SOCKET_LEASE=2000\n")
        self.assertEqual((self.load().lease, self.load().http_token), (1.0, "a$HOME"))
        self.assertEqual(self.load(COPILOT_ENV="production").lease, 2.0)
        os.environ["SOCKET_LEASE"] = "3000"
        self.assertEqual(self.load().lease, 3.0)

    def test_no_file(self) -> None:
        """There need be no file."""
        self.assertEqual(self.load().lease, 30.0)

    def test_unreadable_file(self) -> None:
        """An unreadable file is a fault, reported together with the others."""
        os.environ["SOCKET_MODE"] = "9"
        (self.directory / ".env.development").write_bytes(b"\xff\xfe")
        error = self.assertRaises(ConfigFaults, self.load)
        self.assertEqual([fault.variable for fault in error.faults], [".env.development", "SOCKET_MODE"])
        (self.directory / ".env.development").unlink()
        (self.directory / ".env.development").mkdir()
        error = self.assertRaises(ConfigFaults, self.load)
        self.assertIn("directory", str(error))

    def test_home_is_found(self) -> None:
        """Without HOME the user database says where the state directory is."""
        os.environ.clear()
        self.assertTrue(self.load().state_dir.is_absolute())

    def test_no_home_at_all(self) -> None:
        """A user of whom nothing is known, as in a container under any number, has the system's state directory."""
        os.environ.clear()
        self.patch(os, "geteuid", lambda: 54321)
        self.patch(os, "getuid", lambda: 54321)
        for home in ({}, {"HOME": ""}, {"HOME": "/"}):
            self.patch(os, "environ", home)
            self.assertEqual(self.load().state_dir, Path("/var/lib/copilot-study"))

    def test_removed_working_directory(self) -> None:
        """A working directory that somebody removed has no file."""
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.directory)
        Path.cwd().rmdir()
        self.assertEqual(from_environment().lease, 30.0)
