"""What a node needs in the database, and statements that say what of it is missing or may not be used."""

from collections.abc import Mapping

VERSION_TABLE = "copilot_socket_version"
"""Alembic's, which says at which revision the others are. A node only reads it."""
TABLES = (
    "accounts",
    "area_authorizations",
    "areas",
    "audit_log",
    "crawlers",
    "idempotency_keys",
    "job_assignments",
    "job_error_log",
    "job_past_tries",
    "jobs",
    "nodes",
    "oauth_clients",
    "socket_connections",
    "write_probe",
)
"""Those that a node writes to."""
VIEWS = ("job_tries",)
SEQUENCES = ("job_order",)
FUNCTIONS = (
    "copilot_foreign_origin(text, text)",
    "copilot_origin(text)",
    "copilot_server_url(text)",
    "copilot_storable(jsonb, integer)",
    "copilot_ulid()",
    "copilot_ulid(bigint)",
)
"""Those that defaults, domains and conditions of triggers call with the rights of whoever writes a row."""
NEEDED: Mapping[str, list[str]] = {
    "tables": list(TABLES),
    "views": list(VIEWS),
    "sequences": list(SEQUENCES),
    "functions": list(FUNCTIONS),
}
"""Parameters of the statements."""

MISSING = """
SELECT name FROM unnest(%(tables)s || %(views)s || %(sequences)s) AS name WHERE to_regclass(name) IS NULL
UNION ALL
SELECT name FROM unnest(%(functions)s) AS name WHERE to_regprocedure(name) IS NULL
"""
"""The names of what is not there."""

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
"""What this role may not use, each with the rights that it lacks: ``jobs (UPDATE, DELETE)``. All must be there."""
