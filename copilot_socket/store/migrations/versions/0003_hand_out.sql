-- A node that stores a new job and hands it out in one statement says so by a setting of its transaction: nobody else
-- can have the job, so nobody is told of it. For all other programs a new job is never one that a crawler has.
CREATE FUNCTION copilot_hands_out() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(current_setting('copilot.hands_out', true), '') = 'on'
$$;

CREATE OR REPLACE FUNCTION copilot_complete_new_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status NOT IN ('queued', 'paused', 'completed', 'failed', 'cancelled')
     AND NOT (NEW.status = 'assigned' AND copilot_hands_out()) THEN
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

-- What the trigger has no work for it is not called for.
DROP TRIGGER jobs_complete_new ON jobs;
CREATE TRIGGER jobs_complete_new BEFORE INSERT ON jobs FOR EACH ROW
  WHEN (NEW.provider IS NULL OR NEW.gitlab_url IS NULL OR NEW.full_path IS NULL OR NEW.scheduled_at > now()
        OR (NEW.status <> 'queued' AND NOT (NEW.status = 'assigned' AND copilot_hands_out())))
  EXECUTE FUNCTION copilot_complete_new_job();

DROP TRIGGER jobs_announce ON jobs;
CREATE TRIGGER jobs_announce AFTER INSERT ON jobs FOR EACH STATEMENT WHEN (NOT copilot_hands_out())
  EXECUTE FUNCTION copilot_announce_jobs();
