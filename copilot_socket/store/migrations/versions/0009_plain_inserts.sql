-- Statements of a web application that knew these tables before run as they are: CREATE … IF NOT EXISTS makes no second
-- index like one of ours, and a row may be inserted with the columns that are documented, or a few of them.
ALTER INDEX idx_jobs_status_updated RENAME TO idx_jobs_socket_status;

-- A row of another program's has neither crawler_key nor node_id. The claim of its job takes its place.
ALTER TABLE job_assignments
  ALTER status SET DEFAULT 'pending',
  ALTER crawler_job_id DROP NOT NULL,
  ALTER try SET DEFAULT 0;

ALTER TABLE socket_connections
  ALTER last_heartbeat SET DEFAULT now(),
  ALTER system_status SET DEFAULT 'idle',
  ALTER crawler_key DROP NOT NULL,
  ALTER node_id DROP NOT NULL;
