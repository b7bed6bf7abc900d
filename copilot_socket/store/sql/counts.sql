-- Counts for metrics and statistics.

-- name: count_jobs
-- Jobs by state.
SELECT status, count(*) FROM jobs GROUP BY status

-- name: count_accounts
-- Accounts by the state of their credentials.
SELECT credential_status, count(*) FROM accounts GROUP BY credential_status

-- name: queue_age
-- Seconds since the oldest claimable job fell due.
SELECT coalesce(extract(epoch FROM now() - min(scheduled_at)), 0)::float8 FROM jobs WHERE status = 'queued' AND ready

-- name: unroutable
-- Claimable jobs whose entity type no connected crawler takes.
SELECT count(*) FROM jobs j JOIN unnest(%(command)s::text[], %(entity_type)s::text[]) AS m (command, entity_type)
  ON m.command = j.command
WHERE j.status = 'queued' AND j.ready AND NOT EXISTS (
  SELECT FROM crawlers c WHERE c.lease_expires_at > now() AND m.entity_type = ANY (c.entity_types))
