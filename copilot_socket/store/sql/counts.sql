-- Counts for metrics and statistics. Jobs are read from their counters (job_totals); of jobs themselves, heads of lanes only.

-- name: count_jobs
-- Jobs by command and state. Those that are ready are counted by the state of their lanes: a lane is held_back by pauses,
-- host holds, limits, budgets or a credential; else it is unroutable if no crawler takes it that is present and may be
-- given work; else it is open. Of open lanes also the longest time, in seconds, for which a job has been due, among the first
-- ten of each priority in each lane: of up to ten priorities, the lowest ones, since these wait longest.
WITH counters AS NOT MATERIALIZED (
  -- What the view job_totals adds up, which would do so by user.
  SELECT account_id, command, state, jobs FROM job_counts
  UNION ALL
  SELECT account_id, command, state, jobs FROM job_count_deltas
), queued AS MATERIALIZED (
  SELECT account_id, command, sum(jobs)::bigint AS jobs FROM counters WHERE state = 'queued'
  GROUP BY account_id, command HAVING sum(jobs) > 0
), running AS MATERIALIZED (
  SELECT account_id, sum(jobs) AS jobs FROM counters WHERE state IN ('assigned', 'running') GROUP BY account_id
), taken AS MATERIALIZED (
  SELECT DISTINCT m.command FROM unnest(%(command)s::text[], %(entity_type)s::text[]) AS m (command, entity_type)
  JOIN crawlers c ON c.lease_expires_at > now() AND c.mode = 'serving' AND m.entity_type = ANY (c.entity_types)
), full_hosts AS MATERIALIZED (
  SELECT c.target AS origin FROM running_caps c WHERE c.scope = 'host' GROUP BY c.target
  HAVING min(c.max_running) <= coalesce((SELECT sum(r.jobs) FROM running r JOIN accounts t ON t.id = r.account_id
                                         WHERE t.gitlab_origin = c.target), 0)
  UNION
  SELECT origin FROM hosts WHERE held_since IS NOT NULL
), full_accounts AS MATERIALIZED (
  SELECT c.target AS id FROM running_caps c WHERE c.scope = 'account' GROUP BY c.target
  HAVING min(c.max_running) <= coalesce((SELECT r.jobs FROM running r WHERE r.account_id = c.target), 0)
), paused AS MATERIALIZED (
  SELECT scope::text, target FROM pauses WHERE coalesce(ends_at, 'infinity') > now()
), lanes AS MATERIALIZED (
  SELECT l.account_id, l.command, l.jobs, CASE
    WHEN t.credential_status <> 'valid' OR (t.token_expires_at <= now() + interval '1 minute' AND t.refresh_after > now())
      OR t.gitlab_origin IN (SELECT origin FROM full_hosts) OR l.account_id IN (SELECT id FROM full_accounts)
      OR EXISTS (SELECT FROM paused WHERE scope = 'everything')
      OR l.account_id IN (SELECT target FROM paused WHERE scope = 'account')
      OR t.gitlab_origin IN (SELECT target FROM paused WHERE scope = 'host')
      OR l.command IN (SELECT target FROM paused WHERE scope = 'command')
      THEN 'held_back'
    WHEN l.command IN (SELECT command FROM taken) THEN 'open' ELSE 'unroutable' END AS state
  FROM queued l JOIN accounts t ON t.id = l.account_id
)
SELECT command::text, state::text, sum(jobs)::bigint, NULL::float8 FROM counters WHERE state <> 'queued'
GROUP BY command, state HAVING sum(jobs) > 0
UNION ALL
SELECT l.command, l.state, sum(l.jobs)::bigint, extract(epoch FROM now() - min(f.since))::float8
FROM lanes l LEFT JOIN LATERAL (
  WITH RECURSIVE level AS (
    (SELECT j.priority, 1 AS number FROM jobs j
     WHERE j.account_id = l.account_id AND j.command = l.command AND j.status = 'queued' AND j.ready
     ORDER BY j.priority LIMIT 1)
    UNION ALL
    SELECT n.priority, v.number + 1 FROM level v CROSS JOIN LATERAL (
      SELECT j.priority FROM jobs j
      WHERE j.account_id = l.account_id AND j.command = l.command AND j.status = 'queued' AND j.ready
        AND j.priority > v.priority
      ORDER BY j.priority LIMIT 1) AS n
    WHERE v.number < 10
  )
  SELECT min(h.scheduled_at) AS since FROM level v CROSS JOIN LATERAL (
    SELECT j.scheduled_at FROM jobs j
    WHERE j.account_id = l.account_id AND j.command = l.command AND j.status = 'queued' AND j.ready
      AND j.priority = v.priority
    ORDER BY j.id LIMIT 10) AS h) AS f ON l.state = 'open'
GROUP BY l.command, l.state

-- name: count_jobs_of
-- Jobs by what they count as, of these accounts and users; NULL: of all.
SELECT state, sum(jobs)::bigint FROM job_totals
WHERE (%(accounts)s::text[] IS NULL OR account_id = ANY (%(accounts)s::text[]))
  AND (%(users)s::text[] IS NULL OR user_id = ANY (%(users)s::text[]))
GROUP BY state HAVING sum(jobs) > 0

-- name: count_accounts
-- Accounts by the state of their credentials.
SELECT credential_status, count(*) FROM accounts GROUP BY credential_status

-- name: count_budgets
-- Budgets that keep jobs back: all, or some.
SELECT count(*) FILTER (WHERE jobs_allowed = 0), count(*) FILTER (WHERE jobs_allowed > 0) FROM low_budgets
