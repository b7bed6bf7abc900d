-- Cleanup of old rows, and repair of rows that other programs have left inconsistent.

-- name: clean_inconsistent
-- Repairs rows after other programs have changed jobs directly: a live assignment of a job that is not held would
-- take up room of its crawler for ever, and a held job without a live assignment would never be claimed again.
WITH ended AS (
  UPDATE job_assignments a SET completed_at = now(), status = 'cancelled', outcome = 'cancelled',
    reason = 'another program has changed the job'
  WHERE a.completed_at IS NULL
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = a.web_app_job_id AND j.status IN ('assigned', 'running'))
  RETURNING a.web_app_job_id
), queued AS (
  UPDATE jobs j SET status = 'queued', ready = j.scheduled_at <= now() AND j.pause_id IS NULL, updated_at = now()
  WHERE j.status IN ('assigned', 'running')
    AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.web_app_job_id = j.id AND a.completed_at IS NULL)
  RETURNING CASE WHEN j.ready THEN json_build_array(j.account_id, j.command)::text END AS lane
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM queued), copilot_announce((SELECT array_agg(lane) FROM queued))

-- name: age_ago
-- The time at which rows that are "age" seconds old now were last changed.
SELECT now() - %(age)s * interval '1 second'

-- name: old_roots
-- Of the next "limit" jobs by id: the last id, and the roots of trees that are finished and old. To maintain an index
-- of these would cost more for each finished job than this read costs for each job in an hour.
WITH page AS (
  SELECT id::text, spawned_from IS NULL AND status IN ('completed', 'failed', 'cancelled') AND updated_at <= %(until)s AS due
  FROM jobs WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
)
SELECT max(id), coalesce(array_agg(id) FILTER (WHERE due), '{}') FROM page

-- name: old_trees
-- The jobs of trees, one tree after the other, and whether each job is finished and old: up to "most" jobs of each
-- tree, and up to "limit" in all. The LIMIT on children makes the planner look them up parent by parent, so that no
-- more is read; "key BETWEEN x AND x" makes it use an index for that, whatever the statistics of spawned_from.
SELECT root.number, t.id, t.finished
FROM unnest(%(roots)s::text[]) WITH ORDINALITY AS root (id, number) CROSS JOIN LATERAL (
  WITH RECURSIVE tree AS (
    SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
    FROM jobs j WHERE j.id BETWEEN root.id AND root.id
    UNION ALL
    SELECT child.id, child.finished FROM tree p CROSS JOIN LATERAL (
      SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
      FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id LIMIT %(most)s) AS child
  )
  SELECT id, finished FROM tree LIMIT %(most)s) AS t
LIMIT %(limit)s

-- name: open_tree
-- A cursor over the jobs of one tree, of any size: whether each is finished and old.
DECLARE tree NO SCROLL CURSOR FOR
WITH RECURSIVE tree AS (
  SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
  FROM jobs j WHERE j.id BETWEEN %(root)s AND %(root)s
  UNION ALL
  SELECT child.id, child.finished FROM tree p CROSS JOIN LATERAL (
    SELECT j.id, j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s AS finished
    FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id OFFSET 0) AS child
)
SELECT finished FROM tree

-- name: children
-- Up to "limit" jobs that these have spawned.
SELECT child.id FROM unnest(%(parents)s::text[]) AS p (id) CROSS JOIN LATERAL (
  SELECT j.id FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id LIMIT %(limit)s) AS child
LIMIT %(limit)s

-- name: clean_jobs
-- Deletes those of these trees (or parts of one) whose jobs are all still finished, old and not locked by others;
-- none unless all of "above" are finished and old, too. A trigger deletes the assignments and attempts of the jobs.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest(%(job)s::text[], %(tree)s::integer[]) AS t (id, tree)
), locked AS MATERIALIZED (
  SELECT j.id, a.tree FROM asked a JOIN jobs j ON j.id = a.id
  WHERE j.status IN ('completed', 'failed', 'cancelled') AND j.updated_at <= %(until)s
  ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
), whole AS (
  SELECT a.tree FROM asked a LEFT JOIN locked l ON l.id = a.id GROUP BY a.tree HAVING count(l.id) = count(*)
), gone AS (
  DELETE FROM jobs j USING locked l JOIN whole w ON w.tree = l.tree
  WHERE j.id = l.id AND NOT EXISTS (
    SELECT FROM unnest(%(above)s::text[]) AS above (id) LEFT JOIN jobs p ON p.id = above.id
    WHERE (p.status IN ('completed', 'failed', 'cancelled') AND p.updated_at <= %(until)s) IS NOT TRUE)
  RETURNING j.id
)
SELECT count(*) FROM gone

