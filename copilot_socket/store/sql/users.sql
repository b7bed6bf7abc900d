-- A user's crawl (docs/http.md, "A user's crawl").

-- name: user_free
-- Whether a queued job of the user is kept back by neither a pause nor a credential. The same as in count_jobs.
SELECT EXISTS (
  SELECT FROM jobs j JOIN accounts t ON t.id = j.account_id
  WHERE j.user_id = %(user)s AND j.status = 'queued' AND j.pause_id IS NULL
    AND (%(accounts)s::text[] IS NULL OR j.account_id = ANY (%(accounts)s))
    AND t.credential_status = 'valid'
    AND NOT coalesce(t.token_expires_at <= now() + interval '1 minute' AND t.refresh_after > now(), false)
    AND NOT EXISTS (
      SELECT FROM pauses p WHERE coalesce(p.ends_at, 'infinity') > now() AND (
        p.scope = 'everything' OR p.scope = 'account' AND p.target = j.account_id
        OR p.scope = 'host' AND p.target = t.gitlab_origin OR p.scope = 'command' AND p.target = j.command)))

-- name: user_jobs
-- Of the newest jobs in each state: their number, accounts, first and last times, the sums of the final counts of
-- completed ones, and the last one whose last attempt has failed.
WITH newest AS MATERIALIZED (
  SELECT n.* FROM unnest(%(states)s::text[]) AS s (status) CROSS JOIN LATERAL (
    SELECT j.id, j.status, j.command, j.full_path, j.account_id, j.created_at, j.updated_at, j.started_at, j.finished_at,
           CASE WHEN j.status = 'completed' THEN j.progress -> 'finalCounts' END AS counts,
           CASE WHEN j.status <> 'completed' THEN j.cause::text END AS cause
    FROM jobs j
    WHERE j.user_id BETWEEN %(user)s AND %(user)s AND j.status BETWEEN s.status AND s.status
      AND (%(accounts)s::text[] IS NULL OR j.account_id = ANY (%(accounts)s))
    ORDER BY j.user_id DESC, j.status DESC, j.id COLLATE "C" DESC LIMIT %(most)s) AS n
), item AS (
  SELECT c.key, sum(CASE WHEN jsonb_typeof(c.value) = 'number' THEN c.value::numeric END) AS amount
  FROM newest n CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(n.counts) = 'object' THEN n.counts END) AS c
  GROUP BY c.key ORDER BY amount DESC NULLS LAST, c.key LIMIT %(names)s
), failure AS (
  SELECT id, command, full_path, cause, updated_at FROM newest WHERE cause = ANY (%(failures)s) ORDER BY updated_at DESC LIMIT 1
)
SELECT count(*), min(created_at), max(created_at), min(started_at), max(finished_at),
       (SELECT json_object_agg(key, round(least(greatest(amount, 0), 9007199254740991))::bigint) FROM item),
       ARRAY(SELECT DISTINCT account_id FROM newest ORDER BY account_id LIMIT %(names)s),
       (SELECT id FROM failure), (SELECT command FROM failure), (SELECT full_path FROM failure),
       (SELECT cause FROM failure), (SELECT updated_at FROM failure)
FROM newest

-- name: user_accounts
-- These accounts.
SELECT id, gitlab_url, credential_status, token_expires_at FROM accounts WHERE id = ANY (%(ids)s) ORDER BY id

-- name: last_error
-- The latest error of a job.
SELECT timestamp, error_type, left(error_message, %(longest)s) FROM job_error_log WHERE job_id = %(job)s
ORDER BY id DESC LIMIT 1
