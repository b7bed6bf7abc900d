-- What happened, by the minute and by the hour (core/history.py).

-- name: history_clock
-- The time, in seconds since the epoch.
SELECT extract(epoch FROM now())::float8

-- name: history_store
-- What a node has seen of a minute, or, for no node, all of an hour. What was stored of it before is replaced.
INSERT INTO job_history AS h
  (resolution, at, node_id, jobs, created, completed, failed, cancelled, ended, dispatch, dispatch_seconds,
   dispatch_longest, run, run_seconds, run_longest, crawlers)
VALUES (%(resolution)s, to_timestamp(%(at)s), %(node)s, %(jobs)s::bigint[], %(created)s, %(completed)s, %(failed)s,
        %(cancelled)s, %(ended)s::bigint[], %(dispatch)s::bigint[], %(dispatch_seconds)s, %(dispatch_longest)s,
        %(run)s::bigint[], %(run_seconds)s, %(run_longest)s, %(crawlers)s)
ON CONFLICT (resolution, at, node_id) DO UPDATE SET
  jobs = excluded.jobs, created = excluded.created, completed = excluded.completed, failed = excluded.failed,
  cancelled = excluded.cancelled, ended = excluded.ended, dispatch = excluded.dispatch,
  dispatch_seconds = excluded.dispatch_seconds, dispatch_longest = excluded.dispatch_longest, run = excluded.run,
  run_seconds = excluded.run_seconds, run_longest = excluded.run_longest, crawlers = excluded.crawlers

-- name: history_lock
-- One node at a time samples. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(x'636F70696C6F78'::bigint)

-- name: history_sample
-- How many jobs there are in each of "statuses", for the present minute; returns a row unless that was done already.
INSERT INTO job_history AS h (resolution, at, jobs)
SELECT 'minute', date_trunc('minute', now()), array_agg(least(greatest(coalesce(t.jobs, 0), 0), 1000000000000) ORDER BY s.number)
FROM unnest(%(statuses)s::text[]) WITH ORDINALITY AS s (status, number)
LEFT JOIN (SELECT CASE WHEN state IN ('scheduled', 'path_paused') THEN 'queued' ELSE state END AS status,
                  sum(jobs)::bigint AS jobs
           FROM job_totals GROUP BY 1) AS t ON t.status = s.status
WHERE NOT EXISTS (SELECT FROM job_history d WHERE d.resolution = 'minute' AND d.at = date_trunc('minute', now())
                  AND d.node_id = '' AND d.jobs IS NOT NULL)
HAVING count(*) > 0
ON CONFLICT (resolution, at, node_id) DO UPDATE SET jobs = excluded.jobs
RETURNING true

-- name: history_open
-- Rows of minutes whose hours are not over, or have been for less than ten minutes, or were not summed up yet.
SELECT extract(epoch FROM at)::float8, jobs, created, completed, failed, cancelled, ended, dispatch, dispatch_seconds,
       dispatch_longest, run, run_seconds, run_longest, crawlers
FROM job_history
WHERE resolution = 'minute'
  AND at >= least(date_trunc('hour', now() - interval '10 minutes'),
                  coalesce((SELECT max(at) FROM job_history WHERE resolution = 'hour'), '-infinity'))
ORDER BY at

-- name: history_read
-- Rows of intervals that begin within the given time, in seconds since the epoch.
SELECT extract(epoch FROM at)::float8, jobs, created, completed, failed, cancelled, ended, dispatch, dispatch_seconds,
       dispatch_longest, run, run_seconds, run_longest, crawlers
FROM job_history
WHERE resolution = %(resolution)s AND at >= to_timestamp(%(since)s) AND at < to_timestamp(%(until)s)
ORDER BY at
