-- After every `copilot-socket migrate`, as the owner, in the database:   psql -f ops/postgres/2-rights.sql copilot
-- Safe to repeat. It takes everything back first, so that what stands here is all that there is.

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, copilot_server, copilot_web, copilot_monitor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, copilot_server, copilot_web, copilot_monitor;

-- A node: all rows, but no TRUNCATE, no trigger, no table of its own. The version of the tables it only reads.
-- LISTEN, NOTIFY and the functions that the tables' defaults and triggers call need no right beyond these.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO copilot_server;
REVOKE INSERT, UPDATE, DELETE ON alembic_version, job_tries FROM copilot_server;
GRANT USAGE ON SEQUENCE job_order TO copilot_server;
-- The same for tables that a migration makes, until this file is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO copilot_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO copilot_server;

-- The web application: put jobs in (what the server decides about a job is not its to say), and watch. Changing and
-- ending jobs goes through the HTTP port. A new job takes its provider and URL from the account; no token is readable.
GRANT INSERT (account_id, command, full_path, branch, user_id, provider, gitlab_url, priority, scheduled_at,
              max_attempts, resume_state) ON jobs TO copilot_web;
GRANT USAGE ON SEQUENCE job_order TO copilot_web;

-- Watching, for the web application and for monitoring.
GRANT SELECT ON jobs, job_assignments, job_tries, job_error_log, areas, area_authorizations, crawlers,
                socket_connections, nodes, alembic_version TO copilot_web, copilot_monitor;
GRANT SELECT (id, provider, gitlab_url, token_expires_at, credential_status, credential_error, credential_checked_at,
              created_at, updated_at)
  ON accounts TO copilot_web, copilot_monitor;
GRANT SELECT ON audit_log TO copilot_monitor;

COMMIT;
