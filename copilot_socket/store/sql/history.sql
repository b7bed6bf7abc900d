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

-- name: history_days
-- Hours added up by the days, in UTC, that begin within the given time. A day has the jobs of its first hour that has some,
-- and the most crawlers of any.
WITH hours AS MATERIALIZED (
  SELECT *, date_trunc('day', at, 'UTC') AS day FROM job_history
  WHERE resolution = 'hour'
    AND at >= date_trunc('day', to_timestamp(%(since)s) + interval '1 day' - interval '1 microsecond', 'UTC')
    AND at < date_trunc('day', to_timestamp(%(until)s) + interval '1 day' - interval '1 microsecond', 'UTC')
), beginnings AS (
  SELECT DISTINCT ON (day) day, jobs FROM hours WHERE jobs IS NOT NULL ORDER BY day, at
), numbers AS (
  SELECT day, sum(created)::bigint AS created, sum(completed)::bigint AS completed, sum(failed)::bigint AS failed,
         sum(cancelled)::bigint AS cancelled, sum(dispatch_seconds) AS dispatch_seconds,
         max(dispatch_longest) AS dispatch_longest, sum(run_seconds) AS run_seconds, max(run_longest) AS run_longest,
         max(crawlers)::integer AS crawlers
  FROM hours GROUP BY day
), lists AS (
  SELECT day, array_agg(ended ORDER BY place) AS ended, array_agg(dispatch ORDER BY place) AS dispatch,
         array_agg(run ORDER BY place) AS run
  FROM (SELECT h.day, l.place, coalesce(sum(l.ended), 0)::bigint AS ended, coalesce(sum(l.dispatch), 0)::bigint AS dispatch,
               coalesce(sum(l.run), 0)::bigint AS run
        FROM hours h CROSS JOIN LATERAL unnest(h.ended::bigint[], h.dispatch::bigint[], h.run::bigint[])
          WITH ORDINALITY AS l (ended, dispatch, run, place)
        GROUP BY h.day, l.place) AS places
  GROUP BY day
)
SELECT extract(epoch FROM n.day)::float8, b.jobs, n.created, n.completed, n.failed, n.cancelled, l.ended, l.dispatch,
       n.dispatch_seconds, n.dispatch_longest, l.run, n.run_seconds, n.run_longest, n.crawlers
FROM numbers n LEFT JOIN beginnings b ON b.day = n.day LEFT JOIN lists l ON l.day = n.day
ORDER BY n.day