-- name: clean_errors
-- Errors have a maximum age of their own.
WITH gone AS (
  DELETE FROM job_error_log WHERE id IN (
    SELECT id FROM job_error_log WHERE timestamp <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_error_counts
-- Counts of hours that were over by then.
WITH gone AS (
  DELETE FROM error_counts WHERE ctid IN (
    SELECT ctid FROM error_counts WHERE hour <= now() - %(age)s * interval '1 second' - interval '1 hour' LIMIT %(limit)s)
  RETURNING hour
)
SELECT count(*) FROM gone

-- name: clean_error_groups
-- Groups of which nothing is left to be counted. One that is ignored stays, since it would be shown again when it next
-- occurs. The condition on last_at is judged anew for a group that has just occurred, the counts are not.
WITH gone AS (
  DELETE FROM error_groups WHERE fingerprint IN (
    SELECT fingerprint FROM error_groups g
    WHERE last_at <= now() - %(age)s * interval '1 second' AND ignored_at IS NULL
      AND NOT EXISTS (SELECT FROM error_counts c WHERE c.fingerprint = g.fingerprint)
    LIMIT %(limit)s)
    AND last_at <= now() - %(age)s * interval '1 second' AND ignored_at IS NULL
  RETURNING fingerprint
)
SELECT count(*) FROM gone

-- name: clean_audit
-- So have acts and refusals; of a sum the time of its last one counts.
WITH gone AS (
  DELETE FROM audit_log WHERE id IN (
    SELECT id FROM audit_log
    WHERE timestamp <= now() - %(age)s * interval '1 second'
      AND coalesce(last_at, timestamp) <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_connections
-- Connections that ended more than a day ago.
WITH gone AS (
  DELETE FROM socket_connections WHERE id IN (
    SELECT id FROM socket_connections WHERE NOT is_active AND ended_at <= now() - interval '1 day' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_crawlers
-- Crawlers whose lease ended more than a day ago and that hold nothing.
WITH gone AS (
  DELETE FROM crawlers WHERE key IN (
    SELECT key FROM crawlers c WHERE lease_expires_at <= now() - interval '1 day' AND mode = 'serving'
      AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL)
    LIMIT %(limit)s)
  RETURNING key
)
SELECT count(*) FROM gone

-- name: clean_crawler_ends
-- What is asked for no more.
WITH gone AS (
  DELETE FROM crawler_ends WHERE ctid IN (
    SELECT ctid FROM crawler_ends WHERE at <= now() - interval '2 hours' LIMIT %(limit)s)
  RETURNING at
)
SELECT count(*) FROM gone

-- name: clean_disturbances
-- Crawlers lost, and nodes started or stopped, more than two days ago.
WITH gone AS (
  DELETE FROM disturbances WHERE ctid IN (
    SELECT ctid FROM disturbances WHERE at <= now() - interval '2 days' LIMIT %(limit)s)
  RETURNING name
)
SELECT count(*) FROM gone

-- name: clean_keys
-- Idempotency keys are honoured for a day.
WITH gone AS (
  DELETE FROM idempotency_keys WHERE key IN (
    SELECT key FROM idempotency_keys WHERE created_at <= now() - interval '1 day' LIMIT %(limit)s)
  RETURNING key
)
SELECT count(*) FROM gone

-- name: clean_operations
-- Operations that ended long ago.
WITH gone AS (
  DELETE FROM operations WHERE id IN (
    SELECT id FROM operations WHERE finished_at <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_history
-- Old hours, and old minutes whose hour is summed up for good.
WITH gone AS (
  DELETE FROM job_history WHERE (resolution, at, node_id) IN (
    SELECT resolution, at, node_id FROM job_history
    WHERE (resolution = 'hour' AND at < now() - %(hour)s * interval '1 second')
       OR (resolution = 'minute' AND at < now() - %(minute)s * interval '1 second'
           AND at < (SELECT max(at) - interval '1 hour' FROM job_history WHERE resolution = 'hour'))
    LIMIT %(limit)s)
  RETURNING at
)
SELECT count(*) FROM gone
