-- Counts for metrics and statistics.

-- name: count_jobs
-- Jobs by state.
SELECT status, count(*) FROM jobs GROUP BY status

-- name: count_accounts
-- Accounts by the state of their credentials.
SELECT credential_status, count(*) FROM accounts GROUP BY credential_status

-- name: count_lanes
-- Claimable jobs by command and state of their lanes, with the seconds since the oldest fell due. A lane is held_back by
-- pauses, host holds, limits, budgets or a credential; else it is unroutable if no crawler takes it that is present and
-- may be given work; else it is open.
WITH RECURSIVE lane AS (
  (SELECT account_id, command FROM jobs WHERE status = 'queued' AND ready ORDER BY account_id, command LIMIT 1)
  UNION ALL
  SELECT n.account_id, n.command FROM lane l CROSS JOIN LATERAL (
    SELECT j.account_id, j.command FROM jobs j
    WHERE j.status = 'queued' AND j.ready AND (j.account_id, j.command) > (l.account_id, l.command)
    ORDER BY j.account_id, j.command LIMIT 1) AS n
), taken AS (
  SELECT DISTINCT m.command FROM unnest(%(command)s::text[], %(entity_type)s::text[]) AS m (command, entity_type)
  JOIN crawlers c ON c.lease_expires_at > now() AND c.mode = 'serving' AND m.entity_type = ANY (c.entity_types)
), full_hosts AS MATERIALIZED (
  SELECT c.target AS origin FROM running_caps c WHERE c.scope = 'host' GROUP BY c.target
  HAVING min(c.max_running) <= (SELECT count(*) FROM job_assignments a JOIN accounts t ON t.id = a.account_id
                                WHERE a.completed_at IS NULL AND t.gitlab_origin = c.target)
  UNION
  SELECT origin FROM hosts WHERE held_since IS NOT NULL
), full_accounts AS MATERIALIZED (
  SELECT c.target AS id FROM running_caps c WHERE c.scope = 'account' GROUP BY c.target
  HAVING min(c.max_running) <= (SELECT count(*) FROM jobs j WHERE j.account_id = c.target AND j.status IN ('assigned', 'running'))
), paused AS MATERIALIZED (
  SELECT scope::text, target FROM pauses WHERE coalesce(ends_at, 'infinity') > now()
), judged AS MATERIALIZED (
  SELECT l.account_id, l.command, CASE
    WHEN t.credential_status <> 'valid' OR (t.token_expires_at <= now() + interval '1 minute' AND t.refresh_after > now())
      OR t.gitlab_origin IN (SELECT origin FROM full_hosts) OR l.account_id IN (SELECT id FROM full_accounts)
      OR EXISTS (SELECT FROM paused WHERE scope = 'everything')
      OR l.account_id IN (SELECT target FROM paused WHERE scope = 'account')
      OR t.gitlab_origin IN (SELECT target FROM paused WHERE scope = 'host')
      OR l.command IN (SELECT target FROM paused WHERE scope = 'command')
      THEN 'held_back'
    WHEN l.command IN (SELECT command FROM taken) THEN 'open' ELSE 'unroutable' END AS state
  FROM lane l JOIN accounts t ON t.id = l.account_id
)
SELECT s.command, s.state, sum(j.jobs)::bigint, max(j.age)
FROM judged s CROSS JOIN LATERAL (
  SELECT count(*) AS jobs, coalesce(extract(epoch FROM now() - min(j.scheduled_at)), 0)::float8 AS age FROM jobs j
  WHERE j.account_id = s.account_id AND j.command = s.command AND j.status = 'queued' AND j.ready) AS j
GROUP BY s.command, s.state

-- name: count_waiting
-- Queued jobs that are not due yet, and those under paused paths.
SELECT (SELECT count(*) FROM jobs WHERE status = 'queued' AND NOT ready AND pause_id IS NULL),
       (SELECT count(*) FROM jobs WHERE status = 'queued' AND pause_id IS NOT NULL)

-- name: count_budgets
-- Budgets that keep jobs back: all, or some.
SELECT count(*) FILTER (WHERE jobs_allowed = 0), count(*) FILTER (WHERE jobs_allowed > 0) FROM low_budgets
