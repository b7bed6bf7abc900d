-- The jobs at which cleanup begins: those that were not spawned, once they are finished. Old jobs of a large tree that still
-- lives are not among them. One that is finished now is appended at the index's end, the cheapest place.
CREATE INDEX idx_jobs_finished_roots ON jobs (updated_at, id)
  WHERE spawned_from IS NULL AND status IN ('completed', 'failed', 'cancelled');

-- When a crawler was last heard, also one that is gone.
CREATE INDEX idx_socket_connections_heard ON socket_connections (crawler_key, last_heartbeat);
