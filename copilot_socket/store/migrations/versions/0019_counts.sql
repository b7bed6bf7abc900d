-- Jobs are counted as they change: docs/adr/0021-counts-without-counting.md.

-- What a job counts as: its status, but of queued jobs apart: "queued" are those that are ready, "scheduled" those that are
-- due later, "path_paused" those under a paused path.
CREATE DOMAIN counted_state AS text CHECK (VALUE IN (
  'queued', 'scheduled', 'path_paused', 'assigned', 'running', 'completed', 'failed', 'cancelled', 'paused',
  'waiting_credential'));
CREATE DOMAIN counted_name AS text CHECK (length(VALUE) <= 255);
CREATE DOMAIN counted_number AS bigint CHECK (VALUE BETWEEN -1000000000000 AND 1000000000000);
CREATE FUNCTION copilot_counted_state(status text, ready boolean, pause_id text) RETURNS text LANGUAGE sql IMMUTABLE
  PARALLEL SAFE
RETURN CASE WHEN status <> 'queued' THEN status WHEN ready THEN 'queued' WHEN pause_id IS NULL THEN 'scheduled'
            ELSE 'path_paused' END;

-- The counters, as far as deltas are folded into them. Jobs without a user have an empty one.
CREATE TABLE job_counts (
  account_id counted_name NOT NULL,
  user_id    counted_name NOT NULL DEFAULT '',
  command    job_command NOT NULL,
  state      counted_state NOT NULL,
  jobs       counted_number NOT NULL,
  PRIMARY KEY (account_id, user_id, command, state)
) WITH (fillfactor = 70);
CREATE INDEX idx_job_counts_user ON job_counts (user_id) WHERE user_id <> '';
-- By how much each statement has changed them since, and how many jobs it created. Rows are only added, and deleted when a
-- node folds them: nothing waits for anything. Vacuumed often, and never truncated, which takes a lock.
CREATE TABLE job_count_deltas (
  account_id counted_name NOT NULL,
  user_id    counted_name NOT NULL DEFAULT '',
  command    job_command NOT NULL,
  state      counted_state NOT NULL,
  jobs       counted_number NOT NULL,
  created    counted_number NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, vacuum_truncate = off);

-- How many jobs there are: exact in each snapshot.
CREATE VIEW job_totals AS
  SELECT account_id::text, user_id::text, command::text, state::text, sum(jobs)::bigint AS jobs
  FROM (SELECT account_id, user_id, command, state, jobs FROM job_counts
        UNION ALL
        SELECT account_id, user_id, command, state, jobs FROM job_count_deltas) AS c
  GROUP BY account_id, user_id, command, state HAVING sum(jobs) <> 0;

-- The path is set to the schema of the table, wherever that is, so that the plans of these statements are kept; the clause
-- SET restores the caller's.
CREATE FUNCTION copilot_count_jobs() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  path CONSTANT text := set_config('search_path', quote_ident(TG_TABLE_SCHEMA) || ', pg_temp', true);
BEGIN
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO job_count_deltas (account_id, user_id, command, state, jobs)
    SELECT account_id, user_id, command, state, sum(jobs) FROM (
      SELECT account_id, coalesce(user_id, '') AS user_id, command,
             copilot_counted_state(status, ready, pause_id) AS state, -1 AS jobs FROM old_jobs
      UNION ALL
      SELECT account_id, coalesce(user_id, ''), command, copilot_counted_state(status, ready, pause_id), 1
      FROM new_jobs) AS c
    GROUP BY account_id, user_id, command, state HAVING sum(jobs) <> 0;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO job_count_deltas (account_id, user_id, command, state, jobs)
    SELECT account_id, coalesce(user_id, ''), command, copilot_counted_state(status, ready, pause_id), -count(*)
    FROM old_jobs GROUP BY 1, 2, 3, 4;
  ELSE  -- TRUNCATE
    INSERT INTO job_count_deltas (account_id, user_id, command, state, jobs)
    SELECT account_id, user_id, command, state, -jobs FROM job_totals;
  END IF;
  RETURN NULL;
END
$$;
-- Whoever inserts jobs need not have rights on the counters.
CREATE FUNCTION copilot_count_new_jobs() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  path text;
BEGIN
  -- It runs with its owner's rights, so for no table of anybody else.
  IF (SELECT pg_get_userbyid(relowner) <> current_user FROM pg_class WHERE oid = TG_RELID) THEN
    RETURN NULL;
  END IF;
  path := set_config('search_path', quote_ident(TG_TABLE_SCHEMA) || ', pg_temp', true);
  INSERT INTO job_count_deltas (account_id, user_id, command, state, jobs, created)
  SELECT account_id, coalesce(user_id, ''), command, copilot_counted_state(status, ready, pause_id), count(*), count(*)
  FROM new_jobs GROUP BY 1, 2, 3, 4;
  RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION copilot_count_new_jobs FROM PUBLIC;

CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_count_new_jobs();
CREATE TRIGGER jobs_count_changed AFTER UPDATE ON jobs REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_count_jobs();
CREATE TRIGGER jobs_count_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS old_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_count_jobs();
CREATE TRIGGER jobs_count_truncated AFTER TRUNCATE ON jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_count_jobs();
ALTER TABLE jobs
  ENABLE ALWAYS TRIGGER jobs_count_new,
  ENABLE ALWAYS TRIGGER jobs_count_changed,
  ENABLE ALWAYS TRIGGER jobs_count_deleted,
  ENABLE ALWAYS TRIGGER jobs_count_truncated;

-- The lock that CREATE TRIGGER has taken keeps writers out until the end of this transaction.
INSERT INTO job_counts
SELECT account_id, coalesce(user_id, ''), command, copilot_counted_state(status, ready, pause_id), count(*)
FROM jobs GROUP BY 1, 2, 3, 4;

-- When a node last began to compare the counters with the jobs.
CREATE TABLE job_count_checks (
  id         integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  checked_at bounded_timestamptz NOT NULL DEFAULT now()
);

-- What happened, by the minute and by the hour: core/history.py. What a node has seen of a minute is a row of its own. The
-- row without a node has what concerns all of them; of an hour it has everything.
CREATE DOMAIN counted_list AS bigint[] CHECK (
  array_ndims(VALUE) = 1 AND cardinality(VALUE) <= 100 AND array_position(VALUE, NULL) IS NULL
  AND 0 <= ALL (VALUE) AND 1000000000000 >= ALL (VALUE));
CREATE DOMAIN counted_seconds AS double precision CHECK (VALUE BETWEEN 0 AND 1e15);
CREATE TABLE job_history (
  resolution       text NOT NULL CHECK (resolution IN ('minute', 'hour')),
  at               bounded_timestamptz NOT NULL,
  node_id          counted_name NOT NULL DEFAULT '',
  jobs             counted_list,
  created          counted_number NOT NULL DEFAULT 0 CHECK (created >= 0),
  completed        counted_number NOT NULL DEFAULT 0 CHECK (completed >= 0),
  failed           counted_number NOT NULL DEFAULT 0 CHECK (failed >= 0),
  cancelled        counted_number NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
  ended            counted_list,
  dispatch         counted_list,
  dispatch_seconds counted_seconds NOT NULL DEFAULT 0,
  dispatch_longest counted_seconds NOT NULL DEFAULT 0,
  run              counted_list,
  run_seconds      counted_seconds NOT NULL DEFAULT 0,
  run_longest      counted_seconds NOT NULL DEFAULT 0,
  crawlers         natural_number NOT NULL DEFAULT 0,
  PRIMARY KEY (resolution, at, node_id)
);
