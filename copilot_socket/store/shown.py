"""The columns of the rows that HTTP shows: by name, the SQL expression of each."""


def same(*names: str) -> dict[str, str]:
    """Columns that are shown under their own names."""
    return {name: f'"{name}"' for name in names}


JOB = {
    **same(
        "id", "created_at", "updated_at", "started_at", "finished_at", "scheduled_at", "status", "command",
        "full_path", "branch", "account_id", "user_id", "provider", "gitlab_url", "spawned_from", "priority",
        "attempts", "max_attempts", "releases", "tries",
    ),
    "failures": '"attempts"',
    "cause": "CASE WHEN status = 'completed' THEN 'completed' ELSE cause::text END",
    **same("resume_state", "progress"),
}  # fmt: skip
ASSIGNMENT = same(
    "web_app_job_id", "crawler_job_id", "account_id", "user_id", "created_at", "assigned_at", "completed_at",
    "status", "metadata", "try", "crawler_key", "started_at", "reported_at",
)  # fmt: skip
TRY = same(
    "job_id", "try", "crawler_job_id", "crawler_key", "assigned_at", "started_at", "ended_at", "outcome", "reason",
    "cause",
)  # fmt: skip
ERROR = same(
    "id", "job_id", "timestamp", "error_type", "error_message", "stack_trace", "context", "retry_count",
    "is_recoverable", "resolution", "cause",
)  # fmt: skip
ACCOUNT = {
    **same("id", "provider", "gitlab_url", "weight", "max_running"),
    "has_refresh_token": "refresh_token IS NOT NULL",
    **same("token_expires_at", "credential_status", "credential_error", "credential_checked_at"),
    **same("created_at", "updated_at"),
}
AREA = same("gitlab_origin", "full_path", "gitlab_id", "name", "type", "created_at")
PAUSE = same("id", "scope", "target", "reason", "author", "created_at", "ends_at")
AUDIT = {
    **same("id", "timestamp"),
    "last_at": "coalesce(last_at, timestamp)",
    **same("door", "actor", "address", "action", "target", "outcome", "count", "details"),
}
HOSTS = """(
  SELECT o.origin, h.max_running, h.held_since, h.opens_at AS next_probe_at, h.last_success_at,
         (SELECT count(*) FROM accounts t WHERE t.gitlab_origin = o.origin) AS accounts
  FROM (SELECT gitlab_origin AS origin FROM accounts UNION SELECT origin FROM hosts) AS o
  LEFT JOIN hosts h ON h.origin = o.origin) AS host"""
HOST = same("origin", "max_running", "held_since", "next_probe_at", "last_success_at", "accounts")
BUDGETS = "budgets b LEFT JOIN low_budgets l USING (gitlab_origin, account_id, name)"
BUDGET = {
    "gitlab_origin": "b.gitlab_origin",
    "account_id": "nullif(b.account_id, '')",
    "name": "nullif(b.name, '')",
    "limit": 'b."limit"',
    "remaining": "CASE WHEN b.reset_at > now() THEN b.remaining END",
    **{each: f"b.{each}" for each in ("reset_at", "closed_until", "requests_per_job")},
    "jobs_allowed": "l.jobs_allowed",
    "until": "l.until",
    "source": "b.source",
    "updated_at": "b.updated_at",
}
CRAWLER = {
    "id": "c.crawler_id",
    "key": "c.key",
    "node_id": "c.node_id",
    "plain": "c.plain",
    "owner": "c.owner",
    "connected": "c.lease_expires_at > now()",
    "max_jobs": "c.max_jobs",
    "mode": "c.mode",
    "suspected_at": "c.suspected_at",
    "entity_types": "c.entity_types",
    "active_jobs": "held.jobs",
    "last_heartbeat": "seen.last_heartbeat",
    "system_status": "seen.system_status",
    "connections": "seen.connections",
    "first_seen": "c.first_seen",
}
CRAWLERS = """
crawlers c
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(a.crawler_job_id ORDER BY a.web_app_job_id), '{}') AS jobs FROM job_assignments a
  WHERE a.crawler_key = c.key AND a.completed_at IS NULL) AS held
CROSS JOIN LATERAL (
  SELECT (SELECT count(*) FROM socket_connections s WHERE s.crawler_key = c.key AND s.is_active) AS connections,
         (SELECT max(s.last_heartbeat) FROM socket_connections s WHERE s.crawler_key = c.key) AS last_heartbeat,
         (SELECT s.system_status FROM socket_connections s
          WHERE s.crawler_key = c.key AND s.system_status IS NOT NULL AND s.last_heartbeat IS NOT NULL
          ORDER BY s.last_heartbeat DESC LIMIT 1) AS system_status) AS seen
"""
TOKEN = {
    "name": "name",
    "role": "role",
    "accounts": "accounts",
    "users": "users",
    "created_at": "created_at",
    "created_by": "created_by",
    "last_used_at": "last_used_at",
    "expires_at": "expires_at",
}
