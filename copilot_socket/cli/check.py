"""`copilot-socket check`: reports everything that would prevent a node from running."""

from argparse import Namespace
from collections.abc import Iterator

import attrs

from copilot_socket.cli.database_inspection import inspect_database
from copilot_socket.cli.inspection import (
    Finding,
    inspect_crawler_tokens,
    inspect_endpoints,
    inspect_http_port,
    inspect_http_token,
    inspect_log_files,
    inspect_socket,
)
from copilot_socket.cli.options import config_from
from copilot_socket.cli.output import emit, say
from copilot_socket.config import Config, ConfigFaults, Fault
from copilot_socket.core.vault import Vault

_DATABASE_VARIABLES = frozenset({"DATABASE_URL", "COPILOT_STATE_DIR"})
_SOCKET_VARIABLES = frozenset({"SOCKET_PATH"})
_TOKEN_VARIABLES = frozenset({"COPILOT_HTTP_TOKEN", "COPILOT_STATE_DIR"})
_HTTP_VARIABLES = frozenset({"COPILOT_HTTP_HOST", "COPILOT_HTTP_PORT", "PORT"})


def run(args: Namespace) -> int:
    """Print the findings; exit status 0 only if a node could run."""
    faults: tuple[Fault, ...] = ()
    try:
        config = config_from(args)
    except ConfigFaults as error:
        if error.usable is None:
            raise
        config, faults = error.usable, error.faults
    findings = list(_findings(config, faults))
    good = all(finding.good for finding in findings)
    if args.json:
        emit({"ok": good, "findings": [attrs.asdict(finding) for finding in findings], "settings": _settings(config)})
    else:
        _report(config, findings)
    return 0 if good else 1


def _findings(config: Config, faults: tuple[Fault, ...]) -> Iterator[Finding]:
    """Every finding; checks that depend on a faulty variable are skipped."""
    faulty = {fault.variable.removesuffix("_FILE") for fault in faults}
    for fault in faults:
        yield Finding("configuration", False, str(fault), fault.remedy)
    for warning in config.warnings:
        yield Finding("configuration", True, warning, "unset it, unless it is another program's")
    if not faults:
        yield Finding("configuration", True, f"{config.environment}, all values are allowed")
    if not faulty & _DATABASE_VARIABLES:
        vault = None if "COPILOT_SECRET_KEY" in faulty else Vault(config.secret_keys)
        yield from inspect_database(config, vault)
    live = False
    if not faulty & _SOCKET_VARIABLES:
        socket = inspect_socket(config.socket_path)
        live = socket.live
        yield socket.finding
    if not faulty & _HTTP_VARIABLES and not live:
        yield inspect_http_port(config.http_host, config.http_port)
    if not faulty & _TOKEN_VARIABLES:
        yield inspect_http_token(config)
    if "COPILOT_CRAWLER_TOKEN" not in faulty:
        yield from inspect_crawler_tokens(config)
    if "COPILOT_LISTEN" not in faulty:
        yield from inspect_endpoints(config, live)
    yield from inspect_log_files(config)


def _settings(config: Config) -> dict[str, dict[str, str]]:
    return {setting.name: {"value": setting.value, "origin": setting.origin} for setting in config.describe()}


def _report(config: Config, findings: list[Finding]) -> None:
    for setting in config.describe():
        if setting.origin != "default":
            say(f"  {setting.name} = {setting.value}   ({setting.origin})")
    for finding in findings:
        verdict = "FAULT" if not finding.good else "ok   " if finding.remedy is None else "note "
        say(f"{verdict} {finding.subject}: {finding.detail}")
        if finding.remedy:
            say(f"      → {finding.remedy}")
    wrong = sum(not finding.good for finding in findings)
    say("A node can run here." if wrong == 0 else f"{wrong} fault{'s' if wrong > 1 else ''} found.")
