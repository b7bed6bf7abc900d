"""The configuration's files: `.env.<COPILOT_ENV>`, and secrets in files of their own."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config import VARIABLES, ConfigFaults, from_environment
from copilot_socket.config.dotenv import distrusted
from tests.test_config import HOME, KEY, NEEDED_WITH, SECRET


class FilesTestCase(SynchronousTestCase):
    """An environment and a working directory of our own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.dotenv = self.directory / ".env.development"
        self.environ = dict(HOME)

    def use(self, **environ: str) -> None:
        """Have just these variables, and HOME."""
        self.patch(os, "environ", {**self.environ, **environ})

    def faults(self) -> ConfigFaults:
        """What is wrong with the environment; the secret is not in it."""
        error = self.assertRaises(ConfigFaults, from_environment, directory=self.directory)
        self.assertNotIn(SECRET, str(error) + repr(error.faults))
        return error


class DotenvTests(FilesTestCase):
    """The .env file."""

    def test_lines(self) -> None:
        """Every line that is no NAME=value is a fault with its number, which does not repeat the line."""
        self.use()
        text = f"SOCKET_LEASE=1000\n\n# comment\n{SECRET}\nA B=C\nexport X=1\nCOPILOT_HTTP_TOKEN '{SECRET}'\nY='1\n"
        self.dotenv.write_text("\ufeff" + text, "utf-8")
        error = self.faults()
        lines = [f".env.development, line {number}: expected NAME=value" for number in (4, 5, 7, 8)]
        self.assertEqual(str(error).splitlines(), lines)
        assert error.usable is not None
        self.assertEqual(error.usable.lease, 1.0)

    def test_a_pipe(self) -> None:
        """A named pipe to which nobody writes is an empty file, and nothing to wait for."""
        self.use()
        os.mkfifo(self.dotenv, 0o600)
        self.assertEqual(from_environment(directory=self.directory).lease, 30.0)

    def test_whose_file(self) -> None:
        """A file that somebody else can have written is not read, and that is a fault."""
        self.use()
        self.dotenv.write_text("SOCKET_LEASE=1000\n")
        for directory_mode, file_mode, why in (
            (0o755, 0o644, None),
            (0o1777, 0o644, None),
            (0o777, 0o644, "everyone may write to its directory"),
            (0o755, 0o666, "everyone may write to it"),
        ):
            self.directory.chmod(directory_mode)
            self.dotenv.chmod(file_mode)
            if why is None:
                self.assertEqual(from_environment(directory=self.directory).lease, 1.0)
            else:
                error = self.faults()
                self.assertIn(f"is not read: {why}", str(error))
                assert error.usable is not None
                self.assertEqual(error.usable.lease, 30.0)

    def test_whom_to_trust(self) -> None:
        """Ourselves and root, and a group only if it is our own."""
        me, mine = os.geteuid(), os.getegid()
        for mode, owner, group, why in (
            (0o644, 0, 0, None),
            (0o664, me, mine, None),
            (0o664, me, mine + 1, f"group {mine + 1} may write to it"),
            (0o644, me, mine + 1, None),
            (0o600, me + 1, mine, f"it belongs to user {me + 1}"),
            (0o646, me, mine, "everyone may write to it"),
        ):
            self.assertEqual(distrusted(os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0)), "it"), why)


