-- Bulk operations on jobs (docs/http.md, "Bulk operations").

-- name: start_operation
-- A new operation. It looks at jobs from the newest one of now down to the oldest: children before their parents.
INSERT INTO operations (action, filter, accounts, users, expected, expected_exact, created_by, place)
VALUES (%(action)s, %(filter)s::jsonb, %(accounts)s::text[], %(users)s::text[], %(expected)s, %(exact)s, %(actor)s,
        coalesce((SELECT id || '0' FROM jobs ORDER BY id DESC LIMIT 1), ''))
RETURNING id

-- name: take_operation
-- The running operation whose last slice is the longest ago, unless another node that lives works on it.
UPDATE operations SET node_id = %(node)s, updated_at = now()
WHERE id = (
  SELECT o.id FROM operations o
  WHERE o.status = 'running' AND (o.node_id = %(node)s OR NOT EXISTS (
    SELECT FROM nodes n WHERE n.id = o.node_id AND n.lease_expires_at > now()))
  ORDER BY o.updated_at, o.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, action, filter, accounts, users, place, changed, skipped, created_by

-- name: keep_place
-- Stores a slice with its changes; no row if the operation was aborted, or another node has taken it.
UPDATE operations SET place = %(place)s, changed = %(changed)s::jsonb, skipped = %(skipped)s::jsonb, updated_at = now()
WHERE id = %(id)s AND status = 'running' AND place = %(former)s AND node_id = %(node)s
RETURNING true

-- name: end_operation
-- As done, aborted or failed; no row if it has ended before.
UPDATE operations SET status = %(status)s, error = %(error)s, finished_at = now(), updated_at = now()
WHERE id = %(id)s AND status = 'running'
RETURNING changed, skipped

-- name: orphan_children
-- Up to "limit" jobs that those of these have spawned which are terminal become jobs without a parent, before that is
-- deleted; their number. The lock keeps parents from being retried meanwhile.
WITH parent AS MATERIALIZED (
  SELECT j.id FROM jobs j WHERE j.id = ANY (%(job)s) AND j.status IN ('completed', 'failed', 'cancelled')
  ORDER BY j.id FOR UPDATE
), found AS (
  SELECT c.id FROM parent CROSS JOIN LATERAL (
    SELECT j.id FROM jobs j WHERE j.spawned_from BETWEEN parent.id AND parent.id LIMIT %(limit)s) AS c
  LIMIT %(limit)s
), child AS MATERIALIZED (
  SELECT j.id FROM jobs j WHERE j.id = ANY (ARRAY(SELECT id FROM found)) ORDER BY j.id FOR UPDATE
), gone AS (
  UPDATE jobs j SET spawned_from = NULL FROM child c WHERE j.id = c.id RETURNING j.id
)
SELECT count(*) FROM gone

-- name: delete_jobs
-- Deletes those of these jobs that are terminal; a trigger deletes their assignments and attempts.
DELETE FROM jobs WHERE id = ANY (%(job)s) AND status IN ('completed', 'failed', 'cancelled') RETURNING id, status
