-- Once, as a superuser, in any database:   psql -f ops/postgres/1-roles.sql postgres
-- Then give each role that logs in a password (never in a file):   \password copilot_server
--
--   copilot_owner    owns the database and its tables; only `copilot-socket migrate` and backups use it
--   copilot_server   what a node runs as: rows, no tables
--   copilot_web      a web application that puts jobs in by itself, and watches them
--   copilot_monitor  reads counts and states, never a token

CREATE ROLE copilot_owner LOGIN;
CREATE ROLE copilot_server LOGIN;
CREATE ROLE copilot_web LOGIN CONNECTION LIMIT 20;
CREATE ROLE copilot_monitor LOGIN CONNECTION LIMIT 5;

-- What none of them waits for by accident. A node sets time-outs of its own.
ALTER ROLE copilot_web SET statement_timeout = '30s';
ALTER ROLE copilot_monitor SET statement_timeout = '30s';
ALTER ROLE copilot_monitor SET default_transaction_read_only = on;

-- What a node stores holds tokens, in plain text where COPILOT_SECRET_KEY is not set: the server's log shows neither a
-- failed statement of these roles, nor a slow one, nor the row that was refused. Only a superuser can say so.
ALTER ROLE copilot_server SET log_min_error_statement = 'panic';
ALTER ROLE copilot_server SET log_error_verbosity = 'terse';
ALTER ROLE copilot_server SET log_statement = 'none';
ALTER ROLE copilot_server SET log_min_duration_statement = -1;
ALTER ROLE copilot_server SET log_min_duration_sample = -1;
ALTER ROLE copilot_server SET log_transaction_sample_rate = 0;
ALTER ROLE copilot_owner SET log_min_error_statement = 'panic';
ALTER ROLE copilot_owner SET log_error_verbosity = 'terse';

CREATE DATABASE copilot OWNER copilot_owner ENCODING 'UTF8' TEMPLATE template0;

-- Nobody else gets in, and who gets in makes no tables (PostgreSQL 14 would let everybody).
REVOKE ALL ON DATABASE copilot FROM PUBLIC;
GRANT CONNECT ON DATABASE copilot TO copilot_server, copilot_web, copilot_monitor;
\connect copilot
ALTER SCHEMA public OWNER TO copilot_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO copilot_server, copilot_web, copilot_monitor;