class SecretFileTests(FilesTestCase):
    """Secrets in files of their own."""

    def file(self, name: str, content: str) -> str:
        """A file; its path."""
        (self.directory / name).write_text(content)
        return str(self.directory / name)

    def test_every_secret(self) -> None:
        """Each may be in a file that the environment or the .env file names, or be a credential of systemd's."""
        texts = {"COPILOT_SECRET_KEY": KEY, "DATABASE_URL": f"postgresql://a:{SECRET}@h/d"}
        credentials = str(self.directory)
        for variable in (variable for variable in VARIABLES if variable.secret):
            name, text = variable.name, texts.get(variable.name, SECRET)
            self.environ = {**HOME, **NEEDED_WITH.get(name, {})}
            path = self.file("secret", f"  {text}\n")
            for environ, line in (
                ({f"{name}_FILE": path}, ""),
                ({}, f"{name}_FILE='{path}'"),
                ({"CREDENTIALS_DIRECTORY": credentials, f"{name}_FILE": "secret"}, ""),
                ({"CREDENTIALS_DIRECTORY": credentials}, f"{name}_FILE=secret"),
            ):
                self.dotenv.write_text(line)
                self.use(**environ)
                config = from_environment(directory=self.directory)
                self.assertIn(getattr(config, variable.field), (text, (text,)), name)
                self.assertNotIn(text, repr(config.describe()))
            self.dotenv.unlink()
            for credential in (name, name.lower(), name.lower().replace("_", "-")):
                self.file(credential, f"{text}\n")
                self.use(CREDENTIALS_DIRECTORY=credentials)
                config = from_environment(directory=self.directory)
                self.assertIn(getattr(config, variable.field), (text, (text,)), name)
                (self.directory / credential).unlink()

    def test_who_beats_whom(self) -> None:
        """The environment, by value or file, beats a credential, which beats the .env file."""
        self.file("COPILOT_HTTP_TOKEN", "credential")
        named = self.file("named", "named")
        self.dotenv.write_text("COPILOT_HTTP_TOKEN=dotenv\n")
        credentials = {"CREDENTIALS_DIRECTORY": str(self.directory)}
        for environ, token, source in (
            ({}, "dotenv", "file"),
            (credentials, "credential", "credential"),
            ({**credentials, "COPILOT_HTTP_TOKEN_FILE": named}, "named", "file"),
            ({**credentials, "COPILOT_HTTP_TOKEN": "plain"}, "plain", "environment"),
        ):
            self.use(**environ)
            config = from_environment(directory=self.directory)
            [setting] = (each for each in config.describe() if each.name == "COPILOT_HTTP_TOKEN")
            self.assertEqual((config.http_token, setting.source, setting.default), (token, source, ""))
        self.use(SOCKET_LEASE="200")
        config = from_environment({"SOCKET_LEASE": "300"}, directory=self.directory)
        [setting] = (each for each in config.describe() if each.name == "SOCKET_LEASE")
        self.assertEqual((setting.value, setting.source, setting.default), ("300", "option", "30000"))

    def test_twice(self) -> None:
        """A secret and its file in the same place are a fault."""
        self.use(COPILOT_HTTP_TOKEN=SECRET, COPILOT_HTTP_TOKEN_FILE=self.file("named", SECRET))
        self.assertIn("only one of COPILOT_HTTP_TOKEN and COPILOT_HTTP_TOKEN_FILE", str(self.faults()))

    def test_what_will_not_do(self) -> None:
        """A file that holds no secret is a fault with the reason, and none is waited for."""
        os.mkfifo(self.directory / "pipe")
        (self.directory / "bytes").write_bytes(b"\xff")
        for path, reason in (
            ("/nowhere", "No such file or directory"),
            (str(self.directory), "Is a directory"),
            (str(self.directory / "pipe"), "it is not a plain file"),
            ("/dev/zero", "it is not a plain file"),
            (self.file("empty", " \n"), "it is empty"),
            (self.file("large", "x" * 70_000), "it has more than 65536 bytes"),
            (str(self.directory / "bytes"), "it is not in UTF-8"),
        ):
            self.use(COPILOT_HTTP_TOKEN_FILE=path)
            [fault] = self.faults().faults
            self.assertIn(f"COPILOT_HTTP_TOKEN_FILE is '{path}' (environment)", str(fault))
            self.assertIn(reason, str(fault))
        self.use(COPILOT_HTTP_TOKEN_FILE=self.file("two words", f"{SECRET} {SECRET}"))
        self.assertIn("COPILOT_HTTP_TOKEN is '***' (a file that the environment names)", str(self.faults()))
