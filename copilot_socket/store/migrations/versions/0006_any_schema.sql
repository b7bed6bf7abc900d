-- A function runs with its caller's search_path, which may lack the tables or have others of the same names first: in
-- another program's session, or while a dump is restored (it is empty then). Here all are found without it. Not by
-- SET search_path, which would be wrong as soon as the schema is renamed or the tables move to another one.

-- The sequence is named in the default, where it is looked up once and for all.
CREATE FUNCTION copilot_ulid(number bigint) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  alphabet CONSTANT text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  noise    CONSTANT bytea := uuid_send(gen_random_uuid());
  ordered  bigint := ((extract(epoch FROM clock_timestamp()) * 1000)::bigint << 15) | (number >> 5);
  id       text := substr(alphabet, (number & 31)::integer + 1, 1);
BEGIN
  FOR place IN 1..13 LOOP
    id := substr(alphabet, (ordered & 31)::integer + 1, 1) || id;
    ordered := ordered >> 5;
  END LOOP;
  -- Bytes 6 to 8 of a random UUID hold its version and variant.
  FOR place IN 0..11 LOOP
    id := id || substr(alphabet, (get_byte(noise, CASE WHEN place < 6 THEN place ELSE place + 4 END) & 31) + 1, 1);
  END LOOP;
  RETURN id;
END
$$;
ALTER TABLE jobs ALTER id SET DEFAULT copilot_ulid(nextval('job_order'));
CREATE OR REPLACE FUNCTION copilot_ulid() RETURNS text LANGUAGE sql VOLATILE
  RETURN copilot_ulid(nextval('job_order'));

DROP TRIGGER jobs_complete_new ON jobs;
CREATE OR REPLACE FUNCTION copilot_complete_new_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- One that has been claimed before comes from a dump, or from a node that hands it out as it stores it.
  IF NEW.status NOT IN ('queued', 'paused', 'completed', 'failed', 'cancelled') AND NEW.tries = 0 THEN
    RAISE check_violation USING
      MESSAGE = format('a new job can''t be %s: only a crawler''s claim makes it so', NEW.status),
      COLUMN = 'status';
  END IF;
  IF NEW.full_path IS NULL AND NEW.command NOT IN ('GROUP_PROJECT_DISCOVERY', 'users') THEN
    RAISE check_violation USING
      MESSAGE = format('a job %s needs a full_path', NEW.command), COLUMN = 'full_path';
  END IF;
  IF NEW.provider IS NULL OR NEW.gitlab_url IS NULL THEN
    EXECUTE format(
      'SELECT coalesce($1, provider), coalesce($2, gitlab_url) FROM %I.accounts WHERE id = $3', TG_TABLE_SCHEMA)
      INTO NEW.provider, NEW.gitlab_url USING NEW.provider, NEW.gitlab_url, NEW.account_id;
    IF NEW.provider IS NULL THEN
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
        OR (NEW.status <> 'queued' AND NEW.tries = 0))
  EXECUTE FUNCTION copilot_complete_new_job();

-- Whoever deletes a job deletes its assignment, which nobody could end any more, and its tries.
CREATE FUNCTION copilot_delete_tries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  deleted CONSTANT text[] := ARRAY(SELECT id::text FROM deleted_jobs);
BEGIN
  EXECUTE format('DELETE FROM %I.job_assignments WHERE web_app_job_id = ANY ($1)', TG_TABLE_SCHEMA) USING deleted;
  EXECUTE format('DELETE FROM %I.job_past_tries WHERE job_id = ANY ($1)', TG_TABLE_SCHEMA) USING deleted;
  RETURN NULL;
END
$$;
CREATE TRIGGER jobs_delete_tries AFTER DELETE ON jobs REFERENCING OLD TABLE AS deleted_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_delete_tries();

-- Also in sessions without triggers (session_replication_role = replica): a job would be handed out before it is due.
ALTER TABLE jobs
  ENABLE ALWAYS TRIGGER jobs_complete_new,
  ENABLE ALWAYS TRIGGER jobs_announce,
  ENABLE ALWAYS TRIGGER jobs_delete_tries;

-- The rows of a dump may be read into tables that `copilot-socket migrate` has made, if both are of one revision.
CREATE FUNCTION copilot_keep_revision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  present text;
BEGIN
  EXECUTE format('SELECT version_num FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO present;
  IF present <> NEW.version_num THEN
    RAISE 'these rows are of revision %, the tables of revision %', NEW.version_num, present;
  END IF;
  RETURN CASE WHEN present IS NULL THEN NEW END;
END
$$;
CREATE TRIGGER keep_revision BEFORE INSERT ON copilot_socket_version FOR EACH ROW
  EXECUTE FUNCTION copilot_keep_revision();
