-- Tokens of accounts, and the refresh of one at a time.

-- name: holding
-- For a token request: the holder of a live assignment, the generation of the token that it was sent, and the
-- account.
SELECT a.crawler_key, c.lease_expires_at > now(), a.token_generation, a.account_id
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE a.web_app_job_id = %(job)s AND a.crawler_job_id = %(assignment)s AND a.completed_at IS NULL

-- name: begin_refresh
-- One refresh at a time across nodes: the node that gets a row does it.
UPDATE accounts SET refresh_node = %(node)s, refresh_until = now() + %(lease)s * interval '1 second'
WHERE id = %(account)s AND token_generation = %(generation)s AND (refresh_until IS NULL OR refresh_until <= now())
  AND credential_status = 'valid' AND (refresh_after IS NULL OR refresh_after <= now())
RETURNING gitlab_url, refresh_token

-- name: account_token
-- The current token, and the result of its last refresh.
SELECT token_generation, access_token, extract(epoch FROM token_expires_at)::float8,
       extract(epoch FROM token_expires_at - now())::float8, refresh_until > now(), credential_status, credential_error,
       refresh_failures, extract(epoch FROM refresh_after - now())::float8,
       CASE WHEN credential_error IS NULL THEN extract(epoch FROM now() - credential_checked_at)::float8 END, id, gitlab_url
FROM accounts WHERE id = %(account)s

-- name: store_refreshed
-- Does not require the lease on the refresh: a pair that arrives late is still the only valid one.
UPDATE accounts SET access_token = %(access)s, refresh_token = coalesce(%(refresh)s, refresh_token),
  token_expires_at = CASE WHEN %(lifetime)s IS NULL THEN NULL ELSE now() + %(lifetime)s * interval '1 second' END,
  token_generation = least(token_generation + 1, 1000000000), credential_status = 'valid', credential_error = NULL,
  credential_checked_at = now(), refresh_failures = 0, refresh_after = NULL, refresh_node = NULL, refresh_until = NULL,
  updated_at = now()
WHERE id = %(account)s AND token_generation = %(generation)s
RETURNING extract(epoch FROM token_expires_at)::float8

-- name: refuse_refresh
-- GitLab has refused a new token; the refusal is final.
UPDATE accounts SET credential_status = 'expired', credential_error = %(error)s, credential_checked_at = now(),
  refresh_node = NULL, refresh_until = NULL, updated_at = now()
WHERE id = %(account)s AND refresh_node = %(node)s AND token_generation = %(generation)s

-- name: put_off_refresh
-- The refresh has failed, and may be repeated later.
UPDATE accounts SET credential_error = %(error)s, credential_checked_at = now(),
  refresh_failures = least(refresh_failures + 1, 1000000000), refresh_after = now() + %(wait)s * interval '1 second',
  refresh_node = NULL, refresh_until = NULL, updated_at = now()
WHERE id = %(account)s AND refresh_node = %(node)s AND token_generation = %(generation)s

-- name: refuse_credential
-- The crawler was refused a new token: its failure, or a missing report, does not count against the job.
UPDATE job_assignments SET credential_refused_at = now()
WHERE web_app_job_id = %(job)s AND crawler_job_id = %(assignment)s AND completed_at IS NULL

-- name: handed_token
-- Crawlers receive the current tokens of their accounts; returns the assignments that are live.
UPDATE job_assignments a SET token_generation = t.token_generation, credential_refused_at = NULL
FROM accounts t WHERE t.id = a.account_id AND a.web_app_job_id = ANY (%(job)s) AND a.completed_at IS NULL
RETURNING a.crawler_job_id
