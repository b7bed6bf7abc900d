-- Why attempts end. That of a completed one is its outcome, and is not stored.
CREATE DOMAIN end_cause AS text CHECK (VALUE IN (
  'completed', 'job_error', 'timed_out', 'not_found', 'forbidden', 'gitlab_unavailable', 'rate_limited', 'credential',
  'crawler_lost', 'idle', 'released', 'paused', 'drained', 'stuck', 'poison', 'cancelled'));
ALTER DOMAIN try_outcome DROP CONSTRAINT try_outcome_check;
ALTER DOMAIN try_outcome ADD CHECK (VALUE IN (
  'completed', 'failed', 'timed_out', 'given_back', 'released', 'returned', 'cancelled', 'credential'));

-- "cause" is that of the last end. "trouble" counts ends that spend no attempt, NULL while there are none
-- (core/trouble.py).
ALTER TABLE jobs ADD COLUMN cause end_cause, ADD COLUMN trouble jsonb_mapping;
-- Crawlers that take commands are asked to pause a job, and have a while to give it back.
ALTER TABLE job_assignments ADD COLUMN cause end_cause, ADD COLUMN pause_requested_at bounded_timestamptz;
ALTER TABLE job_past_tries ADD COLUMN cause end_cause;
ALTER TABLE job_error_log ADD COLUMN cause end_cause;
CREATE OR REPLACE VIEW job_tries AS
  SELECT job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason,
         coalesce(cause::text, CASE outcome WHEN 'completed' THEN 'completed' END) AS cause
  FROM job_past_tries
  UNION ALL
  SELECT web_app_job_id::text, try, crawler_job_id, crawler_key, assigned_at, started_at, completed_at, outcome, reason,
         coalesce(cause::text, CASE outcome WHEN 'completed' THEN 'completed' END)
  FROM job_assignments WHERE outcome IS NOT NULL;

-- What else may explain that a crawler is lost: the loss of another one, and starts and stops of nodes.
CREATE TABLE disturbances (
  at   bounded_timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL
);
CREATE INDEX idx_disturbances_at ON disturbances (at);

-- GitLab hosts: when a job last succeeded, to within a second; the latest failures; and whether jobs are held back
-- (core/host_holds.py).
CREATE TABLE hosts (
  origin          text PRIMARY KEY CHECK (octet_length(origin) <= 2048),
  last_success_at bounded_timestamptz,
  failures        jsonb_mapping NOT NULL DEFAULT '{}',
  held_since      bounded_timestamptz,
  probes          natural_number NOT NULL DEFAULT 0,
  opens_at        bounded_timestamptz,
  probe_until     bounded_timestamptz,
  released_at     bounded_timestamptz
);

-- Whether an account's credential works: nodes send no jobs of one that does not.
CREATE FUNCTION copilot_announce_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('copilot_credentials', json_build_array(NEW.id, NEW.credential_status = 'valid')::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER accounts_announce AFTER UPDATE OF credential_status ON accounts FOR EACH ROW
  WHEN (OLD.credential_status <> NEW.credential_status) EXECUTE FUNCTION copilot_announce_credential();

CREATE INDEX idx_job_assignments_pausing ON job_assignments (pause_requested_at)
  WHERE pause_requested_at IS NOT NULL AND completed_at IS NULL;

-- Crawlers may be kept from getting work by hand.
CREATE DOMAIN crawler_mode AS text CHECK (VALUE IN ('serving', 'draining', 'quarantined'));
ALTER TABLE crawlers ADD COLUMN commands boolean NOT NULL DEFAULT false, ADD COLUMN mode crawler_mode NOT NULL DEFAULT 'serving', ADD COLUMN mode_at bounded_timestamptz;
