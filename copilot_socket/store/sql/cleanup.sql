-- Old rows, and what other programs left inconsistent.

-- name: clean_inconsistent
-- Repairs what other programs left by changing jobs themselves: a live assignment whose job is not held would occupy its
-- crawler's room for ever, and a held job without a live assignment would never be given out again.
WITH ended AS (
  UPDATE job_assignments a SET completed_at = now(), status = 'cancelled', outcome = 'cancelled',
    reason = 'another program has changed the job'
  WHERE a.completed_at IS NULL
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = a.web_app_job_id AND j.status IN ('assigned', 'running'))
  RETURNING a.web_app_job_id
), queued AS (
  UPDATE jobs j SET status = 'queued', ready = j.scheduled_at <= now(), updated_at = now()
  WHERE j.status IN ('assigned', 'running')
    AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.web_app_job_id = j.id AND a.completed_at IS NULL)
  RETURNING j.id
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM queued)

-- name: age_ago
-- The time before which what is old was last changed.
SELECT now() - %(age)s * interval '1 second'

-- name: old_roots
-- Of so many jobs in the order of their ids the last one's id, and the old finished ones that were not spawned. An index
-- of these alone would take longer for each job that is finished than this takes for each job in an hour.
WITH page AS (
  SELECT id::text, spawned_from IS NULL AND status IN ('completed', 'failed', 'cancelled') AND updated_at <= %(until)s AS due
  FROM jobs WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
)
SELECT max(id), coalesce(array_agg(id) FILTER (WHERE due), '{}') FROM page

-- name: old_trees
-- The jobs of trees, one tree after the other, and whether each job is finished and old. Up to "most" of each tree and up
-- to "limit" in all: what is beyond is not read. Hence the LIMIT of a job's children, which has these looked up job by
-- job, and "key BETWEEN x AND x", which has that done in an index however many children most parents have.
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
-- The same of one tree, however large it is.
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
-- The jobs that these have spawned, up to a number.
SELECT child.id FROM unnest(%(parents)s::text[]) AS p (id) CROSS JOIN LATERAL (
  SELECT j.id FROM jobs j WHERE j.spawned_from BETWEEN p.id AND p.id LIMIT %(limit)s) AS child
LIMIT %(limit)s

-- name: clean_jobs
-- Of these trees (or parts of one) those whose jobs are all finished and old still and nobody else has locked; nothing
-- unless all of "above" are finished and old, too. Assignments and attempts go with their jobs, by a trigger.
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
-- Errors have an age of their own.
WITH gone AS (
  DELETE FROM job_error_log WHERE id IN (
    SELECT id FROM job_error_log WHERE timestamp <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_connections
-- Connections that ended a day ago.
WITH gone AS (
  DELETE FROM socket_connections WHERE id IN (
    SELECT id FROM socket_connections WHERE NOT is_active AND ended_at <= now() - interval '1 day' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone

-- name: clean_crawlers
-- Crawlers that were gone a day ago and hold nothing.
WITH gone AS (
  DELETE FROM crawlers WHERE key IN (
    SELECT key FROM crawlers c WHERE lease_expires_at <= now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL)
    LIMIT %(limit)s)
  RETURNING key
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
