-- Pauses hold jobs back without changing their state (core/pauses.py).
CREATE DOMAIN pause_scope AS text CHECK (VALUE IN ('everything', 'account', 'host', 'command', 'path_prefix'));
CREATE TABLE pauses (
  id         job_id PRIMARY KEY DEFAULT copilot_ulid(),
  scope      pause_scope NOT NULL,
  target     text CHECK (octet_length(target) BETWEEN 1 AND 1200),
  reason     text CHECK (length(reason) BETWEEN 1 AND 1000),
  author     short_name NOT NULL,
  created_at bounded_timestamptz NOT NULL DEFAULT now(),
  ends_at    bounded_timestamptz,
  -- Of a path prefix: the jobs behind this one have not been marked yet. NULL: all have.
  mark_after text CHECK (octet_length(mark_after) <= 255),
  CHECK ((scope = 'everything') = (target IS NULL))
);
CREATE UNIQUE INDEX idx_pauses_target ON pauses (scope, coalesce(target, ''));

-- Jobs that the pause of a path prefix covers are marked with it, and are not "ready".
ALTER TABLE jobs ADD COLUMN pause_id text;
CREATE INDEX idx_jobs_pause ON jobs (pause_id, id) WHERE pause_id IS NOT NULL;
DROP INDEX idx_jobs_due;
CREATE INDEX idx_jobs_due ON jobs (scheduled_at) WHERE status = 'queued' AND NOT ready AND pause_id IS NULL;

-- New jobs are marked as they are inserted, while any such pause exists. Whoever inserts them need not see pauses.
CREATE FUNCTION copilot_paths_paused() RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT EXISTS (SELECT FROM pauses WHERE scope = 'path_prefix');
END;
CREATE FUNCTION copilot_pause_new_jobs() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- It runs with its owner's rights, so for no table of anybody else; what is not marked here is marked when it is claimed.
  IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner AND r.rolname = current_user
                 WHERE c.oid = TG_RELID) THEN
    RETURN NULL;
  END IF;
  EXECUTE format($sql$
    UPDATE %1$I.jobs j SET pause_id = p.id, ready = false
    FROM new_jobs n JOIN %1$I.pauses p ON p.scope = 'path_prefix'
      AND (n.full_path = p.target OR starts_with(n.full_path, p.target || '/'))
    WHERE j.id = n.id$sql$, TG_TABLE_SCHEMA);
  RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION copilot_pause_new_jobs FROM PUBLIC;
CREATE TRIGGER jobs_pause_new AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_jobs FOR EACH STATEMENT
  WHEN (copilot_paths_paused()) EXECUTE FUNCTION copilot_pause_new_jobs();
ALTER TABLE jobs ENABLE ALWAYS TRIGGER jobs_pause_new;

-- Limits of running jobs.
CREATE DOMAIN running_limit AS integer CHECK (VALUE BETWEEN 1 AND 100000);
ALTER TABLE accounts ADD COLUMN max_running running_limit;
ALTER TABLE hosts ADD COLUMN max_running running_limit;
CREATE INDEX idx_accounts_origin ON accounts (gitlab_origin);

-- What GitLab allows of requests (core/budgets.py). An empty account stands for the whole host, an empty name for a
-- throttle whose name is unknown. Until "reset_at" at most "jobs_allowed" jobs may run at a time, until "closed_until" none.
CREATE TABLE budgets (
  gitlab_origin    text NOT NULL CHECK (octet_length(gitlab_origin) BETWEEN 1 AND 1200),
  account_id       text NOT NULL DEFAULT '' CHECK (octet_length(account_id) <= 1020),
  name             text NOT NULL DEFAULT '' CHECK (length(name) <= 255),
  "limit"          natural_number,
  remaining        natural_number,
  reset_at         bounded_timestamptz,
  closed_until     bounded_timestamptz,
  requests_per_job double precision CHECK (requests_per_job BETWEEN 0 AND 1e9),
  spent            natural_number NOT NULL DEFAULT 0,
  jobs_allowed     natural_number,
  source           text NOT NULL DEFAULT 'crawler' CHECK (source IN ('crawler', 'failure', 'operator')),
  updated_at       bounded_timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (gitlab_origin, account_id, name)
);
CREATE INDEX idx_budgets_account ON budgets (account_id);

-- Each change of pauses and limits has a number, and each node says up to which it acts on them.
CREATE TABLE restriction_changes (
  id       integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  revision bigint NOT NULL DEFAULT 1 CHECK (revision BETWEEN 1 AND 9007199254740991)
);
ALTER TABLE nodes ADD COLUMN restrictions_seen bigint NOT NULL DEFAULT 0;

-- The budgets that keep jobs back now, and until when each stays as it is.
CREATE VIEW low_budgets AS
  SELECT gitlab_origin, account_id, name,
         CASE WHEN coalesce(closed_until, '-infinity') > now() THEN 0 ELSE jobs_allowed::integer END AS jobs_allowed,
         CASE WHEN coalesce(closed_until, '-infinity') <= now() THEN reset_at::timestamptz
              WHEN jobs_allowed = 0 THEN greatest(closed_until, reset_at)::timestamptz
              ELSE closed_until::timestamptz END AS until
  FROM budgets WHERE closed_until > now() OR (jobs_allowed IS NOT NULL AND reset_at > now());

-- How many jobs may run at a time, by limits and budgets; 0: none. Claims read the same from the tables (turn_capped).
CREATE VIEW running_caps AS
  SELECT 'account' AS scope, id::text AS target, max_running::integer FROM accounts WHERE max_running IS NOT NULL
  UNION ALL
  SELECT 'host', origin, max_running FROM hosts WHERE max_running IS NOT NULL
  UNION ALL
  SELECT 'account', b.account_id, b.jobs_allowed
  FROM low_budgets b JOIN accounts t ON t.id = b.account_id AND t.gitlab_origin = b.gitlab_origin
  UNION ALL
  SELECT 'host', gitlab_origin, jobs_allowed FROM low_budgets WHERE account_id = '';

-- Since when a crawler fails everything; until it does not.
ALTER TABLE crawlers ADD COLUMN suspected_at bounded_timestamptz;
