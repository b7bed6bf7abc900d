-- After every `copilot-socket migrate` and every restore, as the owner:   psql -f ops/postgres/2-rights.sql copilot
-- Where the tables are not in public:   psql -v schema=NAME -f ops/postgres/2-rights.sql copilot
-- Safe to repeat. It takes everything back first, so that what stands here is all that there is.

\if :{?schema}
\else
  \set schema public
\endif

BEGIN;
SET LOCAL search_path = :"schema", pg_temp;

GRANT USAGE ON SCHEMA :"schema" TO copilot_server, copilot_web, copilot_monitor;
REVOKE ALL ON ALL TABLES IN SCHEMA :"schema" FROM PUBLIC, copilot_server, copilot_web, copilot_monitor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA :"schema" FROM PUBLIC, copilot_server, copilot_web, copilot_monitor;

-- A node: all rows, but no TRUNCATE, no trigger, no table of its own. The version of the tables it only reads.
-- It may also read every sequence, which is all that pg_dump needs beyond that: the nightly backup runs as this role.
-- LISTEN and NOTIFY need no right, nor do the functions of triggers.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"schema" TO copilot_server;
REVOKE INSERT, UPDATE, DELETE ON copilot_socket_version, job_totals, job_tries, running_caps FROM copilot_server;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA :"schema" TO copilot_server;
GRANT USAGE ON SEQUENCE job_order, event_seq TO copilot_server;
-- The first one empties a part of the live events, with the owner's rights.
REVOKE EXECUTE ON FUNCTION copilot_forget_events(regclass, integer), copilot_announce(text[]) FROM copilot_web;
GRANT EXECUTE ON FUNCTION copilot_forget_events(regclass, integer), copilot_announce(text[]) TO copilot_server;
-- Called by defaults, domains and conditions of triggers, with the rights of whoever writes a row.
GRANT EXECUTE ON FUNCTION copilot_counted_state(text, boolean, text), copilot_foreign_origin(text, text), copilot_origin(text),
                          copilot_server_url(text), copilot_storable(jsonb, integer), copilot_ulid(),
                          copilot_ulid(bigint), copilot_paths_paused() TO copilot_server, copilot_web;
-- The same for what a migration makes, until this file is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO copilot_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT, USAGE ON SEQUENCES TO copilot_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT EXECUTE ON FUNCTIONS TO copilot_server, copilot_web;

-- The web application: put jobs in (what the server decides about a job is not its to say), and watch. Changing and
-- ending jobs goes through the HTTP port. A new job takes its provider and URL from the account; no token is readable.
GRANT INSERT (account_id, command, full_path, branch, user_id, provider, gitlab_url, priority, scheduled_at,
              max_attempts, resume_state) ON jobs TO copilot_web;
GRANT USAGE ON SEQUENCE job_order TO copilot_web;

-- Watching, for the web application and for monitoring. job_totals counts jobs without reading any.
GRANT SELECT ON jobs, job_totals, job_history, job_assignments, job_tries, job_error_log, error_groups, error_counts, areas, area_authorizations, crawlers,
                socket_connections, nodes, hosts, pauses, budgets, running_caps, copilot_socket_version TO copilot_web, copilot_monitor;
GRANT SELECT (id, provider, gitlab_url, gitlab_origin, token_expires_at, credential_status, credential_error, credential_checked_at,
              created_at, updated_at)
  ON accounts TO copilot_web, copilot_monitor;
GRANT SELECT ON audit_log TO copilot_monitor;

COMMIT;
