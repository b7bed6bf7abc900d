"""Secrets in files: those named by variables `…_FILE`, and systemd's credentials (systemd.exec(5))."""

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import attrs

from copilot_socket.config.model import Fault

SUFFIX = "_FILE"
DIRECTORY = "CREDENTIALS_DIRECTORY"
_LONGEST = 64 * 1024  # bytes


@attrs.define
class SecretFiles:
    """Reads secrets from files and collects their faults. *credentials* is systemd's directory, or None."""

    credentials: Path | None
    secrets: Collection[str]
    """The variables that may be given as files."""
    faults: list[Fault] = attrs.field(factory=list)

    def named_in(self, values: Mapping[str, str], origin: str) -> dict[str, str]:
        """The secrets whose files *values* names. Relative paths start in the credentials directory, if any."""
        found = {}
        for name in self.secrets:
            variable = name + SUFFIX
            given = values.get(variable, "").strip()
            if not given:
                continue
            if values.get(name, "").strip():
                self._fault(variable, given, f"only one of {name} and {variable}", origin)
            else:
                path = Path(given) if self.credentials is None else self.credentials / given
                found[name] = self._read(variable, path, origin)
        return found

    def given_by_systemd(self) -> dict[str, str]:
        """The secrets among the credentials, named ``copilot-http-token`` or ``COPILOT_HTTP_TOKEN``."""
        if self.credentials is None:
            return {}
        try:
            files = {path.name.upper().replace("-", "_"): path for path in sorted(self.credentials.iterdir())}
        except OSError as error:
            reason = f"a directory that can be read ({error.strerror})"
            self._fault(DIRECTORY, str(self.credentials), reason, "environment")
            return {}
        return {name: self._read(name, files[name], DIRECTORY) for name in self.secrets if name in files}

    def _read(self, variable: str, path: Path, origin: str) -> str:
        """The content of the file, stripped; empty if it is invalid, which is recorded as a fault."""
        reason = "it is empty"
        try:
            # O_NONBLOCK: a named pipe without a writer must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    reason = "it is not a plain file"
                elif len(data := file.read(_LONGEST + 1)) > _LONGEST:
                    reason = f"it has more than {_LONGEST} bytes"
                elif text := data.decode().strip():
                    return text
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:  # also for a path with a zero byte
            reason = "it is not in UTF-8"
        self._fault(variable, str(path), f"the path of a file that holds the secret ({reason})", origin)
        return ""

    def _fault(self, variable: str, value: str, allowed: str, origin: str) -> None:
        self.faults.append(Fault(variable, value, allowed, origin))
