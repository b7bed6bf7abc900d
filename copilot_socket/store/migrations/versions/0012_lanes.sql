-- A lane is the queued jobs of one account and command. Accounts take turns by weight, whatever each has queued.
ALTER TABLE accounts ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100);

DROP INDEX idx_jobs_claim;
CREATE INDEX idx_jobs_lane ON jobs (account_id, command, priority DESC, id) WHERE status = 'queued' AND ready;

-- A notification names lanes that have work, as JSON: [[account, command], …]. One holds less than 8000 bytes, a lane at
-- the most 1,600.
DROP TRIGGER jobs_announce ON jobs;
CREATE OR REPLACE FUNCTION copilot_announce_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('copilot_jobs', '[' || string_agg(lane, ',') || ']')
  FROM (
    SELECT lane, sum(octet_length(lane) + 1) OVER (ORDER BY lane) / 4000 AS part
    FROM (SELECT DISTINCT json_build_array(account_id, command)::text AS lane FROM new_jobs
          WHERE status = 'queued' AND ready) AS lanes) AS parts
  GROUP BY part;
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
