-- State transitions of jobs other than by ordinary reports (core/jobs.py decides).

-- name: lock_live_assignments
-- Locks assignments first, then jobs (lock_jobs), each by id: the order in which reports lock them.
SELECT FROM job_assignments WHERE web_app_job_id = ANY (%(job)s) AND completed_at IS NULL
ORDER BY web_app_job_id FOR UPDATE

-- name: lock_jobs
-- Locks jobs; returns the columns that the state machine needs, and those of their accounts.
SELECT j.id, j.status, j.attempts, j.max_attempts, j.releases, t.credential_status = 'valid', t.credential_error,
       j.trouble, md5(coalesce(j.resume_state::text, '')), extract(epoch FROM h.last_success_at)::float8,
       extract(epoch FROM now())::float8, t.gitlab_origin, h.held_since IS NOT NULL, j.account_id, j.command,
       j.full_path, j.branch, j.error, j.user_id
FROM jobs j JOIN accounts t ON t.id = j.account_id LEFT JOIN hosts h ON h.origin = t.gitlab_origin
WHERE j.id = ANY (%(job)s) ORDER BY j.id FOR UPDATE OF j

-- name: live_assignments
-- The live assignments, read once they are locked.
SELECT web_app_job_id, crawler_job_id, crawler_key, credential_refused_at IS NOT NULL, token_generation,
       extract(epoch FROM assigned_at)::float8, reported_at IS NOT NULL, pause_requested_at IS NOT NULL
FROM job_assignments
WHERE web_app_job_id = ANY (%(job)s) AND completed_at IS NULL

-- name: apply_transitions
-- Writes the decisions, and notifies nodes of lanes that have work again.
WITH input AS (
  SELECT * FROM unnest(%(job)s::text[], %(status)s::text[], %(attempts)s::integer[], %(releases)s::integer[],
                       %(delay)s::float8[], %(outcome)s::text[], %(reason)s::text[], %(cause)s::text[],
                       %(trouble)s::text[], %(error)s::text[], %(operation)s::text[])
    AS t (job_id, status, attempts, releases, delay, outcome, reason, cause, trouble, error, operation)
), job AS (
  UPDATE jobs j SET
    status = i.status, attempts = least(i.attempts, 1000000000), releases = least(i.releases, 1000000000),
    updated_at = now(),
    -- A resumed job is due when it would have been.
    scheduled_at = CASE WHEN i.status <> 'queued' THEN j.scheduled_at
                        WHEN j.status = 'paused' THEN greatest(j.scheduled_at, now())
                        ELSE now() + i.delay * interval '1 second' END,
    ready = i.delay <= 0 AND (j.status <> 'paused' OR j.scheduled_at <= now()) AND j.pause_id IS NULL,
    cause = i.cause, trouble = i.trouble::jsonb, error = i.error,
    cancelled_with = CASE WHEN i.status = 'cancelled' THEN i.operation END,
    finished_at = CASE WHEN i.status IN ('completed', 'failed', 'cancelled') THEN now() END
  FROM input i WHERE j.id = i.job_id
), ended AS (
  UPDATE job_assignments a SET
    completed_at = coalesce(a.completed_at, now()),
    status = CASE WHEN i.status IN ('completed', 'failed', 'cancelled') THEN i.status ELSE 'pending' END,
    outcome = coalesce(i.outcome, a.outcome),
    reason = CASE WHEN i.outcome IS NULL THEN a.reason ELSE i.reason END,
    cause = CASE WHEN i.outcome IS NULL THEN a.cause ELSE i.cause END
  FROM input i
  WHERE a.web_app_job_id = i.job_id AND (a.completed_at IS NULL OR i.outcome IS NULL)
)
SELECT copilot_announce(array_agg(json_build_array(j.account_id, j.command)::text))
FROM input i JOIN jobs j ON j.id = i.job_id WHERE i.status = 'queued' AND i.delay <= 0

