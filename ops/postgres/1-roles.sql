-- Roles and the empty database. As a superuser, in any database:   psql -f ops/postgres/1-roles.sql postgres
-- Safe to repeat: it makes what is missing. Another name for the database:   -v database=NAME
-- Then give each role that logs in over TCP a password (docs/deployment.md).
--
--   copilot_owner    owns the database and its tables: `copilot-socket migrate`, 2-rights.sql, restoring a dump
--   copilot_server   what a node and the nightly backup run as: reads and writes rows, makes no tables
--   copilot_web      a web application that puts jobs in by itself, and watches them
--   copilot_monitor  reads counts and states, never a token

\if :{?database}
\else
  \set database copilot
\endif

SELECT format('CREATE ROLE %I LOGIN CONNECTION LIMIT %s', name, connections)
FROM (VALUES ('copilot_owner', -1), ('copilot_server', -1), ('copilot_web', 20), ('copilot_monitor', 5))
  AS wanted (name, connections)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

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

SELECT format('CREATE DATABASE %I OWNER copilot_owner ENCODING ''UTF8'' TEMPLATE template0', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

-- Nobody else gets in, and who gets in makes no tables (PostgreSQL 14 would let everybody).
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO copilot_server, copilot_web, copilot_monitor;
\connect :"database"
ALTER SCHEMA public OWNER TO copilot_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO copilot_server, copilot_web, copilot_monitor;
