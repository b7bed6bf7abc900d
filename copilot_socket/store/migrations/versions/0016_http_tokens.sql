-- Tokens of the HTTP API: only a hash is stored. What accounts and users name is all that a token sees and changes;
-- with both NULL it is everything.
CREATE TABLE http_tokens (
  id           text PRIMARY KEY DEFAULT copilot_ulid(),
  name         text NOT NULL UNIQUE CHECK (name ~ '^[!-~]{1,100}$'),
  hash         bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  role         text NOT NULL CHECK (role IN ('read', 'operate', 'app', 'admin')),
  accounts     text[] CHECK (accounts <> '{}'),
  users        text[] CHECK (users <> '{}'),
  created_at   bounded_timestamptz NOT NULL DEFAULT now(),
  created_by   text NOT NULL,
  last_used_at bounded_timestamptz,
  expires_at   bounded_timestamptz,
  CHECK (role = 'app' OR (accounts IS NULL AND users IS NULL)),
  CHECK (array_ndims(accounts) = 1 AND cardinality(accounts) <= 1000 AND array_position(accounts, NULL) IS NULL),
  CHECK (array_ndims(users) = 1 AND cardinality(users) <= 1000 AND array_position(users, NULL) IS NULL)
);

-- Browsers' sessions: each ends with its token, which may also be that of a node's configuration.
CREATE TABLE http_sessions (
  hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
  token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
  created_at bounded_timestamptz NOT NULL DEFAULT now(),
  expires_at bounded_timestamptz NOT NULL
);
CREATE INDEX idx_http_sessions_token ON http_sessions (token_hash, created_at);

CREATE FUNCTION copilot_notify_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NOTIFY copilot_access;
  RETURN NULL;
END $$;
CREATE TRIGGER http_tokens_changed AFTER INSERT OR DELETE ON http_tokens
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_notify_access();
CREATE TRIGGER http_sessions_changed AFTER INSERT OR DELETE ON http_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_notify_access();
