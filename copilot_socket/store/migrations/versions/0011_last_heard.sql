-- When a crawler was last heard, also one that is gone.
CREATE INDEX idx_socket_connections_heard ON socket_connections (crawler_key, last_heartbeat);
