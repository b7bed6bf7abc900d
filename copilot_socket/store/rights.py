"""The tables, functions and rights that a node needs, and statements that find the missing ones."""

from collections.abc import Mapping

VERSION_TABLE = "copilot_socket_version"
"""Alembic's table, which holds the revision of the others. A node only reads it."""
TABLES = (
    "accounts",
    "area_authorizations",
    "areas",
    "audit_log",
    "budgets",
    "crawler_ends",
    "crawlers",
    "disturbances",
    "error_counts",
    "error_groups",
    "event_numbers",
    "events",
    "hosts",
    "http_links",
    "http_sessions",
    "http_tokens",
    "idempotency_keys",
    "job_assignments",
    "job_count_checks",
    "job_count_deltas",
    "job_counts",
    "job_error_log",
    "job_history",
    "job_past_tries",
    "jobs",
    "nodes",
    "oauth_clients",
    "operations",
    "pauses",
    "restriction_changes",
    "socket_connections",
    "webhook_deliveries",
    "webhook_place",
    "webhooks",
    "write_probe",
)
"""The tables that a node writes to."""
VIEWS = ("job_totals", "job_tries", "running_caps")
SEQUENCES = ("event_seq", "job_order")
FUNCTIONS = (
    "copilot_announce(text[])",
    "copilot_counted_state(text, boolean, text)",
    "copilot_foreign_origin(text, text)",
    "copilot_forget_events(regclass, integer)",
    "copilot_origin(text)",
    "copilot_paths_paused()",
    "copilot_server_url(text)",
    "copilot_storable(jsonb, integer)",
    "copilot_ulid()",
    "copilot_ulid(bigint)",
)
"""What statements, defaults, domains and conditions of triggers call with the rights of a node's role."""
NEEDED: Mapping[str, list[str]] = {
    "tables": list(TABLES),
    "views": list(VIEWS),
    "sequences": list(SEQUENCES),
    "functions": list(FUNCTIONS),
}
"""Parameters of :data:`MISSING` and :data:`FORBIDDEN`."""

MISSING = """
SELECT name FROM unnest(%(tables)s || %(views)s || %(sequences)s) AS name WHERE to_regclass(name) IS NULL
UNION ALL
SELECT name FROM unnest(%(functions)s) AS name WHERE to_regprocedure(name) IS NULL
"""
"""Names of missing relations and functions."""

FORBIDDEN = """
SELECT name || ' (' || string_agg(kind, ', ' ORDER BY kind DESC) || ')' FROM (
  SELECT name, kind FROM unnest(%(tables)s) AS name, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS kind
  WHERE NOT has_table_privilege(name, kind)
  UNION ALL
  SELECT name, 'SELECT' FROM unnest(%(views)s) AS name WHERE NOT has_table_privilege(name, 'SELECT')
  UNION ALL
  SELECT name, 'USAGE' FROM unnest(%(sequences)s) AS name WHERE NOT has_sequence_privilege(name, 'USAGE')
  UNION ALL
  SELECT name, 'EXECUTE' FROM unnest(%(functions)s) AS name WHERE NOT has_function_privilege(name, 'EXECUTE')
) AS forbidden GROUP BY name ORDER BY name
"""
"""Names of relations and functions with the rights that this role lacks: ``jobs (UPDATE, DELETE)``.

Raises an error where one is missing.
"""
