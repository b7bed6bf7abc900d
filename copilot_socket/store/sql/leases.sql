-- Leases of nodes and crawlers, and the assignments of those whose leases have expired.

-- name: renew_leases
-- Renews the lease of the node, and in the same statement those of all its live crawlers.
WITH node AS (
  INSERT INTO nodes (id, host, pid, key_fingerprints, version, lease_expires_at)
  VALUES (%(node)s, %(host)s, %(pid)s, %(keys)s, %(version)s, now() + %(lease)s * interval '1 second')
  ON CONFLICT (id) DO UPDATE SET lease_expires_at = excluded.lease_expires_at
), ordered AS MATERIALIZED (
  SELECT key FROM crawlers WHERE key = ANY (%(key)s) ORDER BY key FOR UPDATE
)
UPDATE crawlers c SET lease_expires_at = now() + %(lease)s * interval '1 second'
FROM ordered o WHERE c.key = o.key

-- name: lost_assignments
-- Assignments to release: the crawler's lease expired more than a grace ago, or the assignment was not confirmed in
-- time. Those of other nodes' crawlers only with "others", once this node has renewed its lease for long enough. None
-- while this node's own lease has expired: node or database stood still, and the next renewal restores its live
-- crawlers' leases.
SELECT a.crawler_job_id, CASE WHEN c.lease_expires_at IS NULL OR
    c.lease_expires_at <= now() - %(grace)s * interval '1 second' THEN %(gone)s ELSE %(without_it)s END
FROM job_assignments a LEFT JOIN crawlers c ON c.key = a.crawler_key
WHERE EXISTS (SELECT FROM nodes n WHERE n.id = %(node)s AND n.lease_expires_at > now())
  AND a.completed_at IS NULL AND a.crawler_key IS NOT NULL AND (c.node_id = %(node)s OR %(others)s)
  AND (c.key IS NULL OR c.lease_expires_at <= now() - %(grace)s * interval '1 second' OR a.confirm_by <= now())
ORDER BY a.web_app_job_id LIMIT %(limit)s

-- name: refused_assignments
-- Assignments whose crawlers were refused a new token and have not reported for a whole grace since.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND credential_refused_at <= now() - %(grace)s * interval '1 second'
  AND coalesce(reported_at, assigned_at) <= credential_refused_at
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: renewed_meanwhile
-- Jobs that wait for a credential that is valid: they began to wait during its renewal.
SELECT j.id FROM jobs j JOIN accounts t ON t.id = j.account_id
WHERE j.status = 'waiting_credential' AND t.credential_status = 'valid' ORDER BY j.id LIMIT %(limit)s

-- name: timed_out_assignments
-- Assignments without a report for the job time-out.
SELECT crawler_job_id FROM job_assignments
WHERE completed_at IS NULL AND crawler_key IS NOT NULL
  AND coalesce(reported_at, assigned_at) <= now() - %(timeout)s * interval '1 second'
ORDER BY web_app_job_id LIMIT %(limit)s

-- name: node_leaves
-- Deletes the lease of a node that stops, and ends its connections; its crawlers keep their leases.
WITH gone AS (
  UPDATE socket_connections SET is_active = false, active_jobs = '{}', ended_at = now()
  WHERE node_id = %(node)s AND is_active
), disturbance AS (
  INSERT INTO disturbances (name) VALUES (%(node)s)
)
DELETE FROM nodes WHERE id = %(node)s

-- name: node_starts
-- See copilot_socket/core/trouble.py, poisonous().
INSERT INTO disturbances (name) VALUES (%(node)s)

-- name: forget_dead_nodes
-- Ends the connections of nodes whose leases have expired.
WITH dead AS (
  DELETE FROM nodes WHERE lease_expires_at <= now() - interval '1 hour'
)
UPDATE socket_connections s SET is_active = false, active_jobs = '{}', ended_at = now()
WHERE s.is_active AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = s.node_id AND n.lease_expires_at > now())
