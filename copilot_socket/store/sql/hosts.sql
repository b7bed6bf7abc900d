-- GitLab hosts, by the origin of their URLs.

-- name: hosts_succeeded
-- Jobs of these accounts have been completed.
INSERT INTO hosts (origin, last_success_at)
SELECT DISTINCT gitlab_origin, now() FROM accounts WHERE id = ANY (%(account)s) ORDER BY 1
ON CONFLICT (origin) DO UPDATE SET last_success_at = excluded.last_success_at
