-- Where somebody acted ('http', 'cli' or 'wire'; NULL in rows of other programs) and from which address; the outcome;
-- how often within a minute, and when for the last time (NULL: once).
ALTER TABLE audit_log
  ADD COLUMN door short_name,
  ADD COLUMN address text,
  ADD COLUMN outcome short_name NOT NULL DEFAULT 'done',
  ADD COLUMN count natural_number NOT NULL DEFAULT 1,
  ADD COLUMN last_at bounded_timestamptz;
-- For cleanup, and for summing up what is equal within a minute.
CREATE INDEX idx_audit_log_time ON audit_log (timestamp);
-- For the list. The text itself may be too long for an index.
CREATE INDEX idx_audit_log_actor ON audit_log (left(actor, 255), id);
CREATE INDEX idx_audit_log_target ON audit_log (left(target, 255), id) WHERE target IS NOT NULL;
