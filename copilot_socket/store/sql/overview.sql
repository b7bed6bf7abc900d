-- What the overview shows of the whole (core/attention.py). It is read every other second while somebody watches: no
-- statement counts jobs, and none reads more than some thousand rows.

-- name: overview_accounts
-- Accounts whose credential has expired, or whose token expires soon and can't be refreshed: their number, the first time,
-- and the first names.
SELECT 'expired', (SELECT count(*) FROM accounts WHERE credential_status <> 'valid'),
       (SELECT min(credential_checked_at) FROM accounts WHERE credential_status <> 'valid'),
       ARRAY(SELECT id FROM accounts WHERE credential_status <> 'valid' ORDER BY credential_checked_at, id LIMIT %(names)s)
UNION ALL
SELECT 'expiring', count(*), min(token_expires_at), (array_agg(id ORDER BY token_expires_at, id))[:%(names)s]
FROM accounts
WHERE credential_status = 'valid' AND refresh_token IS NULL AND token_expires_at <= now() + interval '7 days'

-- name: overview_waiting
-- Jobs of these accounts that wait for a credential, or could be claimed but for it. The view job_totals would add up the
-- counters of all accounts first.
SELECT coalesce(sum(jobs), 0)::bigint FROM (
  SELECT state, jobs FROM job_counts WHERE account_id = ANY (%(account)s)
  UNION ALL
  SELECT state, jobs FROM job_count_deltas WHERE account_id = ANY (%(account)s)) AS c
WHERE state IN ('queued', 'waiting_credential')

-- name: overview_crawlers
-- Crawlers that are quarantined, silent, or fail everything. The connections of a node that has gone are none.
WITH troubled AS MATERIALIZED (
  SELECT c.crawler_id, CASE WHEN c.mode = 'quarantined' THEN 'quarantined' WHEN c.lease_expires_at <= now() THEN 'silent'
         ELSE 'failing' END AS kind,
         CASE WHEN c.mode = 'quarantined' THEN c.mode_at WHEN c.lease_expires_at <= now() THEN c.lease_expires_at ELSE c.suspected_at END AS since
  FROM crawlers c
  WHERE c.mode = 'quarantined' OR (c.suspected_at IS NOT NULL AND c.lease_expires_at > now())
     OR (c.lease_expires_at <= now() AND EXISTS (
           SELECT FROM socket_connections s JOIN nodes n ON n.id = s.node_id AND n.lease_expires_at > now()
           WHERE s.crawler_key = c.key AND s.is_active))
)
SELECT k.kind, (SELECT count(*) FROM troubled t WHERE t.kind = k.kind),
       (SELECT min(t.since) FROM troubled t WHERE t.kind = k.kind),
       ARRAY(SELECT t.crawler_id FROM troubled t WHERE t.kind = k.kind ORDER BY t.since, t.crawler_id LIMIT %(names)s)
FROM unnest('{quarantined,silent,failing}'::text[]) AS k (kind)

-- name: overview_hosts
-- Hosts that are held back, and when they are probed next; NULL: by the next job.
SELECT origin, held_since, CASE WHEN opens_at > now() THEN opens_at END FROM hosts WHERE held_since IS NOT NULL ORDER BY held_since, origin LIMIT 1000

-- name: overview_operations
-- Bulk operations that have failed within a day: their number, the first time, and the latest ids.
SELECT count(*), min(finished_at), (array_agg(id ORDER BY finished_at DESC))[:%(names)s]
FROM operations WHERE finished_at > now() - interval '1 day' AND status = 'failed'

-- name: overview_caps
-- Limits and budgets of accounts and hosts that are used up, with what runs.
WITH running AS MATERIALIZED (
  SELECT t.id, t.gitlab_origin AS origin, a.jobs
  FROM (SELECT account_id, count(*) AS jobs FROM job_assignments WHERE completed_at IS NULL GROUP BY account_id) AS a
  JOIN accounts t ON t.id = a.account_id
), at_host AS MATERIALIZED (
  SELECT origin, sum(jobs)::bigint AS jobs FROM running GROUP BY origin
), cap AS (
  SELECT 'limit' AS kind, 'account' AS scope, id::text AS target, NULL::text AS name, max_running::integer AS allowed,
         NULL::timestamptz AS until
  FROM accounts WHERE max_running IS NOT NULL
  UNION ALL
  SELECT 'limit', 'host', origin, NULL, max_running, NULL FROM hosts WHERE max_running IS NOT NULL
  UNION ALL
  SELECT 'budget', CASE account_id WHEN '' THEN 'host' ELSE 'account' END,
         CASE account_id WHEN '' THEN gitlab_origin ELSE account_id END, nullif(name, ''), jobs_allowed, until
  FROM low_budgets
)
SELECT c.kind, c.scope, c.target, c.name, c.allowed, coalesce(r.jobs, h.jobs, 0), c.until FROM cap c
LEFT JOIN running r ON c.scope = 'account' AND r.id = c.target
LEFT JOIN at_host h ON c.scope = 'host' AND h.origin = c.target
WHERE c.allowed <= coalesce(r.jobs, h.jobs, 0)
ORDER BY c.scope, c.target LIMIT %(accounts)s

-- name: overview_lanes
-- Lanes with work of these accounts, or of accounts at these hosts; of so many accounts each at most.
WITH candidate AS MATERIALIZED (
  (SELECT id, gitlab_origin FROM accounts WHERE id = ANY (%(account)s) LIMIT %(accounts)s)
  UNION
  (SELECT id, gitlab_origin FROM accounts WHERE gitlab_origin = ANY (%(host)s) LIMIT %(accounts)s)
)
SELECT c.id, f.command, c.gitlab_origin FROM candidate c CROSS JOIN LATERAL (
  WITH RECURSIVE lane AS (
    (SELECT j.command FROM jobs j WHERE j.status = 'queued' AND j.ready AND j.account_id = c.id
     ORDER BY j.account_id, j.command LIMIT 1)
    UNION ALL
    SELECT n.command FROM lane l CROSS JOIN LATERAL (
      SELECT j.command FROM jobs j WHERE j.status = 'queued' AND j.ready AND j.account_id = c.id AND j.command > l.command
      ORDER BY j.account_id, j.command LIMIT 1) AS n
  )
  SELECT command FROM lane) AS f
LIMIT %(lanes)s

-- name: overview_queued
-- How many jobs the lanes of these accounts have.
SELECT account_id, command, sum(jobs)::bigint FROM (
  SELECT account_id::text, command::text, state, jobs FROM job_counts WHERE account_id = ANY (%(account)s)
  UNION ALL
  SELECT account_id, command, state, jobs FROM job_count_deltas WHERE account_id = ANY (%(account)s)) AS c
WHERE state = 'queued' GROUP BY account_id, command

-- name: overview_size
-- The size of the database in bytes, the server's connections, how many it allows, and its version: may take seconds.
SELECT pg_database_size(current_database()), (SELECT sum(numbackends) FROM pg_stat_database)::integer,
       current_setting('max_connections')::integer, current_setting('server_version')

-- name: server_and_node
-- The version of PostgreSQL, and when a node started.
SELECT current_setting('server_version'), (SELECT started_at FROM nodes WHERE id = %(node)s)
