-- What keeps a job where it is (core/why.py).

-- name: why_job
-- The job, its account, and the hold of its host.
SELECT j.id, j.status, j.command, j.full_path, j.account_id, t.gitlab_origin, j.scheduled_at,
       greatest(extract(epoch FROM j.scheduled_at - now()), 0)::float8,
       CASE WHEN j.status = 'completed' THEN 'completed' ELSE j.cause::text END, j.finished_at, t.credential_status,
       t.credential_error, t.token_expires_at <= now() + interval '1 minute' AND (t.refresh_until > now() OR t.refresh_after > now()),
       t.refresh_after, j.pause_id IS NOT NULL, h.held_since, CASE WHEN h.held_since IS NOT NULL AND h.opens_at > now() THEN h.opens_at END
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
-- All pauses in force, the oldest first.
SELECT id, scope, target, author, reason, created_at, ends_at FROM pauses WHERE coalesce(ends_at, 'infinity') > now()
ORDER BY created_at, id

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
-- The connected crawlers. Other programs may write lists of lists.
SELECT c.crawler_id, ARRAY(SELECT t FROM unnest(c.entity_types) AS t WHERE t IS NOT NULL), c.mode, c.max_jobs - (
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

-- name: lane_counts
-- Jobs of accounts by command and what they count as, without those that are over.
SELECT account_id, command, state, sum(jobs)::bigint FROM job_totals
WHERE account_id = ANY (%(accounts)s) AND state NOT IN ('completed', 'failed', 'cancelled')
GROUP BY account_id, command, state HAVING sum(jobs) > 0

-- name: lane_accounts
-- What why_job says of the accounts of jobs.
SELECT t.id, t.gitlab_origin, t.credential_status, t.credential_error,
       t.token_expires_at <= now() + interval '1 minute' AND (t.refresh_until > now() OR t.refresh_after > now()),
       t.refresh_after, h.held_since, CASE WHEN h.held_since IS NOT NULL AND h.opens_at > now() THEN h.opens_at END
FROM accounts t LEFT JOIN hosts h ON h.origin = t.gitlab_origin WHERE t.id = ANY (%(accounts)s)

-- name: lane_caps
-- Limits and budgets of accounts and their hosts that are reached, by account, with what runs. What runs is looked up only
-- for those that have some.
WITH account AS MATERIALIZED (
  SELECT id::text, gitlab_origin::text AS origin FROM accounts WHERE id = ANY (%(accounts)s)
), cap AS MATERIALIZED (
  SELECT 'limit' AS kind, 'account' AS scope, t.id::text AS target, NULL::text AS name, t.max_running::integer AS allowed,
         NULL::timestamptz AS until
  FROM accounts t WHERE t.id = ANY (%(accounts)s) AND t.max_running IS NOT NULL
  UNION ALL
  SELECT 'limit', 'host', h.origin, NULL, h.max_running, NULL FROM hosts h
  WHERE h.max_running IS NOT NULL AND h.origin IN (SELECT a.origin FROM account a)
  UNION ALL
  SELECT 'budget', CASE b.account_id WHEN '' THEN 'host' ELSE 'account' END,
         CASE b.account_id WHEN '' THEN b.gitlab_origin ELSE b.account_id END, nullif(b.name, ''), b.jobs_allowed, b.until
  FROM low_budgets b
  WHERE (b.account_id = '' AND b.gitlab_origin IN (SELECT a.origin FROM account a))
     OR (b.account_id, b.gitlab_origin) IN (SELECT a.id, a.origin FROM account a)
), running AS MATERIALIZED (
  SELECT c.scope, c.target, CASE c.scope
    WHEN 'account' THEN (SELECT coalesce(sum(t.jobs), 0)::bigint FROM job_totals t
                         WHERE t.account_id = c.target AND t.state IN ('assigned', 'running'))
    ELSE (SELECT count(*) FROM job_assignments a JOIN accounts t ON t.id = a.account_id
          WHERE a.completed_at IS NULL AND t.gitlab_origin = c.target) END AS jobs
  FROM (SELECT DISTINCT scope, target FROM cap) AS c
)
SELECT a.id, c.kind, c.scope, c.target, c.name, c.allowed, r.jobs, c.until
FROM cap c JOIN running r ON r.scope = c.scope AND r.target = c.target AND r.jobs >= c.allowed
JOIN account a ON (c.scope = 'account' AND a.id = c.target) OR (c.scope = 'host' AND a.origin = c.target)
ORDER BY a.id, c.kind DESC, c.scope, c.name
