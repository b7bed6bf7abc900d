-- The audit log: who changed what, and who was refused. docs/adr/0017-audit-log.md

-- name: record_acts
-- Acts, in the transaction of what they change.
INSERT INTO audit_log (door, actor, address, action, target, count, details)
SELECT * FROM unnest(%(door)s::text[], %(actor)s::text[], %(address)s::text[], %(action)s::text[], %(target)s::text[],
                     %(count)s::integer[], %(details)s::jsonb[])

-- name: record_refusals
-- Refusals that a node has summed: "first" and "last" are seconds ago.
INSERT INTO audit_log (timestamp, last_at, door, actor, address, action, outcome, count, details)
SELECT now() - first * interval '1 second', CASE WHEN count > 1 THEN now() - last * interval '1 second' END,
       door, actor, address, what, 'refused', count, jsonb_build_object('reason', reason)
FROM unnest(%(first)s::float8[], %(last)s::float8[], %(door)s::text[], %(reason)s::text[], %(actor)s::text[],
            %(address)s::text[], %(what)s::text[], %(count)s::integer[])
  AS t (first, last, door, reason, actor, address, what, count)

-- name: audit_lock
-- One node at a time sums rows up. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(x'636F70696C6F75'::bigint)

-- name: audit_sum
-- Of the first minute since "since", or since "late" seconds ago if that is earlier, that is over and has rows of ours:
-- those that differ in nothing but their time become one, the first. Rows of other programs, without a door, stay.
-- Returns the beginning of that minute, NULL if there is none, and the number of rows deleted.
WITH minute AS (
  SELECT date_trunc('minute', min(timestamp)) AS begins FROM audit_log
  WHERE timestamp >= least(%(since)s::timestamptz, now() - %(late)s * interval '1 second')
    AND timestamp < date_trunc('minute', now()) AND door IS NOT NULL
), same AS (
  SELECT min(a.id) AS kept, array_agg(a.id) AS ids
  FROM minute m JOIN audit_log a ON a.timestamp >= m.begins AND a.timestamp < m.begins + interval '1 minute'
  WHERE a.door IS NOT NULL
  GROUP BY a.door, a.actor, a.address, a.action, a.target, a.outcome, a.details HAVING count(*) > 1
), gone AS (
  DELETE FROM audit_log a USING (SELECT kept, unnest(ids) AS id FROM same) AS s
  WHERE a.id = s.id AND a.id <> s.kept
  RETURNING s.kept, a.count, a.timestamp, coalesce(a.last_at, a.timestamp) AS last_at
), summed AS (
  UPDATE audit_log a SET
    count = least(a.count + s.count, 1000000000), timestamp = least(a.timestamp, s.first_at),
    last_at = greatest(a.timestamp, a.last_at, s.last_at)
  FROM (SELECT kept, sum(count) AS count, min(timestamp) AS first_at, max(last_at) AS last_at
        FROM gone GROUP BY kept) AS s
  WHERE a.id = s.kept
)
SELECT (SELECT begins FROM minute), (SELECT count(*) FROM gone)
