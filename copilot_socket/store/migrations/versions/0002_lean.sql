-- Claims and reports write fewer and cheaper rows. What they cost before: docs/performance.md.

-- Every statement that updates a table parses the table's CHECKs anew, and judges them for each row. A domain's are
-- kept ready, and judged only where a value of that domain is given.
CREATE DOMAIN job_id AS text CHECK (VALUE ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$');
CREATE DOMAIN job_status AS text CHECK (VALUE IN (
  'queued', 'assigned', 'running', 'completed', 'failed', 'cancelled', 'paused', 'waiting_credential'));
CREATE DOMAIN job_command AS text CHECK (VALUE IN (
  'GROUP_PROJECT_DISCOVERY', 'group', 'project', 'issues', 'mergeRequests', 'commits', 'branches', 'pipelines', 'users',
  'releases', 'groupMilestones', 'epics', 'jobs', 'mergeRequestNotes'));
CREATE DOMAIN gitlab_path AS text CHECK (octet_length(VALUE) BETWEEN 1 AND 1024);
CREATE DOMAIN short_name AS text CHECK (length(VALUE) BETWEEN 1 AND 255);
CREATE DOMAIN gitlab_provider AS text CHECK (VALUE IN ('gitlab-onprem', 'gitlab-cloud'));
CREATE DOMAIN http_url AS text CHECK (VALUE ~ '^https?://');
CREATE DOMAIN natural_number AS integer CHECK (VALUE >= 0);
CREATE DOMAIN tries_allowed AS integer CHECK (VALUE BETWEEN 1 AND 100);
CREATE DOMAIN jsonb_mapping AS jsonb CHECK (jsonb_typeof(VALUE) = 'object');
CREATE DOMAIN assignment_status AS text CHECK (VALUE IN (
  'pending', 'assigned', 'running', 'completed', 'failed', 'cancelled'));
CREATE DOMAIN try_outcome AS text CHECK (VALUE IN (
  'completed', 'failed', 'timed_out', 'released', 'returned', 'cancelled', 'credential'));

DROP TRIGGER jobs_complete_new ON jobs;
DROP INDEX idx_jobs_claim;
ALTER TABLE jobs
  DROP CONSTRAINT jobs_id_check, ALTER id TYPE job_id,
  DROP CONSTRAINT jobs_status_check, ALTER status TYPE job_status,
  DROP CONSTRAINT jobs_command_check, ALTER command TYPE job_command,
  DROP CONSTRAINT jobs_full_path_check, ALTER full_path TYPE gitlab_path,
  DROP CONSTRAINT jobs_branch_check, ALTER branch TYPE gitlab_path,
  DROP CONSTRAINT jobs_user_id_check, ALTER user_id TYPE short_name,
  DROP CONSTRAINT jobs_provider_check, ALTER provider TYPE gitlab_provider,
  DROP CONSTRAINT jobs_gitlab_url_check, ALTER gitlab_url TYPE http_url,
  DROP CONSTRAINT jobs_attempts_check, ALTER attempts TYPE natural_number,
  DROP CONSTRAINT jobs_max_attempts_check, ALTER max_attempts TYPE tries_allowed,
  DROP CONSTRAINT jobs_releases_check, ALTER releases TYPE natural_number,
  DROP CONSTRAINT jobs_tries_check, ALTER tries TYPE natural_number,
  DROP CONSTRAINT jobs_resume_state_check, ALTER resume_state TYPE jsonb_mapping,
  DROP CONSTRAINT jobs_progress_check, ALTER progress TYPE jsonb_mapping,
  DROP CONSTRAINT jobs_full_path_needed,
  -- A computed column is worked out again, from its parsed text, by every statement that updates the row. The command
  -- says as much: the two correspond one to one.
  DROP COLUMN entity_type;
CREATE INDEX idx_jobs_claim ON jobs (command, priority DESC, id) WHERE status = 'queued' AND ready;

-- What the CHECK of a needed path said, for new rows; an old row's path never changes.
CREATE OR REPLACE FUNCTION copilot_complete_new_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status NOT IN ('queued', 'paused', 'completed', 'failed', 'cancelled') THEN
    RAISE check_violation USING
      MESSAGE = format('a new job can''t be %s: only a crawler''s claim makes it so', NEW.status),
      COLUMN = 'status';
  END IF;
  IF NEW.full_path IS NULL AND NEW.command NOT IN ('GROUP_PROJECT_DISCOVERY', 'users') THEN
    RAISE check_violation USING
      MESSAGE = format('a job %s needs a full_path', NEW.command), COLUMN = 'full_path';
  END IF;
  IF NEW.provider IS NULL OR NEW.gitlab_url IS NULL THEN
    SELECT coalesce(NEW.provider, provider), coalesce(NEW.gitlab_url, gitlab_url)
      INTO NEW.provider, NEW.gitlab_url FROM accounts WHERE id = NEW.account_id;
    IF NOT FOUND THEN
      RAISE foreign_key_violation USING
        MESSAGE = format('there is no account %L', NEW.account_id), COLUMN = 'account_id';
    END IF;
  END IF;
  NEW.ready := NEW.scheduled_at <= now();
  RETURN NEW;
END
$$;

CREATE TRIGGER jobs_complete_new BEFORE INSERT ON jobs FOR EACH ROW
  WHEN (NEW.provider IS NULL OR NEW.gitlab_url IS NULL OR NEW.full_path IS NULL OR NEW.scheduled_at > now()
        OR NEW.status <> 'queued')
  EXECUTE FUNCTION copilot_complete_new_job();

-- How a try ended stands in its assignment until the job's next try takes its place: one row less for each job.
ALTER TABLE job_assignments
  DROP CONSTRAINT job_assignments_status_check, ALTER status TYPE assignment_status,
  ADD COLUMN outcome try_outcome,
  ADD COLUMN reason text;
ALTER TABLE job_tries RENAME TO job_past_tries;
ALTER TABLE job_past_tries
  DROP CONSTRAINT job_tries_outcome_check, ALTER outcome TYPE try_outcome;
ALTER INDEX job_tries_pkey RENAME TO job_past_tries_pkey;

-- The tries that have ended, how and why.
CREATE VIEW job_tries AS
  SELECT job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason
  FROM job_past_tries
  UNION ALL
  SELECT web_app_job_id::text, try, crawler_job_id, crawler_key, assigned_at, started_at, completed_at, outcome, reason
  FROM job_assignments WHERE outcome IS NOT NULL;
