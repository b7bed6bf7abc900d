-- Bulk operations on jobs: what matches the filter and is older than the operation is walked once, newest first. "place":
-- the id of the last job that was looked at; jobs below it are still to come. "node_id": the node that works on it as long as it lives.
CREATE TABLE operations (
  id             text PRIMARY KEY DEFAULT copilot_ulid(),
  action         text NOT NULL CHECK (action IN ('retry', 'cancel', 'pause', 'resume', 'recover', 'delete')),
  filter         jsonb_mapping NOT NULL DEFAULT '{}',
  accounts       text[],
  users          text[],
  status         text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'aborted', 'failed')),
  error          text,
  expected       bigint NOT NULL DEFAULT 0,
  expected_exact boolean NOT NULL DEFAULT true,
  changed        jsonb_mapping NOT NULL DEFAULT '{}',
  skipped        jsonb_mapping NOT NULL DEFAULT '{}',
  place          text NOT NULL DEFAULT '',
  created_at     bounded_timestamptz NOT NULL DEFAULT now(),
  created_by     text NOT NULL,
  updated_at     bounded_timestamptz NOT NULL DEFAULT now(),
  finished_at    bounded_timestamptz,
  node_id        text
);
CREATE INDEX idx_operations_running ON operations (updated_at, id) WHERE status = 'running';
CREATE INDEX idx_operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL;
