"""Every environment variable in one table. A new one is a row here and a field in `model.Config`."""

from collections.abc import Mapping

from copilot_socket.config import endpoints, parsers
from copilot_socket.config.variable import Variable

ENVIRONMENTS = ("development", "production", "test")

_SECOND = 1000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_TEN_YEARS = 3650 * _DAY


V = Variable

ENVIRONMENT = V(
    "COPILOT_ENV",
    "environment",
    parsers.choice(*ENVIRONMENTS),
    "development",
    or_else="NODE_ENV",
    help="which defaults and which .env file count",
)

VARIABLES: tuple[Variable, ...] = (
    ENVIRONMENT,
    V(
        "SOCKET_PATH",
        "socket_path",
        parsers.socket_path,
        "/tmp/gitlab-crawler-dev.sock",
        "/var/run/copilot-study/crawler.sock",
        help="UNIX socket that crawlers connect to",
    ),
    V("SOCKET_MODE", "socket_mode", parsers.mode, "660", help="mode of that socket, octal"),
    V(
        "SOCKET_LOG_LEVEL",
        "log_level",
        parsers.choice("debug", "info", "warn", "error"),
        "debug",
        "info",
        help="lowest level that is logged",
    ),
    V(
        "SOCKET_LOG_FORMAT",
        "log_format",
        parsers.choice("text", "json"),
        "text",
        "json",
        help="shape of a log line",
    ),
    V("SOCKET_LOG_FILE", "log_file", parsers.log_file, "-", help="where the log goes; - is standard output"),
    V(
        "SOCKET_ERROR_LOG_FILE",
        "error_log_file",
        parsers.path,
        "",
        help="where lines of level error and above go too",
    ),
    V(
        "SOCKET_MAX_CONNECTIONS",
        "max_connections",
        parsers.integer(1, 100_000),
        "100",
        "1000",
        help="crawler connections at once",
    ),
    V(
        "SOCKET_HEARTBEAT_INTERVAL",
        "heartbeat_interval",
        parsers.milliseconds(50, _HOUR),
        "10000",
        "60000",
        help="how often a crawler is asked to send a heartbeat",
    ),
    V(
        "SOCKET_HEARTBEAT_TIMEOUT",
        "heartbeat_timeout",
        parsers.milliseconds(50, _DAY),
        "<three times SOCKET_HEARTBEAT_INTERVAL>",
        help="a crawler silent for so long counts as dead; longer than the interval",
    ),
    V(
        "SOCKET_CONNECTION_TIMEOUT",
        "connection_timeout",
        parsers.milliseconds(50, _DAY),
        "30000",
        "120000",
        help="from a crawler's connection to its first valid message",
    ),
    V(
        "SOCKET_RECONNECT_GRACE",
        "reconnect_grace",
        parsers.milliseconds(0, _HOUR),
        "15000",
        help="how long a lost crawler's jobs wait for it",
    ),
    V(
        "SOCKET_LEASE",
        "lease",
        parsers.milliseconds(100, _HOUR),
        "30000",
        help="a node's hold on its jobs, renewed every third",
    ),
    V(
        "SOCKET_SHUTDOWN_TIMEOUT",
        "shutdown_timeout",
        parsers.milliseconds(0, _HOUR),
        "8000",
        help="longest wait for writes when the node stops",
    ),
    V(
        "SOCKET_MAX_CONCURRENT_JOBS",
        "max_concurrent_jobs",
        parsers.integer(1, 1000),
        "2",
        "5",
        help="jobs at once per crawler",
    ),
    V(
        "SOCKET_PLAIN_JOBS",
        "plain_jobs",
        parsers.integer(1, 1000),
        "1",
        help="the same for a crawler that never says hello; at most SOCKET_MAX_CONCURRENT_JOBS",
    ),
    V(
        "SOCKET_MAX_JOBS_LIMIT",
        "max_jobs_limit",
        parsers.integer(1, 1000),
        "100",
        help="upper bound of a crawler's maxJobs; at least SOCKET_MAX_CONCURRENT_JOBS",
    ),
    V(
        "SOCKET_MAX_MESSAGE_SIZE",
        "max_message_size",
        parsers.integer(1024, 8 * 1024 * 1024),
        "1048576",
        "2097152",
        help="bytes of the longest message",
    ),
    V(
        "SOCKET_MESSAGE_RATE",
        "message_rate",
        parsers.integer(0, 1_000_000),
        "0",
        help="messages per connection and second; 0 is no limit",
    ),
    V(
        "SOCKET_JOB_TIMEOUT",
        "job_timeout",
        parsers.milliseconds(100, 30 * _DAY),
        "3600000",
        help="an assignment without a report for this long is ended",
    ),
    V(
        "SOCKET_RETRY_ATTEMPTS",
        "retry_attempts",
        parsers.integer(1, 100),
        "3",
        help="failures after which a job has failed for good",
    ),
    V(
        "SOCKET_RETRY_DELAY",
        "retry_delay",
        parsers.milliseconds(0, _DAY),
        "5000",
        help="base of the back-off between tries",
    ),
    V(
        "DATABASE_URL",
        "database_url",
        parsers.database_url,
        "",
        secret=True,
        help="PostgreSQL 14 or newer; none is the embedded one",
    ),
    V(
        "DATABASE_CONNECTION_POOL",
        "database_pool",
        parsers.integer(1, 150),
        "5",
        "20",
        synonym="SOCKET_DATABASE_CONNECTION_POOL",
        help="connections in the pool",
    ),
    V(
        "SOCKET_QUERY_TIMEOUT",
        "query_timeout",
        parsers.milliseconds(100, _HOUR),
        "30000",
        help="longest statement",
    ),
    V(
        "SOCKET_TRANSACTION_TIMEOUT",
        "transaction_timeout",
        parsers.milliseconds(100, _HOUR),
        "60000",
        help="longest transaction; no shorter than SOCKET_QUERY_TIMEOUT",
    ),
    V(
        "SOCKET_CLEANUP_INTERVAL",
        "cleanup_interval",
        parsers.milliseconds(100, 30 * _DAY),
        "3600000",
        help="how often old rows are removed",
    ),
    V(
        "SOCKET_MAX_JOB_AGE",
        "max_job_age",
        parsers.milliseconds(_SECOND, _TEN_YEARS),
        "604800000",
        help="trees of jobs that are all finished and unchanged for this long are removed",
    ),
    V(
        "SOCKET_MAX_ERROR_LOG_AGE",
        "max_error_log_age",
        parsers.milliseconds(_SECOND, _TEN_YEARS),
        "2592000000",
        help="rows of job_error_log older than this are removed",
    ),
    V("SOCKET_ENABLE_METRICS", "enable_metrics", parsers.boolean, "true", help="whether /metrics answers"),
    V(
        "SOCKET_METRICS_INTERVAL",
        "metrics_interval",
        parsers.milliseconds(100, _HOUR),
        "30000",
        "60000",
        help="how often the gauges are read from the database",
    ),
    V(
        "SOCKET_ALLOWED_ORIGINS",
        "allowed_origins",
        parsers.origins,
        "",
        help="origins whose pages may call the HTTP port",
    ),
    V("COPILOT_HTTP_HOST", "http_host", parsers.host, "127.0.0.1", help="address of the HTTP port"),
    V(
        "COPILOT_HTTP_PORT",
        "http_port",
        parsers.integer(0, 65535),
        "3000",
        or_else="PORT",
        help="the HTTP port; 0 is any free one",
    ),
    V("COPILOT_HTTP_TOKEN", "http_token", parsers.token, "", secret=True, help="bearer token of the API"),
    V(
        "COPILOT_CRAWLER_TOKEN",
        "crawler_tokens",
        parsers.tokens,
        "",
        secret=True,
        help="what a crawler's hello must carry: any of these, separated by commas, so that they can be replaced",
    ),
    V(
        "COPILOT_CRAWLER_UIDS",
        "crawler_uids",
        parsers.uids,
        "",
        help="users whose crawlers need no token: those that don't say hello, or all if no token is set",
    ),
    V(
        "COPILOT_SECRET_KEY",
        "secret_keys",
        parsers.secret_keys,
        "",
        secret=True,
        help="encrypts tokens at rest, newest key first; required in production with DATABASE_URL",
    ),
    V(
        "COPILOT_STATE_DIR",
        "state_dir",
        parsers.absolute_path,
        "<$XDG_STATE_HOME/copilot-socket, as root /var/lib/copilot-study>",
        "/var/lib/copilot-study",
        help="where the embedded PostgreSQL lives",
    ),
    V(
        "DEBUG",
        "debug",
        parsers.namespaces,
        "",
        help="debug level for these namespaces; what does not begin with socket: is ignored",
    ),
    V(
        "COPILOT_LISTEN",
        "listen",
        endpoints.endpoints,
        "",
        help="where crawlers connect besides SOCKET_PATH: TCP with a token, TLS with client certificates",
    ),
    V(
        "GITLAB_URL",
        "gitlab_url",
        parsers.gitlab_origin,
        "",
        help="the GitLab that GITLAB_CLIENT_ID belongs to; only its scheme, host and port count",
    ),
    V(
        "GITLAB_CLIENT_ID",
        "gitlab_client_id",
        parsers.token,
        "",
        help="OAuth application that refreshes tokens; needs GITLAB_URL",
    ),
    V(
        "GITLAB_CLIENT_SECRET",
        "gitlab_client_secret",
        parsers.token,
        "",
        secret=True,
        help="its secret; needs GITLAB_CLIENT_ID",
    ),
)

BY_NAME: Mapping[str, Variable] = {variable.name: variable for variable in VARIABLES}
SECRETS: tuple[str, ...] = tuple(variable.name for variable in VARIABLES if variable.secret)
"""Variables that may also be given as a file: NAME_FILE."""
