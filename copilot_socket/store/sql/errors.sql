-- The error log, and groups of errors with the same fingerprint.

-- name: log_errors
-- One row for each failure, and count_errors.
WITH fresh AS MATERIALIZED (
  SELECT * FROM unnest(%(job)s::text[], %(error_type)s::text[], %(message)s::text[], %(stack)s::text[],
                       %(context)s::jsonb[], %(retries)s::integer[], %(recoverable)s::boolean[],
                       %(resolution)s::text[], %(cause)s::text[], %(fingerprint)s::text[], %(text)s::text[],
                       %(command)s::text[], %(account)s::text[])
    AS t (job_id, error_type, message, stack, context, retries, recoverable, resolution, cause, fingerprint, text,
          command, account_id)
), logged AS (
  INSERT INTO job_error_log (job_id, error_type, error_message, stack_trace, context, retry_count, is_recoverable,
                             resolution, cause, fingerprint)
  SELECT job_id, error_type, message, stack, context, retries, recoverable, resolution, cause, fingerprint FROM fresh
)

-- name: discoveries_refused
-- Logs refused discoveries of live attempts; the same error of an attempt once, so that a repetition changes nothing.
-- Where the crawler did not receive the error, it is kept with the assignment until the completion arrives; with the
-- id of the attempt, since the next one uses the same row. Then count_errors.
WITH input AS (
  SELECT DISTINCT * FROM unnest(%(job)s::text[], %(assignment)s::text[], %(error_type)s::text[], %(message)s::text[],
                       %(known)s::boolean[], %(resolution)s::text[], %(fingerprint)s::text[], %(text)s::text[])
    AS t (job_id, assignment, error_type, message, known, resolution, fingerprint, text)
), unknown AS (
  UPDATE job_assignments a SET metadata = a.metadata || jsonb_build_object('refused_discovery',
    jsonb_build_object('assignment', i.assignment, 'error', i.message))
  FROM (SELECT DISTINCT ON (job_id) * FROM input WHERE NOT known ORDER BY job_id) AS i
  WHERE a.web_app_job_id = i.job_id AND a.crawler_job_id = i.assignment
), fresh AS MATERIALIZED (
  SELECT i.*, j.attempts, j.command, j.account_id
  FROM input i JOIN jobs j ON j.id = i.job_id JOIN job_assignments a ON a.web_app_job_id = i.job_id
  WHERE (SELECT count(*) FROM (SELECT FROM job_error_log e WHERE e.job_id = i.job_id LIMIT %(most)s) AS e) < %(most)s
    AND NOT EXISTS (SELECT FROM job_error_log e WHERE e.job_id = i.job_id AND e.timestamp >= a.assigned_at
                      AND e.error_type = i.error_type AND e.error_message = i.message)
), logged AS (
  INSERT INTO job_error_log (job_id, error_type, error_message, retry_count, is_recoverable, resolution, fingerprint)
  SELECT job_id, error_type, message, attempts, known, resolution, fingerprint FROM fresh
)

-- name: count_errors
-- In the same statement as the rows of the log ("fresh"). Groups are locked in the order of their fingerprints, and
-- before their counts, so that nodes do not deadlock.
grouped AS (
  INSERT INTO error_groups AS g (fingerprint, error_type, command, text, errors)
  SELECT fingerprint, min(error_type), min(command), min(text), count(*) FROM fresh
  GROUP BY fingerprint ORDER BY fingerprint
  ON CONFLICT (fingerprint) DO UPDATE SET
    last_at = greatest(g.last_at, excluded.last_at), errors = least(g.errors + excluded.errors, 1000000000)
  RETURNING fingerprint
)
INSERT INTO error_counts AS c (fingerprint, hour, account_id, errors)
SELECT f.fingerprint, date_trunc('hour', now()) AS hour, f.account_id, count(*)
FROM fresh f JOIN grouped g ON g.fingerprint = f.fingerprint
GROUP BY f.fingerprint, f.account_id ORDER BY f.fingerprint, f.account_id
ON CONFLICT (fingerprint, hour, account_id) DO UPDATE SET errors = least(c.errors + excluded.errors, 1000000000)

-- name: commands_of_jobs
-- Part of the fingerprint of a refused discovery.
SELECT id, command FROM jobs WHERE id = ANY (%(job)s)

-- name: error_group_counts
-- Of groups: errors and accounts of the "counted" ones, and failed jobs, up to "most" and one more.
SELECT g.fingerprint, coalesce(n.errors, 0), coalesce(n.accounts, 0), failed.jobs
FROM unnest(%(fingerprints)s::text[]) AS g (fingerprint)
LEFT JOIN (SELECT c.fingerprint, sum(c.errors)::bigint AS errors, count(DISTINCT c.account_id) AS accounts
           FROM counted c GROUP BY c.fingerprint) AS n ON n.fingerprint = g.fingerprint
CROSS JOIN LATERAL (
  SELECT count(*) AS jobs FROM (
    SELECT FROM jobs j WHERE j.error = g.fingerprint AND j.status = 'failed' LIMIT %(most)s + 1) AS jobs) AS failed

-- name: error_history
-- Errors by hour or day, where there were any.
SELECT date_trunc(%(unit)s, c.hour) AS start, sum(c.errors)::bigint FROM counted c GROUP BY start ORDER BY start

-- name: error_histories
-- The same of several groups, each by its unit: the latest hours or days, up to "most".
SELECT g.fingerprint, h.start, h.errors
FROM unnest(%(fingerprints)s::text[], %(units)s::text[]) AS g (fingerprint, unit) CROSS JOIN LATERAL (
  SELECT date_trunc(g.unit, c.hour) AS start, sum(c.errors)::bigint AS errors FROM counted c
  WHERE c.fingerprint = g.fingerprint GROUP BY start ORDER BY start DESC LIMIT %(most)s) AS h
ORDER BY g.fingerprint, h.start

-- name: error_accounts
-- The accounts with most errors.
SELECT c.account_id, sum(c.errors)::bigint AS errors FROM counted c
GROUP BY c.account_id ORDER BY errors DESC, c.account_id LIMIT %(limit)s

-- name: latest_error
-- Behind SELECT and its columns: the sample of a group.
FROM job_error_log WHERE fingerprint = %(fingerprint)s ORDER BY id DESC LIMIT 1

-- name: ignore_errors
-- Returns a row if the group was not ignored before.
UPDATE error_groups SET ignored_at = now(), ignored_by = left(%(by)s, 255)
WHERE fingerprint = %(fingerprint)s AND ignored_at IS NULL RETURNING fingerprint

-- name: unignore_errors
-- Returns a row if the group was ignored.
UPDATE error_groups SET ignored_at = NULL, ignored_by = NULL
WHERE fingerprint = %(fingerprint)s AND ignored_at IS NOT NULL RETURNING fingerprint

-- name: error_status
-- What the status of a group depends on.
SELECT ignored_at, errors - errors_at_retry FROM error_groups WHERE fingerprint = %(fingerprint)s

-- name: errors_retried
-- All failed jobs of a group are retried: what comes from now on is another occurrence.
UPDATE error_groups SET retried_at = now(), retried_by = left(%(by)s, 255), errors_at_retry = errors
WHERE fingerprint = %(fingerprint)s RETURNING fingerprint