-- name: request_pause
-- Of jobs whose crawlers take commands and hold them: they are asked to give these back. Returns a row for each: whether
-- its crawler was not asked before, and the job.
WITH asked AS (
  UPDATE job_assignments a SET pause_requested_at = coalesce(a.pause_requested_at, now())
  FROM crawlers c
  WHERE a.web_app_job_id = ANY (%(job)s) AND a.completed_at IS NULL AND c.key = a.crawler_key AND c.commands
    AND c.lease_expires_at > now()
  RETURNING a.pause_requested_at = now() AS new, a.web_app_job_id AS job, a.crawler_job_id
)
SELECT new, job, pg_notify('copilot_pauses', crawler_job_id) FROM asked

-- name: withdraw_pause
-- Of a job that is to be paused and is not yet.
UPDATE job_assignments SET pause_requested_at = NULL
WHERE web_app_job_id = ANY (%(job)s) AND completed_at IS NULL AND pause_requested_at IS NOT NULL RETURNING true

-- name: held_job
-- A job in a crawler's hands.
SELECT status, attempts, releases FROM jobs WHERE id = %(id)s AND status IN ('assigned', 'running')

-- name: overdue_pauses
-- Attempts whose crawlers have not given them back in time.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND pause_requested_at <= now() - %(patience)s * interval '1 second'
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: tell_ended
-- Notifies the nodes whose crawlers hold these assignments.
SELECT pg_notify('copilot_ended', assignment) FROM unnest(%(assignment)s::text[]) AS assignment

-- name: reject_tokens
-- GitLab has answered 401 to these attempts: their accounts' tokens count as expired, unless they are newer ones.
WITH rejected AS MATERIALIZED (
  SELECT t.id FROM accounts t
  WHERE t.credential_status = 'valid' AND coalesce(t.token_expires_at, 'infinity') > now() AND EXISTS (
    SELECT FROM job_assignments a WHERE a.web_app_job_id = ANY (%(job)s) AND a.account_id = t.id
      AND a.token_generation = t.token_generation)
  AND t.id IN (SELECT a.account_id FROM job_assignments a WHERE a.web_app_job_id = ANY (%(job)s))
  ORDER BY t.id FOR UPDATE
)
UPDATE accounts t SET token_expires_at = now(), credential_error = %(error)s, credential_checked_at = now()
FROM rejected r WHERE t.id = r.id

-- name: crawlers_lost
-- Losses of crawlers, each once.
INSERT INTO disturbances (name) SELECT DISTINCT unnest(%(crawler)s::text[])

-- name: disturbances
-- What else may explain the loss of a crawler. A node that died without a word stopped when its lease ended.
SELECT name, extract(epoch FROM at)::float8 FROM disturbances WHERE at > now() - interval '1 day'
UNION ALL
SELECT id, extract(epoch FROM lease_expires_at)::float8 FROM nodes WHERE lease_expires_at <= now()

-- name: retry_obstacles
-- For retries of terminal jobs: the URLs of each and of its account, which is locked against a move, and its twin: a live
-- job for the same account, command, path and branch, else the oldest of the given ones.
WITH input AS MATERIALIZED (
  SELECT j.id, j.account_id, j.command, coalesce(j.full_path, '') AS path, coalesce(j.branch, '') AS branch, j.gitlab_url
  FROM jobs j WHERE j.id = ANY (%(job)s) AND j.status IN ('failed', 'cancelled')
), locked AS MATERIALIZED (
  SELECT t.id, t.gitlab_url FROM accounts t WHERE t.id IN (SELECT account_id FROM input) ORDER BY t.id FOR KEY SHARE
)
SELECT i.id, i.gitlab_url, t.gitlab_url, coalesce(
  (SELECT twin.id FROM jobs twin
   WHERE twin.account_id = i.account_id AND twin.command = i.command AND coalesce(twin.full_path, '') = i.path
     AND coalesce(twin.branch, '') = i.branch AND twin.status NOT IN ('completed', 'failed', 'cancelled') LIMIT 1),
  nullif(first_value(i.id) OVER (PARTITION BY i.account_id, copilot_origin(i.gitlab_url), i.command, i.path, i.branch ORDER BY i.id), i.id))
FROM input i JOIN locked t ON t.id = i.account_id
