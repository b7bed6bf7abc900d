-- What keeps a job where it is (core/why.py).

-- name: why_job
-- The job, its account, and the hold of its host.
SELECT j.id, j.status, j.command, j.full_path, j.account_id, t.gitlab_origin, j.scheduled_at,
       greatest(extract(epoch FROM j.scheduled_at - now()), 0)::float8,
       CASE WHEN j.status = 'completed' THEN 'completed' ELSE j.cause::text END, j.finished_at, t.credential_status,
       t.credential_error, t.token_expires_at <= now() + interval '1 minute' AND (t.refresh_until > now() OR t.refresh_after > now()),
       t.refresh_after, j.pause_id IS NOT NULL, h.held_since, CASE WHEN h.held_since IS NOT NULL THEN h.opens_at END
FROM jobs j JOIN accounts t ON t.id = j.account_id LEFT JOIN hosts h ON h.origin = t.gitlab_origin WHERE j.id = %(id)s

-- name: why_holder
-- The crawler that holds it.
SELECT coalesce(c.crawler_id, a.crawler_key, '?'), a.assigned_at,
       greatest(a.reported_at, (
         SELECT max(s.last_heartbeat) FROM socket_connections s WHERE s.crawler_key = a.crawler_key)),
       a.pause_requested_at IS NOT NULL
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE a.web_app_job_id = %(id)s AND a.completed_at IS NULL

-- name: why_pauses
-- All pauses in force.
SELECT id, scope, target, author, reason, created_at, ends_at FROM pauses WHERE coalesce(ends_at, 'infinity') > now()

-- name: why_caps
-- Limits and budgets of the account and its host, with what runs.
WITH running AS (
  SELECT (SELECT count(*) FROM jobs j WHERE j.account_id = %(account)s AND j.status IN ('assigned', 'running')) AS account,
         (SELECT count(*) FROM job_assignments a JOIN accounts t ON t.id = a.account_id
          WHERE a.completed_at IS NULL AND t.gitlab_origin = %(host)s) AS host
)
SELECT 'limit', 'account', t.id::text, NULL::text, t.max_running::integer, r.account, NULL::timestamptz
FROM accounts t, running r WHERE t.id = %(account)s AND t.max_running IS NOT NULL
UNION ALL
SELECT 'limit', 'host', h.origin, NULL, h.max_running, r.host, NULL
FROM hosts h, running r WHERE h.origin = %(host)s AND h.max_running IS NOT NULL
UNION ALL
SELECT 'budget', CASE b.account_id WHEN '' THEN 'host' ELSE 'account' END,
       CASE b.account_id WHEN '' THEN b.gitlab_origin ELSE b.account_id END, nullif(b.name, ''), b.jobs_allowed,
       CASE b.account_id WHEN '' THEN r.host ELSE r.account END, b.until
FROM low_budgets b, running r WHERE b.gitlab_origin = %(host)s AND b.account_id IN ('', %(account)s)

-- name: why_crawlers
-- The connected crawlers.
SELECT c.crawler_id, c.entity_types, c.mode, c.max_jobs - (
         SELECT count(*) FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL),
       c.suspected_at IS NOT NULL
FROM crawlers c WHERE c.lease_expires_at > now() ORDER BY c.crawler_id LIMIT 10000

-- name: why_place
-- How many jobs of the account go before the job, of those that the same crawlers take and that may go; and how many
-- accounts have jobs that are due, without those that are paused or lack a credential; each up to "most" and one more.
-- Discoveries go first, then by priority, then by age.
WITH RECURSIVE mine AS (
  SELECT account_id, command, priority, id FROM jobs WHERE id = %(id)s
), account AS (
  (SELECT account_id FROM jobs WHERE status = 'queued' AND ready ORDER BY account_id LIMIT 1)
  UNION ALL
  SELECT n.account_id FROM account a CROSS JOIN LATERAL (
    SELECT j.account_id FROM jobs j WHERE j.status = 'queued' AND j.ready AND j.account_id > a.account_id
    ORDER BY j.account_id LIMIT 1) AS n
)
SELECT (SELECT least(sum(n.jobs), %(most)s + 1)
        FROM mine m CROSS JOIN unnest(%(command)s::text[]) AS c (command)
        CROSS JOIN LATERAL (SELECT c.command = 'GROUP_PROJECT_DISCOVERY' AS theirs, m.command = 'GROUP_PROJECT_DISCOVERY' AS mine) AS first
        CROSS JOIN LATERAL (
          SELECT count(*) AS jobs FROM (
            (SELECT FROM jobs j WHERE j.account_id = m.account_id AND j.command = c.command AND j.status = 'queued' AND j.ready
               AND j.priority > CASE WHEN first.theirs > first.mine THEN -2147483649 ELSE m.priority END
               AND first.theirs >= first.mine LIMIT %(most)s + 1)
            UNION ALL
            (SELECT FROM jobs j WHERE j.account_id = m.account_id AND j.command = c.command AND j.status = 'queued' AND j.ready
               AND j.priority = m.priority AND j.id < m.id AND first.theirs = first.mine LIMIT %(most)s + 1)) AS before) AS n),
       (SELECT count(*) FROM (
          SELECT FROM account a JOIN accounts t ON t.id = a.account_id AND t.credential_status = 'valid'
          WHERE a.account_id <> ALL (%(paused_account)s) AND t.gitlab_origin <> ALL (%(paused_host)s)
          LIMIT %(most)s + 1) AS accounts)
