-- Leases of nodes and crawlers, and what is taken from those whose leases are over.

-- name: renew_leases
-- The node's own lease, and in the same statement those of all its live crawlers.
WITH node AS (
  INSERT INTO nodes (id, host, pid, lease_expires_at)
  VALUES (%(node)s, %(host)s, %(pid)s, now() + %(lease)s * interval '1 second')
  ON CONFLICT (id) DO UPDATE SET lease_expires_at = excluded.lease_expires_at
), ordered AS MATERIALIZED (
  SELECT key FROM crawlers WHERE key = ANY (%(key)s) ORDER BY key FOR UPDATE
)
UPDATE crawlers c SET lease_expires_at = now() + %(lease)s * interval '1 second'
FROM ordered o WHERE c.key = o.key

-- name: lost_assignments
-- What may be taken from its crawler: the lease ended a grace ago, or a promised report did not come. Of other nodes'
-- crawlers only if this node's own leases have held for long enough to judge. Nothing at all while this node's own lease
-- is over: it or the database stood still, and its next renewal brings back the leases of all its live crawlers.
SELECT a.crawler_job_id, CASE WHEN c.lease_expires_at IS NULL OR
    c.lease_expires_at <= now() - %(grace)s * interval '1 second' THEN %(gone)s ELSE %(without_it)s END
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE EXISTS (SELECT FROM nodes n WHERE n.id = %(node)s AND n.lease_expires_at > now())
  AND a.completed_at IS NULL AND a.crawler_key IS NOT NULL AND (c.node_id = %(node)s OR %(others)s)
  AND (c.key IS NULL OR c.lease_expires_at <= now() - %(grace)s * interval '1 second' OR a.confirm_by <= now())
ORDER BY a.web_app_job_id LIMIT %(limit)s

-- name: refused_assignments
-- Crawlers that were refused a new token and have said nothing since, for a whole grace.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND credential_refused_at <= now() - %(grace)s * interval '1 second'
  AND coalesce(reported_at, assigned_at) <= credential_refused_at
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: renewed_meanwhile
-- Jobs that came to wait for a credential at the moment of its renewal, which did not see them.
SELECT j.id FROM jobs j JOIN accounts t ON t.id = j.account_id
WHERE j.status = 'waiting_credential' AND t.credential_status = 'valid' ORDER BY j.id LIMIT %(limit)s

-- name: timed_out_assignments
-- Nothing was reported on these for too long.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND crawler_key IS NOT NULL
  AND coalesce(reported_at, assigned_at) <= now() - %(timeout)s * interval '1 second'
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: node_leaves
-- A node that stops gives up its lease and its connections; its crawlers keep theirs.
WITH gone AS (
  UPDATE socket_connections SET is_active = false, active_jobs = '{}', ended_at = now()
  WHERE node_id = %(node)s AND is_active
)
DELETE FROM nodes WHERE id = %(node)s

-- name: forget_dead_nodes
-- Connections of nodes that died without a word.
WITH dead AS (
  DELETE FROM nodes WHERE lease_expires_at <= now() - interval '1 hour'
)
UPDATE socket_connections s SET is_active = false, active_jobs = '{}', ended_at = now()
WHERE s.is_active AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = s.node_id AND n.lease_expires_at > now())
