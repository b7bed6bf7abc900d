-- A lane is the queued jobs of one account and command. Accounts take turns by weight, whatever each has queued.
ALTER TABLE accounts ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100);

DROP INDEX idx_jobs_claim;
CREATE INDEX idx_jobs_lane ON jobs (account_id, command, priority DESC, id) WHERE status = 'queued' AND ready;

-- A notification names lanes that have work, as JSON: [[account, command], …]. One holds less than 8000 bytes.
CREATE FUNCTION copilot_tell_lanes(lanes text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  lane    text;
  payload text := '';
BEGIN
  FOREACH lane IN ARRAY lanes LOOP
    IF octet_length(payload) + octet_length(lane) > 7900 THEN
      PERFORM pg_notify('copilot_jobs', '[' || payload || ']');
      payload := '';
    END IF;
    payload := payload || CASE WHEN payload = '' THEN '' ELSE ',' END || lane;
  END LOOP;
  IF payload <> '' THEN
    PERFORM pg_notify('copilot_jobs', '[' || payload || ']');
  END IF;
END
$$;

DROP TRIGGER jobs_announce ON jobs;
CREATE OR REPLACE FUNCTION copilot_announce_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  lanes CONSTANT text[] := ARRAY(
    SELECT json_build_array(account_id, command)::text FROM new_jobs WHERE status = 'queued' AND ready
    GROUP BY account_id, command);
BEGIN
  EXECUTE format('SELECT %I.copilot_tell_lanes($1)', TG_TABLE_SCHEMA) USING lanes;
  RETURN NULL;
END
$$;
CREATE TRIGGER jobs_announce AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_jobs
  FOR EACH STATEMENT EXECUTE FUNCTION copilot_announce_jobs();
ALTER TABLE jobs ENABLE ALWAYS TRIGGER jobs_announce;
DROP FUNCTION copilot_hands_out;

-- Nodes used to claim jobs ahead of requests, for nobody yet. Every assignment has an owner now; these go back.
UPDATE jobs j SET status = 'queued', ready = j.scheduled_at <= now(), updated_at = now()
FROM job_assignments a
WHERE a.web_app_job_id = j.id AND a.completed_at IS NULL AND a.crawler_key IS NULL AND a.node_id IS NOT NULL
  AND j.status IN ('assigned', 'running');
UPDATE job_assignments SET completed_at = now(), status = 'pending', outcome = 'returned', reason = 'the server was upgraded'
WHERE completed_at IS NULL AND crawler_key IS NULL AND node_id IS NOT NULL;
ALTER TABLE job_assignments DROP COLUMN node_id;
