-- The counters of jobs: folding what statements have changed, and comparing them with the jobs.
-- docs/adr/0021-counts-without-counting.md

-- name: fold_lock
-- One node at a time folds. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(x'636F70696C6F76'::bigint)

-- name: fold_counts
-- Adds up to "limit" deltas to the counters, and the jobs that they created to the present minute. A counter that becomes 0
-- is deleted. What no statement of ours adds up to, and no counter holds, is cut off. Returns the number of deltas.
WITH folded AS (
  DELETE FROM job_count_deltas WHERE ctid = ANY (ARRAY(SELECT ctid FROM job_count_deltas LIMIT %(limit)s))
  RETURNING account_id, user_id, command, state, jobs, created
), changed AS MATERIALIZED (
  SELECT f.account_id, f.user_id, f.command, f.state, f.jobs + coalesce(c.jobs, 0) AS jobs
  FROM (SELECT account_id, user_id, command, state, sum(jobs) AS jobs FROM folded
        GROUP BY account_id, user_id, command, state HAVING sum(jobs) <> 0) AS f
  LEFT JOIN job_counts c ON c.account_id = f.account_id AND c.user_id = f.user_id AND c.command = f.command
    AND c.state = f.state
), deleted AS (
  DELETE FROM job_counts c USING changed n
  WHERE n.jobs = 0 AND c.account_id = n.account_id AND c.user_id = n.user_id AND c.command = n.command AND c.state = n.state
), stored AS (
  INSERT INTO job_counts (account_id, user_id, command, state, jobs)
  SELECT account_id, user_id, command, state, least(greatest(jobs, -1000000000000), 1000000000000)
  FROM changed WHERE jobs <> 0
  ON CONFLICT (account_id, user_id, command, state) DO UPDATE SET jobs = excluded.jobs
), created AS (
  INSERT INTO job_history AS h (resolution, at, created)
  SELECT 'minute', date_trunc('minute', now()), least(sum(created), 1000000000000) FROM folded HAVING sum(created) > 0
  ON CONFLICT (resolution, at, node_id) DO UPDATE SET created = least(h.created + excluded.created, 1000000000000)
)
SELECT count(*) FROM folded

-- name: check_due
-- Returns a row to one node a day.
INSERT INTO job_count_checks AS c DEFAULT VALUES
ON CONFLICT (id) DO UPDATE SET checked_at = now() WHERE c.checked_at <= now() - interval '1 day'
RETURNING true

-- name: counted_accounts
-- Accounts behind the given one, and those of which there are counters only.
SELECT id FROM (
  SELECT id::text FROM accounts WHERE id > %(after)s
  UNION
  SELECT account_id FROM job_totals WHERE account_id > %(after)s) AS a
ORDER BY id LIMIT %(limit)s

-- name: check_lock
-- Whoever compares waits for another one, whose repair is seen then. The lock ends with the transaction.
SELECT pg_advisory_xact_lock(x'636F70696C6F77'::bigint)

-- name: check_counts
-- Compares an account's counters with its jobs. Both are of one snapshot, so what differs is wrong whatever is being changed
-- meanwhile, and is still wrong by as much when this is committed: the difference becomes a delta.
WITH wrong AS (
  SELECT user_id, command, state, coalesce(t.jobs, 0) AS counted, coalesce(j.jobs, 0) AS jobs
  FROM (SELECT user_id, command, state, jobs FROM job_totals WHERE account_id = %(account)s) AS t
  FULL JOIN (
    SELECT coalesce(user_id, '') AS user_id, command::text, copilot_counted_state(status, ready, pause_id) AS state,
           count(*) AS jobs
    FROM jobs WHERE account_id = %(account)s GROUP BY 1, 2, 3) AS j USING (user_id, command, state)
  WHERE coalesce(t.jobs, 0) <> coalesce(j.jobs, 0)
), repaired AS (
  INSERT INTO job_count_deltas (account_id, user_id, command, state, jobs)
  SELECT %(account)s, user_id, command, state, jobs - counted FROM wrong
)
SELECT user_id, command, state, counted, jobs FROM wrong ORDER BY user_id, command, state
