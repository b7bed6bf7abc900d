-- A node claims jobs a little ahead of its crawlers' requests: such an assignment is nobody's until it is handed out, and
-- the node that claimed it answers for it.
ALTER TABLE job_assignments ALTER crawler_key DROP NOT NULL, ADD COLUMN node_id text;
ALTER TABLE job_past_tries ALTER crawler_key DROP NOT NULL;
