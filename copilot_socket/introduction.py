"""What a node that has started logs of itself, for the person who has started it."""

from twisted.logger import Logger

from copilot_socket.config import Config, masked_url
from copilot_socket.ports import Ports

_log = Logger("copilot_socket.node")


def log_addresses(config: Config, dsn: str, ports: Ports) -> None:
    """Log where the node listens and which database it uses."""
    embedded = config.database_url is None
    where = f"embedded PostgreSQL in {config.state_dir}" if embedded else masked_url(dsn)
    http = {"host": ports.http_host, "port": ports.http_port}
    for name in ports.crawlers:
        _log.info("Crawlers connect to {path}", path=name)
    _log.info("HTTP is on http://{host}:{port}/", **http)
    _log.info("The dashboard: copilot-socket open")
    _log.info("The database is {where}", where=where)
    _log.info(
        "A first account and its jobs: copilot-socket seed. Further jobs: copilot-socket jobs submit ACCOUNT "
        "COMMAND [PATH], or POST http://{host}:{port}/api/v1/jobs",
        **http,
    )
