-- name: known_tokens
-- Tokens that are in force, and the seconds until each expires.
SELECT hash, name, role, accounts, users, extract(epoch FROM expires_at - now())::float8
FROM http_tokens WHERE expires_at IS NULL OR expires_at > now()

-- name: known_sessions
-- Sessions that are in force, and the seconds until each expires.
SELECT hash, token_hash, extract(epoch FROM expires_at - now())::float8, name FROM http_sessions WHERE expires_at > now()

-- name: known_links
-- Links that can be used, and the seconds until each expires.
SELECT hash, token_hash, name, extract(epoch FROM expires_at - now())::float8 FROM http_links WHERE expires_at > now()

-- name: add_token
-- Make a token; no row if the name is taken by one that has not expired.
INSERT INTO http_tokens (name, hash, role, accounts, users, created_by, expires_at)
VALUES (%(name)s, %(hash)s, %(role)s, %(accounts)s, %(users)s, %(created_by)s, %(expires_at)s::timestamptz)
ON CONFLICT (name) DO UPDATE SET
  hash = excluded.hash, role = excluded.role, accounts = excluded.accounts, users = excluded.users,
  created_at = now(), created_by = excluded.created_by, last_used_at = NULL, expires_at = excluded.expires_at
WHERE http_tokens.expires_at <= now()
RETURNING id

-- name: revoke_token
-- Remove a token, and end its sessions.
WITH revoked AS (
  DELETE FROM http_tokens WHERE name = %(name)s RETURNING hash
), ended AS (
  DELETE FROM http_sessions s USING revoked r WHERE s.token_hash = r.hash
)
SELECT hash FROM revoked

-- name: note_uses
-- Record that tokens were used just now.
UPDATE http_tokens SET last_used_at = now() WHERE hash = ANY (%(hashes)s)

-- name: start_session
-- Make a session; end those that are over, and the oldest ones of its token beyond a number of others.
WITH over AS (
  DELETE FROM http_sessions WHERE expires_at <= now() OR hash IN (
    SELECT hash FROM http_sessions WHERE token_hash = %(token_hash)s ORDER BY created_at DESC OFFSET %(others)s)
)
INSERT INTO http_sessions (hash, token_hash, expires_at)
VALUES (%(hash)s, %(token_hash)s, now() + make_interval(secs => %(seconds)s)) RETURNING expires_at

-- name: make_link
-- Make a link; end those that are over, and the oldest ones of its maker beyond a number of others.
WITH over AS (
  DELETE FROM http_links WHERE expires_at <= now() OR hash IN (
    SELECT hash FROM http_links WHERE created_by = %(by)s ORDER BY created_at DESC OFFSET %(others)s)
)
INSERT INTO http_links (hash, token_hash, name, created_by, expires_at)
VALUES (%(hash)s, %(token_hash)s, %(name)s, %(by)s, now() + make_interval(secs => %(seconds)s)) RETURNING expires_at

-- name: use_link
-- Make a session of a link, which can't be used again. Without a token of its own it takes that of this node.
WITH link AS (
  DELETE FROM http_links WHERE hash = %(link)s AND expires_at > now()
  RETURNING coalesce(token_hash, %(own)s::bytea) AS token_hash, name
), over AS (
  DELETE FROM http_sessions WHERE expires_at <= now() OR hash IN (
    SELECT s.hash FROM http_sessions s JOIN link l ON l.token_hash = s.token_hash
    ORDER BY s.created_at DESC OFFSET %(others)s)
)
INSERT INTO http_sessions (hash, token_hash, name, expires_at)
SELECT %(hash)s, token_hash, name, now() + make_interval(secs => %(seconds)s) FROM link RETURNING expires_at

-- name: end_session
-- End a session.
DELETE FROM http_sessions WHERE hash = %(hash)s RETURNING hash
