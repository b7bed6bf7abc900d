-- Null for a node of a version before this column.
ALTER TABLE nodes ADD COLUMN version text CHECK (length(version) <= 255);

-- One-time links to the dashboard: each becomes a session. Without "token_hash" it stands for the own token of the node at
-- which it is used; "name" is that of the session where it is not the token's.
CREATE TABLE http_links (
  hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
  token_hash bytea CHECK (octet_length(token_hash) = 32),
  name       text CHECK (length(name) <= 255),
  created_by text NOT NULL CHECK (length(created_by) <= 255),
  created_at bounded_timestamptz NOT NULL DEFAULT now(),
  expires_at bounded_timestamptz NOT NULL
);
ALTER TABLE http_sessions ADD COLUMN name text CHECK (length(name) <= 255);
CREATE TRIGGER http_links_changed AFTER INSERT OR DELETE ON http_links
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_notify_access();

-- The accounts that the overview looks for each other second: few of many.
CREATE INDEX idx_accounts_expired ON accounts (credential_checked_at, id) WHERE credential_status <> 'valid';
CREATE INDEX idx_accounts_expiring ON accounts (token_expires_at, id) WHERE refresh_token IS NULL AND credential_status = 'valid';
CREATE INDEX idx_accounts_limited ON accounts (id) WHERE max_running IS NOT NULL;
